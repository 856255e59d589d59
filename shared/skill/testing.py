"""For the tests of skills: run one as an executor does, with real tools, targets on this machine allowed."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared.events import CaseAttempt
from shared.skill.discovery import load
from shared.skill.egress import Egress, Rules
from shared.skill.runner import Outcome, run_case
from shared.skill.tools import OpenBrowser, ToolBox

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


async def run_skill(
    folder: Path,
    params: Mapping[str, Any],
    *,
    variables: Mapping[str, Any] | None = None,
    secrets: Mapping[str, str] | None = None,
    save: Mapping[str, str] | None = None,
    timeout_seconds: float = 30,
    attempt: int = 1,
    scratch: Path | None = None,
    open_browser_context: OpenBrowser | None = None,
    allow_loopback: bool = True,
) -> Outcome:
    """The outcome of one attempt. Its files are under `scratch`, or in a new temporary folder."""
    case = CaseAttempt(
        case="test",
        skill=folder.name,
        attempt=attempt,
        params=dict(params),
        variables=dict(variables or {}),
        save=dict(save or {}),
        timeout_seconds=timeout_seconds,
    )
    toolbox = ToolBox(Egress(Rules(allow_loopback=allow_loopback)), open_browser_context)
    return await run_case(
        load(folder),
        case,
        scratch=scratch or Path(tempfile.mkdtemp(prefix="wg-skill-")),
        tools=toolbox.tools,
        look_up_secret=dict(secrets or {}).get,
        trace_id=TRACE_ID,
    )

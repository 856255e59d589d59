"""The inside of a sandbox: reads jobs from standard input, runs each, writes its outcome to standard output."""

import asyncio
import ctypes
import os
import signal
import sys
from pathlib import Path
from typing import BinaryIO

import msgspec

from services.executors.sandbox import Job, encode_outcome
from shared.skill.discovery import Skill, load
from shared.skill.egress import Egress, EgressSettings, Rules
from shared.skill.runner import run_case
from shared.skill.tools import ToolBox

_PR_SET_PDEATHSIG = 1


def main() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What a skill prints must not get between our messages.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    jobs = os.fdopen(os.dup(0), "rb")
    os.close(0)
    toolbox = ToolBox(Egress(Rules.of(EgressSettings())))
    skills: dict[str, Skill] = {}
    with asyncio.Runner() as runner:
        while (job := _next(jobs)) is not None:
            if job.folder not in skills:
                skills[job.folder] = load(Path(job.folder))
            outcome = runner.run(
                run_case(
                    skills[job.folder],
                    job.attempt,
                    scratch=Path(job.scratch),
                    tools=toolbox.tools,
                    look_up_secret=job.secrets.get,
                    epoch=job.epoch,
                    trace_id=job.trace_id,
                )
            )
            data = encode_outcome(outcome)
            answers.write(len(data).to_bytes(4) + data)
            answers.flush()


def _next(jobs: BinaryIO) -> Job | None:
    head = jobs.read(4)
    if len(head) < 4:
        return None
    return msgspec.json.decode(jobs.read(int.from_bytes(head)), type=Job)


if __name__ == "__main__":
    main()

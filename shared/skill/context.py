"""What a skill gets: its tools, and the places where it leaves what it found."""

import asyncio
import hashlib
import mimetypes
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.events import ArtifactKind, Metric, Step
from shared.skill.errors import CheckFailed
from shared.skill.masking import Masker

if TYPE_CHECKING:
    import httpx
    from playwright.async_api import BrowserContext


@dataclass(frozen=True)
class SavedFile:
    """A file that a case left in its scratch folder, not yet in the artifact store."""

    name: str
    kind: ArtifactKind
    path: Path
    content_type: str
    size: int
    sha256: str


@dataclass
class Artifacts:
    """Files that a case leaves. Texts are masked before they touch the disk."""

    folder: Path
    masker: Masker
    saved: list[SavedFile] = field(default_factory=list)

    def path(self, name: str) -> Path:
        """A free path under the scratch folder, for a tool that writes the file itself; then `add` it."""
        self.folder.mkdir(parents=True, exist_ok=True)  # most cases leave nothing and need no folder
        base = Path(name).name or "file"
        taken = {file.path.name for file in self.saved}
        stem, suffix, number = Path(base).stem, Path(base).suffix, 1
        while base in taken:
            number += 1
            base = f"{stem}-{number}{suffix}"
        return self.folder / base

    def save(self, name: str, data: bytes | str, kind: ArtifactKind = "other", content_type: str = "") -> SavedFile:
        """Keep bytes or text under a name; a second one of that name gets a number."""
        path = self.path(name)
        path.write_bytes(self.masker.text(data).encode() if isinstance(data, str) else data)
        return self.add(path, kind, content_type)

    def add(self, path: Path, kind: ArtifactKind = "other", content_type: str = "") -> SavedFile:
        """Keep a file that is already under the scratch folder."""
        guessed = content_type or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        saved = SavedFile(path.name, kind, path, guessed, path.stat().st_size, digest)
        self.saved.append(saved)
        return saved


class Secrets(Mapping[str, str]):
    """Secrets by name. Each one that is read is masked in all that the case leaves."""

    def __init__(self, look_up: Callable[[str], str | None], masker: Masker) -> None:
        self._look_up = look_up
        self._masker = masker

    def __getitem__(self, name: str) -> str:
        value = self._look_up(name)
        if value is None:
            raise KeyError(name)
        self._masker.add(value)
        return value

    def __iter__(self) -> Any:
        return iter(())  # names are not listed: a skill asks for what its params name

    def __len__(self) -> int:
        return 0


@dataclass(frozen=True)
class Tools:
    """What the runner lends to a case: how to check a target, open an HTTP client and a browser context."""

    check_target: Callable[[str], Awaitable[None]]  # raises EgressDenied
    open_http: Callable[..., "httpx.AsyncClient"]
    open_browser_context: Callable[..., Awaitable["BrowserContext"]]


class Context:
    """One case's run. Made by the runner, used by the skill.

    Attributes:
        artifacts: `save(name, data, kind)` keeps a file.
        secrets: by name; what is read is masked everywhere.
        variables: the suite's and the execution's, as far as this case's params name them.
        epoch: how often this attempt was delivered; above 1 an earlier run may have left traces.
    """

    def __init__(
        self,
        *,
        case: str,
        timeout_seconds: float,
        scratch: Path,
        tools: Tools,
        look_up_secret: Callable[[str], str | None] = lambda name: None,
        variables: Mapping[str, Any] | None = None,
        attempt: int = 1,
        epoch: int = 1,
        trace_id: str | None = None,
    ) -> None:
        self.case = case
        self.attempt = attempt
        self.epoch = epoch
        self.trace_id = trace_id
        self._scratch = scratch
        self.variables = dict(variables or {})
        self.masker = Masker()
        self.secrets = Secrets(look_up_secret, self.masker)
        self.artifacts = Artifacts(scratch, self.masker)
        self.metrics: list[Metric] = []
        self.steps: list[Step] = []
        self.failures: list[str] = []
        self.log_lines: list[str] = []
        self.exits = AsyncExitStack()  # closed by the runner when the case has ended, however it ended
        self._tools = tools
        self._began = time.monotonic()
        self._ends = self._began + timeout_seconds
        self._open_steps: list[int] = []

    @property
    def scratch(self) -> Path:
        """A folder of this case's own, removed when its artifacts are stored."""
        self._scratch.mkdir(parents=True, exist_ok=True)
        return self._scratch

    # -- tools ---------------------------------------------------------------------------------------------

    def http(self, **options: Any) -> "httpx.AsyncClient":
        """A client of this case's own; takes httpx.AsyncClient's options. Every request, redirects included,
        is checked against the egress rules. Closed when the case ends."""
        client = self._tools.open_http(**options)
        self.exits.push_async_callback(client.aclose)
        return client

    async def browser_context(self, **options: Any) -> "BrowserContext":
        """A fresh Playwright browser context; takes `Browser.new_context`'s options. Closed when the case ends."""
        context = await self._tools.open_browser_context(**options)
        self.exits.push_async_callback(context.close)
        return context

    async def target(self, url: str) -> str:
        """The URL, if the egress rules let this case reach it.

        Raises:
            EgressDenied: they do not; the text names the rule.
        """
        await self._tools.check_target(url)
        return url

    def remaining(self) -> float:
        """Seconds until the case times out, never below zero."""
        return max(0.0, self._ends - time.monotonic())

    # -- findings ------------------------------------------------------------------------------------------

    def metric(self, name: str, value: float, unit: str = "") -> None:
        """A number measured, e.g. `metric("first_byte", 12.5, "ms")`."""
        self.metrics.append(Metric(name=name, value=float(value), unit=unit))

    def log(self, message: str) -> None:
        """A line of the case's log, which becomes an artifact."""
        self.log_lines.append(f"{datetime.now(UTC).isoformat(timespec='milliseconds')} {self.masker.text(message)}")

    def expect(self, ok: bool, message: str) -> bool:
        """Note an expectation; the case goes on, and ends *failed* with every message that did not hold."""
        if not ok:
            self.failures.append(self.masker.text(message))
        return ok

    def raise_for_failures(self) -> None:
        """End here if an expectation did not hold.

        Raises:
            CheckFailed: with all messages, a line each.
        """
        if self.failures:
            raise CheckFailed("\n".join(self.failures))

    @asynccontextmanager
    async def step(self, name: str) -> AsyncIterator[None]:
        """A named, timed part of the case; steps nest."""
        offset, index = self._elapsed_ms(), len(self.steps)
        parent = self._open_steps[-1] if self._open_steps else None
        failures = len(self.failures)
        self.steps.append(Step(name=self.masker.text(name), offset_ms=offset, duration_ms=0, parent=parent))
        self._open_steps.append(index)
        message: str | None = None
        status: Any = "passed"
        try:
            yield
        except BaseException as error:
            status = "failed" if isinstance(error, AssertionError) else "error"
            text = "cut off here" if isinstance(error, asyncio.CancelledError) else str(error) or type(error).__name__
            message = self.masker.text(text)[:2000]
            raise
        else:
            if len(self.failures) > failures:
                status, message = "failed", "\n".join(self.failures[failures:])[:2000]
        finally:
            self._open_steps.pop()
            self.steps[index] = Step(
                name=self.steps[index].name,
                status=status,
                offset_ms=offset,
                duration_ms=round(self._elapsed_ms() - offset, 3),
                error_message=message,
                parent=parent,
            )

    def _elapsed_ms(self) -> float:
        return round((time.monotonic() - self._began) * 1000, 3)

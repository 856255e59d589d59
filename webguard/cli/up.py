"""`webguard up` and `webguard demo`."""

import signal
import sys
import tempfile
import threading
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from webguard.cli.common import FAILED, err, options
from webguard.client import Client, find_connection
from webguard.errors import UsageFault

if TYPE_CHECKING:
    from webguard.local.launcher import Launcher

PortOption = Annotated[
    int | None, typer.Option(min=0, max=65535, help="Port of the API; 0: a free one. Default: 8080.")
]
DataOption = Annotated[Path | None, typer.Option(help="Where everything is kept. Default: .webguard")]


def up(
    context: typer.Context,
    data_dir: DataOption = None,
    port: PortOption = None,
    scale: Annotated[str, typer.Option(help="More of a service, e.g. scheduler=2,dispatcher=2.")] = "",
    no_s3: Annotated[bool, typer.Option("--no-s3", help="Keep artifacts in JetStream instead of an S3 store.")] = False,
) -> None:
    """Run the whole platform on this machine until Ctrl-C. A second start finds its data.

    Servers given by WEBGUARD_NATS_URL, WEBGUARD_DATABASE_URL, WEBGUARD_REDIS_URL or WEBGUARD_S3_URL are used instead
    of our own.

    Examples:

      webguard up

      webguard up --data-dir /var/lib/webguard --port 9000 --scale dispatcher=2
    """
    from webguard.local.environment import parse_scale  # commands that need no launcher do not wait for it

    try:
        wanted = parse_scale(scale)
    except ValueError as error:
        raise UsageFault(f"--scale: {error}") from error
    folder = data_dir or options(context).data_dir
    with ExitStack() as stack:
        running = _launch(stack, folder, port, wanted, s3=not no_s3)
        sys.stdout.write(f"ready {running.launcher.url}\n")
        sys.stdout.flush()
        running.wait()


def demo(
    context: typer.Context,
    exit_after: Annotated[bool, typer.Option("--exit", help="Stop after the run instead of staying up.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write what was found to a file.")] = None,
    data_dir: DataOption = None,
    port: PortOption = None,
) -> None:
    """See it work: the platform, a small shop with planted faults, and the suites that find them.

    Exit code: 0 exactly the planted faults were found, 1 more or less than those, 3 the platform failed.

    Examples:

      webguard demo

      webguard demo --exit --json out.json
    """
    from webguard.demo.run import PASSWORD, run_demo, running_shop

    if json_file is not None and not json_file.absolute().parent.is_dir():
        raise UsageFault(f"--json {json_file}: there is no folder {json_file.absolute().parent}")
    with ExitStack() as stack:
        folder = data_dir or options(context).data_dir
        if exit_after and data_dir is None:
            temporary = tempfile.TemporaryDirectory(prefix="wg-demo-", ignore_cleanup_errors=True)
            folder = Path(stack.enter_context(temporary))
            folder.chmod(0o755)  # PostgreSQL runs as another user when we are root
        if exit_after and port is None:
            port = 0
        running = _launch(stack, folder, port, {}, secrets={"WEBGUARD_SECRET_SHOP_PASSWORD": PASSWORD})
        shop_url = stack.enter_context(running_shop(folder / "logs"))
        client = stack.enter_context(Client(find_connection(None, None, folder, {})))
        wrong = run_demo(client, shop_url, json_file, err())
        if not exit_after:
            err().print(f"the shop: {shop_url}; Ctrl-C stops all. Run a suite again with:")
            err().print(f"  webguard run shop-api --watch --var base_url={shop_url}", soft_wrap=True)
            running.wait()
    if wrong:
        raise typer.Exit(FAILED)


@dataclass
class Running:
    """A platform of ours. Ctrl-C and SIGTERM end `wait`; anything else they interrupt, once: stopping is in order."""

    launcher: "Launcher"
    _told: threading.Event = field(default_factory=threading.Event)
    _waits: threading.Event = field(default_factory=threading.Event)

    def wait(self) -> None:
        self._waits.set()
        self._told.wait()

    def on_signal(self, number: int, _: FrameType | None) -> None:
        first = not self._told.is_set()
        self._told.set()
        if first and not self._waits.is_set():
            raise KeyboardInterrupt


def _launch(
    stack: ExitStack,
    folder: Path,
    port: int | None,
    scale: dict[str, int],
    *,
    s3: bool = True,
    secrets: dict[str, str] | None = None,
) -> Running:
    """The running platform, stopped when the stack is left."""
    from webguard.local.launcher import Launcher

    console = err()

    def say(line: str) -> None:
        console.print(f"[dim]{escape(line)}[/]")

    launcher = Launcher(folder, port=port, scale=scale, s3=s3, executor_env=secrets, say=say)
    running = Running(launcher)
    for number in (signal.SIGINT, signal.SIGTERM):
        stack.callback(signal.signal, number, signal.signal(number, running.on_signal))
    launcher.start()
    stack.callback(launcher.stop)
    return running

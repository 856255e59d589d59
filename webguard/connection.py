"""Which WebGuard to talk to, and as whom: options, else environment, else what `webguard up` wrote."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from webguard.errors import PlatformError, UsageFault

FILE = "credentials.json"


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """Where the platform is, and as whom. The launcher keeps one in a file that only its user may read."""

    url: str
    api_key: str | None = None
    tenant: str = "default"
    username: str | None = None
    password: str | None = None


def read_credentials(data_dir: Path) -> Connection | None:
    """Of the local platform in a data folder; None where there is none.

    Raises:
        UsageFault: the file cannot be used.
    """
    path = data_dir / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Connection)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise UsageFault(f"{path} cannot be used: {error}") from error


def find_connection(url: str | None, api_key: str | None, data_dir: Path, environment: Mapping[str, str]) -> Connection:
    """Options win over the environment, the environment over the credentials of a local platform.

    The key of a local platform is sent to that platform only, whatever URL is named.

    Raises:
        PlatformError: nothing says where the platform is.
    """
    url = url or environment.get("WEBGUARD_URL") or None
    api_key = api_key or environment.get("WEBGUARD_API_KEY") or None
    local = read_credentials(data_dir)
    if local is not None and (url is None or url.rstrip("/") == local.url.rstrip("/")):
        return msgspec.structs.replace(local, api_key=api_key or local.api_key)
    if url is None:
        raise PlatformError(
            f"no WebGuard is known here ({data_dir / FILE} is not there); start one with `webguard up`, or give --url"
        )
    return Connection(url=url, api_key=api_key)

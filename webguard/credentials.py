"""Which WebGuard to talk to, and as whom: options, else environment, else what `webguard up` wrote."""

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from webguard.client import Client
from webguard.errors import UsageFault

DEFAULT_URL = "http://127.0.0.1:8080"
DEFAULT_DATA_DIR = Path(".webguard")
FILE = "credentials.json"


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """What the launcher keeps for its own user, in a file that only they may read."""

    url: str
    api_key: str | None = None
    tenant: str | None = None
    username: str | None = None
    password: str | None = None


def read_credentials(data_dir: Path) -> Credentials | None:
    """Of the local platform in a data folder; None where there is none.

    Raises:
        UsageFault: the file cannot be used.
    """
    path = data_dir / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Credentials)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise UsageFault(f"{path} cannot be used: {error}") from error


def resolve(
    url: str | None, api_key: str | None, data_dir: Path | None, env: Mapping[str, str] = os.environ
) -> Credentials:
    """Where to go and as whom. An API key of a data folder is sent to the platform of that folder only.

    Raises:
        UsageFault: a data folder was named and holds no platform.
    """
    named_dir = data_dir or (Path(env["WEBGUARD_DATA_DIR"]) if env.get("WEBGUARD_DATA_DIR") else None)
    found = read_credentials(named_dir or DEFAULT_DATA_DIR)
    url = url or env.get("WEBGUARD_URL") or None
    api_key = api_key or env.get("WEBGUARD_API_KEY") or None
    if named_dir and found is None and url is None:
        raise UsageFault(f"{named_dir} holds no WebGuard; start one with `webguard up --data-dir {named_dir}`")
    if found is not None and (url is None or url.rstrip("/") == found.url.rstrip("/")):
        return msgspec.structs.replace(found, api_key=api_key or found.api_key)
    return Credentials(url=url or DEFAULT_URL, api_key=api_key)


def log_in(found: Credentials) -> str:
    """A bearer token for the person that the credentials name."""
    if not found.username or found.password is None:
        raise UsageFault(
            f"no user name and password for {found.url}; a token is made from the credentials of a data folder: "
            "see --data-dir, or use an API key"
        )
    with Client(found.url) as client:
        return client.login(found.username, found.password, found.tenant)

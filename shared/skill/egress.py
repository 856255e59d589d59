"""Where a case may send requests. The rules are pure; the checker resolves names and asks them."""

import asyncio
import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.skill.errors import DefinitionError, EgressDenied, NetworkError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Cloud metadata services beyond the link-local range.
_METADATA_HOSTS = frozenset(("metadata.google.internal", "metadata.goog", "instance-data.ec2.internal"))
_METADATA_ADDRESSES = frozenset(map(ipaddress.ip_address, ("100.100.100.200", "fd00:ec2::254", "192.0.0.192")))


class EgressSettings(BaseSettings):
    """Which targets cases may reach."""

    model_config = SettingsConfigDict(env_prefix="WEBGUARD_EGRESS_", extra="ignore")

    allow_loopback: bool = Field(False, description="this machine itself; on in a local platform")
    allow_private: bool = Field(False, description="10/8, 172.16/12, 192.168/16, fc00::/7 and the like")
    deny_hosts: list[str] = Field(default_factory=list, description="host names; .example.com names all below it")


@dataclass(frozen=True)
class Rules:
    """The rules of one executor."""

    allow_loopback: bool = False
    allow_private: bool = False
    deny_hosts: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: EgressSettings) -> "Rules":
        return cls(settings.allow_loopback, settings.allow_private, tuple(h.lower() for h in settings.deny_hosts))

    def refusal_of_host(self, host: str) -> str | None:
        """Why a host may not be reached whatever its address, None: it may."""
        name = host.lower().rstrip(".")
        if name in _METADATA_HOSTS:
            return "rule metadata: cloud metadata services are never a target"
        for denied in self.deny_hosts:
            if name == denied or (denied.startswith(".") and name.endswith(denied)):
                return f"rule deny_hosts: {denied!r} is on the list"
        return None

    def refusal_of_address(self, address: Address) -> str | None:
        """Why an address may not be reached, None: it may."""
        if isinstance(address, ipaddress.IPv6Address):
            inner = address.ipv4_mapped or address.sixtofour
            if inner is not None:
                return self.refusal_of_address(inner)
        if address in _METADATA_ADDRESSES:
            return "rule metadata: cloud metadata services are never a target"
        if address.is_link_local:
            return "rule link_local: link-local addresses are never a target"
        if address.is_unspecified or address.is_multicast or (address.is_reserved and not address.is_loopback):
            return "rule special: unspecified, multicast and reserved addresses are never a target"
        if address.is_loopback:
            return None if self.allow_loopback else "rule loopback: set WEBGUARD_EGRESS_ALLOW_LOOPBACK=true to allow it"
        if not address.is_global and not self.allow_private:
            return "rule private: set WEBGUARD_EGRESS_ALLOW_PRIVATE=true to allow it"
        return None


class Egress:
    """Checks targets against the rules."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules

    async def check_url(self, url: str) -> None:
        """
        Raises:
            DefinitionError: not a URL with a host.
            EgressDenied: a rule forbids it.
            NetworkError: the host's name is not known.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise DefinitionError(f"{url!r} is not a URL: {error}") from error
        if not host:
            raise DefinitionError(f"{url!r} has no host; a URL begins like https://example.com/")
        await self.addresses(host, port or (443 if parts.scheme in ("https", "wss") else 80))

    async def addresses(self, host: str, port: int) -> list[str]:
        """Every address of a host, all of them allowed.

        Raises:
            EgressDenied: a rule forbids one of them.
            NetworkError: the name is not known.
        """
        refusal = self.rules.refusal_of_host(host)
        if refusal:
            raise EgressDenied(f"target {host!r} is refused by {refusal}")
        found = [str(literal)] if (literal := _literal(host)) else await _resolve(host, port)
        for text in found:
            refusal = self.rules.refusal_of_address(ipaddress.ip_address(text.split("%")[0]))
            if refusal:
                raise EgressDenied(f"target {host!r} ({text}) is refused by {refusal}")
        return found


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


async def _resolve(host: str, port: int) -> list[str]:
    try:
        answers = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NetworkError(f"host {host!r} is not known: {error}") from error
    return list(dict.fromkeys(str(answer[4][0]) for answer in answers))

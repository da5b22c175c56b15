"""URLs and lists of hosts, read strictly: what could be read in two ways is refused.

The one reading here is the one that is compared with the lists and connected to.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import quote

import idna

from pipeline.domain.errors import ForbiddenURL

MAX_URL_CHARACTERS = 8192
_URL = re.compile(r"(https?)://([^/?#\\]+)([^#]*)(?:#.*)?", re.IGNORECASE | re.DOTALL)
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::([0-9]{1,5})?)?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))
_PLAIN = re.compile(r"[\x21-\x7e]*")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


@dataclass(frozen=True, kw_only=True)
class Target:
    """A URL, read: what is compared with lists of hosts is what is connected to."""

    scheme: str  # http, https
    host: (
        str  # lower-case ASCII name without a final dot, or an address in its shortest form, without brackets
    )
    port: int
    path: str  # with the query, ready for the request line; its characters are the sender's own

    @property
    def authority(self) -> str:
        """As in a Host header: without the port where it is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _default_port(self.scheme) else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"


def read_url(url: str) -> Target:
    """Reads an http(s) URL in the one way we mean it; raises ForbiddenURL when it can be read in two.

    Refused: user names and passwords, control characters, backslashes before the path, hosts that are numbers
    in other than dotted-quad notation (0x7f.1, 2130706433, 127.1), zone ids, port 0. Names go through IDNA;
    spaces and letters outside of ASCII in path and query are percent-encoded, all else is left as it came,
    since links are signed.
    """
    url = url.strip(" ")
    if len(url) > MAX_URL_CHARACTERS:
        raise ForbiddenURL("The URL is too long.")
    if _CONTROL.search(url):
        raise ForbiddenURL("The URL holds control characters.")
    parts = _URL.fullmatch(url)
    if parts is None:
        raise ForbiddenURL("Not an http or https URL.")
    scheme, authority, path = parts[1].lower(), parts[2], parts[3]
    if "@" in authority:
        raise ForbiddenURL("The URL holds a user name or a password.")
    host_and_port = _AUTHORITY.fullmatch(authority)
    if host_and_port is None:
        raise ForbiddenURL("The URL's host cannot be read.")
    port = int(host_and_port[2] or _default_port(scheme))
    if not 0 < port < 65536:
        raise ForbiddenURL("The URL's port is not between 1 and 65535.")
    if path.startswith("\\"):
        raise ForbiddenURL("The URL's host cannot be read.")
    if not path.startswith("/"):
        path = "/" + path
    if not _PLAIN.fullmatch(path):
        path = quote(path, safe=_PRINTABLE, errors="replace")
    return Target(scheme=scheme, host=read_host(host_and_port[1]), port=port, path=path)


@lru_cache(maxsize=1024)
def read_host(host: str) -> str:
    """A name or address in the one form in which we compare and connect; raises ForbiddenURL."""
    if host.startswith("["):
        try:
            return IPv6Address(host[1:-1]).compressed
        except ValueError:
            raise ForbiddenURL("The URL's host is no IPv6 address.") from None
    if not host.isascii():
        try:
            host = idna.encode(host, uts46=True, transitional=False).decode("ascii")
        except (idna.IDNAError, UnicodeError):
            raise ForbiddenURL("The URL's host is no internationalised name.") from None
    host = host.lower().removesuffix(".")
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        try:
            return str(IPv4Address(host))
        except ValueError:
            raise ForbiddenURL("The URL's host is a number, but no address a.b.c.d.") from None
    if len(host) > 253 or not all(map(_LABEL.fullmatch, labels)):
        raise ForbiddenURL("The URL's host is no name.")
    return host


def _default_port(scheme: str) -> int:
    return 443 if scheme == "https" else 80


@dataclass(frozen=True, kw_only=True)
class Allowed:
    """One entry of a list of hosts; scheme and port are None where the entry leaves them open."""

    host: str
    port: int | None = None
    scheme: str | None = None

    def covers(self, target: Target) -> bool:
        return (
            self.host == target.host
            and self.port in (None, target.port)
            and self.scheme in (None, target.scheme)
        )


def read_allowed(entry: str) -> Allowed:
    """`host` (any port), `host:port`, or an origin such as `https://portal.example`; raises ForbiddenURL."""
    if "://" in entry:
        target = read_url(entry)
        return Allowed(host=target.host, port=target.port, scheme=target.scheme)
    entry = entry.strip()
    if entry.count(":") > 1 and not entry.startswith("["):
        return Allowed(host=read_host(f"[{entry}]"))
    parts = _AUTHORITY.fullmatch(entry)
    port = int(parts[2]) if parts and parts[2] else None
    if parts is None or (port is not None and not 0 < port < 65536):
        raise ForbiddenURL("Expected `host` or `host:port`.")
    return Allowed(host=read_host(parts[1]), port=port)

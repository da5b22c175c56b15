"""Where we connect to: URLs read strictly, and a table of the addresses that nobody may send us to.

The endpoint is public and obeys URLs in its requests, so a URL is an attack until it was checked. Two rules:
what a URL names must be unambiguous (one reading, here, is the one that is compared and connected to), and
the address is checked at the moment of connecting, on the very answer of the name server that is used.
"""

from __future__ import annotations

import queue
import re
import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import quote

import idna

from pipeline.errors import ForbiddenURL

# Kept by hand, since what Python's ipaddress calls private has changed from one release to the next.
# Sources: IANA's special-purpose registries of IPv4 and IPv6 addresses, the clouds' pages on their metadata.
_FORBIDDEN = {
    "0.0.0.0/8": "this network",  # 0.0.0.0 reaches the machine itself on Linux
    "10.0.0.0/8": "private",
    "100.64.0.0/10": "carrier-grade NAT",  # Alibaba's metadata: 100.100.100.200
    "127.0.0.0/8": "loopback",
    "168.63.129.16/32": "cloud metadata",  # Azure's wire server has a public address
    "169.254.0.0/16": "link-local",  # metadata of AWS, Azure, Google, Oracle, DigitalOcean, ...
    "172.16.0.0/12": "private",
    "192.0.0.0/24": "reserved",  # Oracle's old metadata: 192.0.0.192
    "192.0.2.0/24": "documentation",
    "192.31.196.0/24": "reserved",  # AS112
    "192.52.193.0/24": "reserved",  # multicast tunnels (AMT)
    "192.88.99.0/24": "6to4 relay",
    "192.168.0.0/16": "private",
    "192.175.48.0/24": "reserved",  # AS112
    "198.18.0.0/15": "benchmarking",
    "198.51.100.0/24": "documentation",
    "203.0.113.0/24": "documentation",
    "224.0.0.0/4": "multicast",
    "240.0.0.0/4": "reserved",  # with 255.255.255.255
    # IPv6: first the names that help a reader, then everything outside of global unicast
    "::/128": "unspecified",
    "::1/128": "loopback",
    "::ffff:0:0/96": "IPv4-mapped",
    "::ffff:0:0:0/96": "IPv4-translated",
    "::/96": "IPv4-compatible",
    "64:ff9b::/96": "NAT64",
    "64:ff9b:1::/48": "NAT64",
    "100::/64": "discard-only",
    "fc00::/7": "private",  # metadata of AWS: fd00:ec2::254, of Google: fd20:ce::254
    "fe80::/10": "link-local",
    "fec0::/10": "site-local",
    "ff00::/8": "multicast",
    "2001::/32": "Teredo",
    "2001::/23": "reserved",  # protocol assignments: ORCHID, benchmarking, AMT, ...
    "2001:db8::/32": "documentation",
    "2002::/16": "6to4",
    "2620:4f:8000::/48": "reserved",  # AS112
    "3ffe::/16": "reserved",  # 6bone, given back
    "3fff::/20": "documentation",
}
_TABLE = tuple((ip_network(network), why) for network, why in _FORBIDDEN.items())
_GLOBAL_UNICAST = IPv6Network("2000::/3")

MAX_URL_CHARACTERS = 8192
_URL = re.compile(r"(https?)://([^/?#\\]+)([^#]*)(?:#.*)?", re.IGNORECASE | re.DOTALL)
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::([0-9]{1,5})?)?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")

# (host, port) -> addresses as text; socket.gaierror when there are none
Lookup = Callable[[str, int], Sequence[str]]


class Unresolved(OSError):
    """A name that has no address, or not in time."""


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
    if any(character < " " or character == "\x7f" for character in url):
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
    path = quote(path, safe="".join(map(chr, range(0x21, 0x7F))), errors="replace")
    return Target(scheme=scheme, host=read_host(host_and_port[1]), port=port, path=path)


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
    if parts is None:
        raise ForbiddenURL("Expected `host` or `host:port`.")
    return Allowed(host=read_host(parts[1]), port=int(parts[2]) if parts[2] else None)


def callback_allowed(url: str, portal_hosts: Iterable[str], trusted: Iterable[str]) -> bool:
    """Whether a callback URL points to the portal itself or to a trusted host; pure, asks no name server.

    portal_hosts: the portal's own URL (scheme and port count) and its further hosts (`host`, `host:port`:
    https only). trusted: `host` or `host:port`, plain http or not. An entry that cannot be read allows
    nothing.
    """
    try:
        target = read_url(url)
    except ForbiddenURL:
        return False
    if any(entry.covers(target) for entry in _readable(trusted)):
        return True
    for entry in _readable(portal_hosts):
        if entry.covers(target) and (target.scheme == "https" or entry.scheme == "http"):
            return True
    return False


def _readable(entries: Iterable[str]) -> Iterable[Allowed]:
    for entry in entries:
        try:
            yield read_allowed(entry)
        except ForbiddenURL:
            continue


def why_forbidden(address: str) -> str | None:
    """What kind of forbidden address this is, or None for one of the public Internet."""
    try:
        ip = ip_address(address)
    except ValueError:
        return "unreadable"
    if isinstance(ip, IPv6Address) and ip.scope_id:
        return "link-local"
    for network, why in _TABLE:
        if _within(ip, network):
            return why
    if isinstance(ip, IPv6Address) and ip not in _GLOBAL_UNICAST:
        return "reserved"
    return None


def _within(ip: IPv4Address | IPv6Address, network: IPv4Network | IPv6Network) -> bool:
    return ip.version == network.version and ip in network


def check_addresses(host: str, addresses: Sequence[str]) -> None:
    """Raises ForbiddenURL unless every one is public: one private address among them makes it an attack."""
    for address in addresses:
        if why := why_forbidden(address):
            raise ForbiddenURL(f"{host} is not on the public Internet ({why} address).")


def lookup(host: str, port: int) -> list[str]:
    """The system's resolver."""
    answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(answer[4][0]) for answer in answers))


def resolve(host: str, port: int, *, timeout_seconds: float, lookup: Lookup = lookup) -> Sequence[str]:
    """The addresses of a host, asked for once; raises Unresolved.

    The system's resolver knows no deadline, so it is asked from a thread that is left behind when it is late;
    it ends by itself with the resolver's own time-out.
    """
    try:
        return [str(ip_address(host))]
    except ValueError:
        pass
    outcome: queue.SimpleQueue[Sequence[str] | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            outcome.put(lookup(host, port))
        except Exception as error:
            outcome.put(error)

    threading.Thread(target=ask, name="lookup", daemon=True).start()
    try:
        answer = outcome.get(timeout=max(0.0, timeout_seconds))
    except queue.Empty:
        raise Unresolved("the name server did not answer in time") from None
    if isinstance(answer, Exception) or not answer:
        raise Unresolved("the name has no address")
    return answer

"""Where we connect to: URLs read strictly (`domain/hosts.py`), and addresses that nobody may send us to.

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
from contextlib import suppress
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from pipeline.domain.errors import ForbiddenURL
from pipeline.domain.hosts import MAX_URL_CHARACTERS, Allowed, read_allowed, read_url

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
# most URLs, by their origin: in these the rest makes no difference to who is meant
_PLAIN_URL = re.compile(r"(https?://[A-Za-z0-9.-]+(?::[0-9]{1,5})?)(?:[/?#][\x21-\x7e]*)?")
_TABLE = tuple((ip_network(network), why) for network, why in _FORBIDDEN.items())
_GLOBAL_UNICAST = IPv6Network("2000::/3")

# (host, port) -> addresses as text; socket.gaierror when there are none
Lookup = Callable[[str, int], Sequence[str]]


class Unresolved(OSError):
    """A name that has no address, or not in time."""


def callback_allowed(url: str, portal_hosts: Iterable[str], trusted: Iterable[str]) -> bool:
    """Whether a callback URL points to the portal itself or to a trusted host; pure, asks no name server.

    portal_hosts: the portal's own URL (scheme and port count) and its further hosts (`host`, `host:port`:
    https only). trusted: `host` or `host:port`, plain http or not. An entry that cannot be read allows
    nothing.
    """
    if len(url) <= MAX_URL_CHARACTERS and (plain := _PLAIN_URL.fullmatch(url)):
        return _origin_allowed(plain[1], tuple(portal_hosts), tuple(trusted))
    return _allowed(url, tuple(portal_hosts), tuple(trusted))


def _allowed(url: str, portal_hosts: tuple[str, ...], trusted: tuple[str, ...]) -> bool:
    try:
        target = read_url(url)
    except ForbiddenURL:
        return False
    if any(entry.covers(target) for entry in _readable(trusted)):
        return True
    return any(
        entry.covers(target) and (target.scheme == "https" or entry.scheme == "http")
        for entry in _readable(portal_hosts)
    )


_origin_allowed = lru_cache(maxsize=1024)(_allowed)  # all callbacks of a portal have one, or few


@lru_cache(maxsize=4096)  # settings: read once, though compared with each request
def _readable(entries: tuple[str, ...]) -> tuple[Allowed, ...]:
    found = []
    for entry in entries:
        with suppress(ForbiddenURL):
            found.append(read_allowed(entry))
    return tuple(found)


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

"""The address of a store: behind Redis Sentinel, which no library spells the same way, and over TLS.

redis+sentinel://[[user]:password@]host[:port][,host[:port]...]/service[/db][?sentinel_password=...]
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, parse_qsl, unquote, urlencode, urlsplit, urlunsplit

SCHEME = "redis+sentinel"
PORT = 26379


@dataclass(frozen=True, kw_only=True)
class Sentinels:
    """Who knows which server is the master of a service, and how to sign in there."""

    hosts: tuple[tuple[str, int], ...]
    service: str
    db: int = 0
    username: str | None = None
    password: str | None = None
    sentinel_password: str | None = None


def read_sentinels(url: str) -> Sentinels | None:
    """The parts of such an address; None for any other; raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme != SCHEME:
        return None
    user, _, listed = parts.netloc.rpartition("@")
    service, _, db = parts.path.strip("/").partition("/")
    hosts = tuple(_host(entry) for entry in listed.split(","))
    query = parse_qs(parts.query, strict_parsing=True) if parts.query else {}
    if not service or not (db or "0").isdigit() or query.keys() - {"sentinel_password"}:
        raise ValueError("expected redis+sentinel://host:26379,host:26379/service/0")
    name, _, password = user.partition(":")
    return Sentinels(
        hosts=hosts,
        service=unquote(service),
        db=int(db or 0),
        username=unquote(name) or None,
        password=unquote(password) or None,
        sentinel_password=next(iter(query.get("sentinel_password", [])), None),
    )


def secured(url: str, ca_file: Path | None) -> str:
    """A rediss:// address by which every client checks the server's certificate, by `ca_file` as well.

    What the address itself says of that counts. Celery's client would check nothing where nothing is said.
    """
    parts = urlsplit(url)
    if parts.scheme != "rediss":
        return url
    wished = {"ssl_cert_reqs": "required", **({"ssl_ca_certs": str(ca_file.resolve())} if ca_file else {})}
    query = urlencode(wished | dict(parse_qsl(parts.query)))
    return urlunsplit(parts._replace(query=query))


def _host(entry: str) -> tuple[str, int]:
    parts = urlsplit(f"//{entry}")
    if not parts.hostname or parts.port == 0:  # reading the port raises ValueError where it is none
        raise ValueError("expected host or host:port")
    return parts.hostname, parts.port or PORT

"""The one way out: every HTTP request of the service but the sandbox's and the commands' own.

httpcore, httpx's engine, sends requests (messages.py writes them), since only there the sockets can be given
a deadline and a checked address (see wire.py). Nothing here retries, follows a redirect unseen, keeps a
cookie or reads the environment; of recordings alone gzip is unpacked, within their bounds.
"""

from __future__ import annotations

import hashlib
import json as jsons
import logging
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self, cast
from urllib.parse import urljoin, urlsplit

import httpcore

from pipeline.clients import downloads, guard
from pipeline.clients.connections import Connections
from pipeline.clients.messages import Body, headers_of, written
from pipeline.clients.wire import Wire, tls_context, tls_hint
from pipeline.domain import hosts
from pipeline.domain.errors import (
    BadAnswer,
    CallscribeError,
    DownloadFailed,
    ForbiddenURL,
    SettingsError,
    StoreUnavailable,
    TooLarge,
)
from pipeline.settings.installation import Settings
from pipeline.telemetry.traces import TRACES

CONNECT_SECONDS = 10.0
MAX_REDIRECTS = 3
PRIVATE_ENDINGS = (".local", ".localhost", ".internal", ".lan", ".home", ".home.arpa", ".intranet", ".corp")
PROXY = "Check CALLSCRIBE_PROVIDER_PROXY: host and port, and whether it wants http://user:password@host:port."
MOST_ANSWER_BYTES = 32 << 20


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An HTTP answer of any status; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON; raises BadAnswer."""
        try:
            return jsons.loads(self.body)
        except (ValueError, RecursionError):
            raise BadAnswer("The answer is no JSON.", ambiguous=True, http_status=self.status) from None


@dataclass(frozen=True, kw_only=True)
class Downloaded:
    """A recording on disk."""

    size_bytes: int
    sha256: str  # hex
    content_type: str | None  # as the server calls it: a hint that may lie


class Unreachable(CallscribeError):
    """No answer came.

    sent: the whole request had left, so it may have been served (and paid) all the same. hint: the mend,
    where the cause tells it.
    """

    slug: ClassVar[str] = "unreachable"
    transient: ClassVar[bool] = True
    code: ClassVar[int] = 502
    hint = "Check the address, and that nothing between stops this machine from reaching that host and port."

    def __init__(self, message: str = "", *, sent: bool = False, hint: str | None = None) -> None:
        super().__init__(message)
        self.sent = sent
        if hint:
            self.hint = hint


class Transport:
    """Thread-safe; make one per process, after forking.

    trusted: `host` (any port) or `host:port` that URLs of requests may name although private or plain http.
    proxy: `http://` or `https://`, for the operator's own URLs only. ca_file: certificate authorities beside
    the public ones. stall_seconds, min_bytes_per_second: what a download must bring in every such stretch.
    Raises SettingsError.
    """

    def __init__(
        self,
        *,
        trusted: Sequence[str] = (),
        proxy: str | None = None,
        ca_file: Path | None = None,
        lookup: guard.Lookup = guard.lookup,
        stall_seconds: float = 30.0,
        min_bytes_per_second: float = 2000.0,
    ) -> None:
        try:
            self._trusted = tuple(hosts.read_allowed(entry) for entry in trusted)
        except ForbiddenURL as error:
            raise SettingsError(f"CALLSCRIBE_TRUSTED_HOSTS: {error}") from None
        self._stall_seconds = stall_seconds
        self._min_bytes_per_second = min_bytes_per_second
        # at DEBUG the engine writes every header line into the log
        logging.getLogger("httpcore").setLevel(logging.WARNING)
        self._wire = Wire(lookup)
        self._connections = Connections(self._wire, tls_context(ca_file), proxy)
        self._proxy = urlsplit(proxy).netloc.rpartition("@")[2] if proxy else None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """As the settings say; raises SettingsError."""
        proxy = settings.provider_proxy
        return cls(
            trusted=settings.trusted_hosts,
            proxy=proxy.get_secret_value() if proxy else None,
            ca_file=settings.ca_file,
        )

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        timeout_seconds: float,
        operator: bool = False,
        max_answer_bytes: int = MOST_ANSWER_BYTES,
        same_host: str | None = None,
    ) -> Answer:
        """One request, one answer of any status; no redirects, no retries.

        operator: the URL comes from the settings, so it is trusted as written, and goes through the proxy.
        Otherwise the guard applies, to each request anew: https and public addresses, but for trusted hosts
        and for `same_host` (a `host`, `host:port` or origin that is trusted for this call alone).
        timeout_seconds: for everything from the look-up to the last byte of the answer.
        Raises Unreachable, ForbiddenURL, and BadAnswer for a body too large or compressed.
        """
        target = hosts.read_url(url)
        ends_at = time.monotonic() + timeout_seconds
        with self._exchange(
            method, target, headers, body, ends_at=ends_at, operator=operator, same_host=same_host
        ) as answer:
            names = headers_of(answer)
            if downloads.codings(names):
                raise BadAnswer(
                    "The answer is compressed, unasked.", ambiguous=True, http_status=answer.status
                )
            read = bytearray()
            for piece in answer.iter_stream():
                read += piece
                if len(read) > max_answer_bytes:
                    raise BadAnswer("The answer is too large.", ambiguous=True, http_status=answer.status)
            return Answer(status=answer.status, headers=names, body=bytes(read))

    def is_public(self, url: str, *, timeout_seconds: float = CONNECT_SECONDS) -> bool:
        """Whether others can fetch the URL: it is absolute, on a public address or a trusted host.

        A name that cannot be looked up from here counts as public unless it has no dot or is a private one.
        """
        try:
            target = hosts.read_url(url)
            if any(entry.covers(target) for entry in self._trusted):
                return True
            if "." not in target.host and ":" not in target.host:
                return False
            if target.host.endswith(PRIVATE_ENDINGS):
                return False
            guard.check_addresses(
                target.host, self._wire.addresses(target.host, target.port, timeout_seconds=timeout_seconds)
            )
        except ForbiddenURL:
            return False
        except guard.Unresolved:
            return True
        return True

    def download(
        self,
        url: str,
        to: Path,
        *,
        max_bytes: int,
        timeout_seconds: float,
        same_host: str | None = None,
    ) -> Downloaded:
        """Streams what is behind the URL into the file `to`; at most three redirects, each checked like it.

        same_host: as in `request`. Sends no credentials and no cookies, to anyone. max_bytes: also of what is
        unpacked. Raises RecordingGone (`early` where it may come yet), TooLarge, ForbiddenURL, DownloadFailed
        (all else; transient) and StoreUnavailable when the disk fails.
        """
        ends_at = time.monotonic() + timeout_seconds
        try:
            for _ in range(1 + MAX_REDIRECTS):
                target = hosts.read_url(url)
                with self._exchange(
                    "GET",
                    target,
                    ends_at=ends_at,
                    same_host=same_host,
                    read_seconds=self._stall_seconds,
                    keep=False,
                ) as answer:
                    names = headers_of(answer)
                    if answer.status in (301, 302, 303, 307, 308) and "location" in names:
                        url = urljoin(target.url, names["location"].strip())
                        continue
                    downloads.accept(answer.status, names, max_bytes)
                    codings = downloads.codings(names)
                    size_bytes, digest = self._save(
                        downloads.unpacked(answer.iter_stream(), codings), to, max_bytes
                    )
                kind = " ".join([names.get("content-type", ""), *(f"({coding})" for coding in codings)])
                return Downloaded(
                    size_bytes=size_bytes, sha256=digest, content_type=kind.strip()[:200] or None
                )
        except Unreachable as error:
            raise DownloadFailed(error.message) from None
        raise ForbiddenURL(f"The recording's link redirects more than {MAX_REDIRECTS} times.")

    def close(self) -> None:
        """Closes the kept connections."""
        self._connections.close()

    @contextmanager
    def _exchange(
        self, method: str, target: hosts.Target, *args: Any, **kwargs: Any
    ) -> Iterator[httpcore.Response]:
        """`_sent`, as a span of the job's trace."""
        with TRACES.request(method, target.host), self._sent(method, target, *args, **kwargs) as answer:
            TRACES.tell(None, **{"http.response.status_code": answer.status})
            yield answer

    @contextmanager
    def _sent(
        self,
        method: str,
        target: hosts.Target,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        *,
        ends_at: float,
        operator: bool = False,
        same_host: str | None = None,
        read_seconds: float | None = None,
        keep: bool = True,
    ) -> Iterator[httpcore.Response]:
        """Sends, yields the answer with its body unread, and puts every failure into our own words.

        The library's messages stay out of them: they quote header lines, which may be secret.
        """
        any_address = operator or self._trusts(target, same_host)
        progress = _Progress()
        try:
            request = written(method, target, headers, body or Body(), keep=keep)
            request.stream = self._leaving(cast("Iterable[bytes]", request.stream), progress)
            request.extensions = {"timeout": {"connect": CONNECT_SECONDS, "read": read_seconds}}
            with (
                self._wire.call(ends_at=ends_at, any_address=any_address),
                self._connections.to(request.url.origin, operator=operator) as connection,
                closing(connection.handle_request(request)) as answer,
            ):
                yield answer
        except httpcore.TimeoutException:
            raise Unreachable(f"{target.host} did not answer in time.", sent=progress.sent) from None
        except httpcore.ProxyError as error:
            told = re.match(r"[1-5]\d\d\b", str(error))
            says = f" with {told[0]}" if told else ""
            raise Unreachable(f"The proxy refuses the connection{says}.", hint=PROXY) from None
        except httpcore.ConnectError as error:
            why = str(error)[:200]
            hint = tls_hint(error)
            if operator and self._proxy and not hint:
                raise Unreachable(f"The proxy {self._proxy} cannot be reached: {why}.", hint=PROXY) from None
            raise Unreachable(f"{target.host} cannot be reached: {why}.", hint=hint) from None
        except httpcore.NetworkError:
            raise Unreachable(f"The connection to {target.host} broke.", sent=progress.sent) from None
        except httpcore.RemoteProtocolError:
            raise Unreachable(
                f"{target.host} broke off its answer, or does not speak HTTP.", sent=progress.sent
            ) from None
        except (httpcore.LocalProtocolError, UnicodeError):
            raise Unreachable("A header of the request cannot be written as HTTP.") from None

    def _leaving(self, body: Iterable[bytes], progress: _Progress) -> Iterator[bytes]:
        """The body as it is, noting when all of it has left."""
        yield from body
        self._wire.flush()
        progress.sent = True

    def _trusts(self, target: hosts.Target, same_host: str | None) -> bool:
        """Whether any address will do; raises ForbiddenURL for plain http that nobody vouches for."""
        if any(entry.covers(target) for entry in self._trusted):
            return True
        if same_host is not None:
            portal = hosts.read_allowed(same_host)
            if portal.covers(target) and (target.scheme == "https" or portal.scheme == "http"):
                return True
        if target.scheme != "https":
            raise ForbiddenURL(f"{target.host} is not asked without https.")
        return False

    def _save(self, pieces: Iterable[bytes], to: Path, max_bytes: int) -> tuple[int, str]:
        """Writes the body as it comes; returns its size and sha256."""
        digest = hashlib.sha256()
        size_bytes = 0
        mark, marked_bytes = time.monotonic(), 0
        try:
            with to.open("wb") as file:
                for piece in pieces:
                    size_bytes += len(piece)
                    if size_bytes > max_bytes:
                        raise TooLarge(f"The recording is larger than {max_bytes} bytes.")
                    digest.update(piece)
                    file.write(piece)
                    if (took := time.monotonic() - mark) >= self._stall_seconds:
                        if size_bytes - marked_bytes < took * self._min_bytes_per_second:
                            raise DownloadFailed("The recording's host sends too slowly.")
                        mark, marked_bytes = time.monotonic(), size_bytes
        except OSError as error:
            to.unlink(missing_ok=True)
            raise StoreUnavailable(f"The recording cannot be kept: {error.strerror}.") from None
        except BaseException:
            to.unlink(missing_ok=True)
            raise
        return size_bytes, digest.hexdigest()


class _Progress:
    """How far a request got; sent: it has left, whole."""

    sent = False

"""Bitrix24's REST through an incoming webhook: one request, one answer; the record's due time retries.

https://apidocs.bitrix24.com/settings/how-to-call-rest-api/. The webhook's path is a secret: it never
shows in a message.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

from pipeline.bitrix24.rest_errors import explain
from pipeline.clients.messages import Body
from pipeline.clients.retry_after import retry_after_seconds
from pipeline.clients.transport import Answer, Transport, Unreachable
from pipeline.domain.errors import BadAnswer, PortalRefused, PortalUnavailable, Upstream

MAX_BATCH = 50  # commands
NO_BATCH = "ERROR_BATCH_METHOD_NOT_ALLOWED"
LIMITED_SECONDS = 5.0  # to let a full bucket run down
LONGEST_PAUSE_SECONDS = 3600.0  # it counts over ten minutes: more is a misunderstanding
RESET_SECONDS = 60.0  # the portal counts running time in buckets of a minute
READS = ("get", "list", "gettranscript", "profile", "scope", "batch")  # last words of methods; we batch reads

Params = Mapping[str, Any]


class NotRest(BadAnswer):
    """Something answers, but it is not a portal's REST."""

    hint = "Check CALLSCRIBE_BITRIX24_WEBHOOK: expected https://acme.bitrix24.com/rest/USER/CODE/."


class NoTurn(PortalUnavailable):
    """Nothing was asked: this portal's requests wait for their turn, this one `retry_after_seconds`."""


class Turns(Protocol):
    """The portal's limit of requests, shared by all workers; every method answers at once."""

    def take(self) -> float:
        """Seconds to wait for the next turn; 0 when it was given."""

    def spent(self) -> None:
        """The portal says that its limit is reached."""


class Unlimited:
    """Turns without a limit, for commands that ask a few things."""

    def take(self) -> float:
        return 0.0

    def spent(self) -> None:
        """Nobody to tell."""


@dataclass(frozen=True)
class From:
    """A parameter of a batch's command that is taken from the result of an earlier one, by its number.

    `From(0, 0, "ID")` is `$result[c0][0][ID]`. Where there is no such thing the portal sees nothing.
    """

    command: int
    path: tuple[int | str, ...]

    def __init__(self, command: int, *path: int | str) -> None:
        object.__setattr__(self, "command", command)
        object.__setattr__(self, "path", path)

    def __str__(self) -> str:
        return f"$result[c{self.command}]" + "".join(f"[{key}]" for key in self.path)

    def value(self, results: Sequence[Any]) -> Any:
        """What it stands for."""
        found = results[self.command]
        for key in self.path:
            if isinstance(found, list) and isinstance(key, int):
                found = found[key] if key < len(found) else None
            else:
                found = found.get(str(key)) if isinstance(found, dict) else None
        return found


class Bitrix24:
    """Thread-safe as far as its transport is.

    webhook: https://acme.bitrix24.com/rest/1/code/. Nothing here sleeps: a request whose turn has not come
    raises NoTurn.
    """

    def __init__(
        self,
        webhook: str,
        *,
        transport: Transport,
        turns: Turns | None = None,
        timeout_seconds: float = 20.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._base = webhook.rstrip("/") + "/"
        self._transport = transport
        self._turns = turns or Unlimited()
        self._timeout_seconds = timeout_seconds
        self._clock = clock

    def call(self, method: str, params: Params | None = None) -> Any:
        """What is under `result`.

        Raises PortalUnavailable (passes; `retry_after_seconds`, and `ambiguous` where the portal may have
        written all the same), PortalRefused (does not pass), both with the portal's code in
        `provider_code`, and BadAnswer.
        """
        return self._ask(method, params or {}).get("result")

    def pages(self, method: str, params: Params, *, limit: int) -> Iterator[Any]:
        """The items of a list method over its pages, `limit` at the most."""
        start: Any = 0
        left = limit
        while left > 0:
            body = self._ask(method, {**params, "start": start})
            items = body.get("result")
            if not isinstance(items, list):
                raise NotRest(f"{method}: expected a list.")
            yield from items[:left]
            left -= len(items)
            following = body.get("next")
            if not items or not isinstance(following, int) or following <= start:
                return
            start = following

    def batch(self, commands: Sequence[tuple[str, Params]]) -> list[Any | Upstream]:
        """Results in the order of the commands; one that failed is its error, one without a result None.

        One request for fifty commands at the most, which may refer to each other's results (`From`); one
        each where the portal takes no batch. Raises what `call` raises when the whole batch fails.
        https://apidocs.bitrix24.com/settings/how-to-call-rest-api/batch.html
        """
        if len(commands) > MAX_BATCH:
            raise ValueError(f"at most {MAX_BATCH} commands, got {len(commands)}")
        cmd = {f"c{i}": f"{method}?{php_query(params)}" for i, (method, params) in enumerate(commands)}
        try:
            body = self._ask("batch", {"halt": 0, "cmd": cmd})
        except PortalRefused as error:
            if error.http_status not in (400, 404, 405):
                raise
            return self._one_by_one(commands)
        inner = body.get("result")
        if not isinstance(inner, dict):
            raise NotRest("batch: expected an object.")
        good, bad = _by_key(inner.get("result")), _by_key(inner.get("result_error"))
        times = _by_key(inner.get("result_time"))
        results: list[Any | Upstream] = []
        for i, (method, _) in enumerate(commands):
            key = f"c{i}"
            if key in bad:
                failed = bad[key] if isinstance(bad[key], dict) else {"error": str(bad[key])}
                results.append(self._error(method, {"time": times.get(key), **failed}, 400, {}))
            else:
                results.append(good.get(key))
        if any(isinstance(found, Upstream) and found.provider_code == NO_BATCH for found in results):
            return self._one_by_one(commands)
        return results

    def _one_by_one(self, commands: Sequence[tuple[str, Params]]) -> list[Any | Upstream]:
        """As far as the turns go."""
        results: list[Any | Upstream] = []
        for method, params in commands:
            filled = {
                key: value.value(results) if isinstance(value, From) else value
                for key, value in params.items()
            }
            missing = any(isinstance(params[key], From) and filled[key] is None for key in params)
            try:
                results.append(None if missing else self.call(method, filled))
            except Upstream as error:
                results.append(error)
        return results

    def _ask(self, method: str, params: Params) -> dict[str, Any]:
        if (wait := self._turns.take()) > 0:
            raise NoTurn(f"{method}: this portal's requests wait for their turn.", retry_after_seconds=wait)
        try:
            answer = self._transport.request(
                "POST",
                self._base + method,
                body=Body(json=params),
                headers={"Accept": "application/json"},
                timeout_seconds=self._timeout_seconds,
                operator=True,
            )
        except Unreachable as error:
            raise PortalUnavailable(
                f"{method}: the portal does not answer. {error.message}",
                ambiguous=error.sent and _writes(method),
            ) from error
        body = _object(answer)
        if body is None:
            raise self._unreadable(method, answer)
        if "error" in body or answer.status >= 400:
            raise self._error(method, body, answer.status, answer.headers)
        return body

    def _unreadable(self, method: str, answer: Answer) -> Upstream:
        status = answer.status
        if status >= 500 or status in (408, 429):
            return PortalUnavailable(
                f"{method}: the portal answers {status}.",
                retry_after_seconds=retry_after_seconds(answer.headers),
                ambiguous=status >= 500 and _writes(method),
                http_status=status,
            )
        hint = " Is CALLSCRIBE_BITRIX24_WEBHOOK a webhook's address?"
        if status < 300:
            return NotRest(
                f"{method}: the answer is not the REST's.{hint}",
                ambiguous=_writes(method),
                http_status=status,
            )
        return PortalRefused(f"{method}: the portal answers {status}.{hint}", http_status=status)

    def _error(
        self, method: str, body: Mapping[str, Any], status: int, headers: Mapping[str, str]
    ) -> Upstream:
        code = str(body.get("error", "")) or str(status)
        meaning = explain(code)
        if meaning is None:
            said = str(body.get("error_description") or "").strip()[:200]
            text = f"{method}: {code}" + (f": {said}" if said else "")
            passes = status >= 500 or status in (408, 429)
        else:
            text = f"{method}: {code}: {meaning.means}. {meaning.hint}"
            passes = meaning.passes
        if not passes:
            return PortalRefused(text, http_status=status, provider_code=code)
        limited = code.upper() in ("QUERY_LIMIT_EXCEEDED", "OPERATION_TIME_LIMIT")
        if code.upper() == "QUERY_LIMIT_EXCEEDED":
            self._turns.spent()
        return PortalUnavailable(
            text,
            retry_after_seconds=self._pause(code.upper(), body, headers),
            ambiguous=not limited and _writes(method),  # a limit is checked before anything is done
            http_status=status,
            provider_code=code,
        )

    def _pause(self, code: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> float | None:
        asked = retry_after_seconds(headers, limited=True)
        if code == "QUERY_LIMIT_EXCEEDED":
            return asked or LIMITED_SECONDS
        if code == "OPERATION_TIME_LIMIT":
            spent = body.get("time")
            reset = spent.get("operating_reset_at") if isinstance(spent, dict) else None
            left = float(reset) - self._clock() if isinstance(reset, int | float) else 0.0
            return min(left, LONGEST_PAUSE_SECONDS) if left > 0 else asked or RESET_SECONDS
        return asked


def php_query(params: Params) -> str:
    """Parameters as PHP reads them from a query: {"filter": {">ID": [1]}} -> filter[%3EID][0]=1."""
    return "&".join(f"{key}={quote(value, safe='')}" for key, value in _flat(params, ""))


def _flat(value: Any, prefix: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            name = quote(str(key), safe="")
            yield from _flat(item, f"{prefix}[{name}]" if prefix else name)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _flat(item, f"{prefix}[{index}]")
    elif isinstance(value, bool):
        yield prefix, "1" if value else "0"
    elif value is not None:
        yield prefix, str(value)


def _writes(method: str) -> bool:
    return method.rpartition(".")[2].lower() not in READS


def _by_key(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}  # PHP's empty array


def _object(answer: Answer) -> dict[str, Any] | None:
    try:
        body = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) and ("result" in body or "error" in body) else None

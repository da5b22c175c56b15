"""Bitrix24's REST through an incoming webhook: one request, one answer; the record's due time retries.

https://apidocs.bitrix24.com/settings/how-to-call-rest-api/. The webhook's path is a secret: it never
shows in a message.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from pipeline.bitrix24.rest_errors import explain
from pipeline.clients.transport import Answer, Transport, Unreachable
from pipeline.domain.errors import BadAnswer, PortalRefused, PortalUnavailable, Upstream

MAX_BATCH = 50  # commands
PATIENCE_SECONDS = 2.0  # how long a call may sleep for its turn; more is the record's business
LIMITED_SECONDS = 5.0  # to let a full bucket run down
LONGEST_PAUSE_SECONDS = 3600.0  # it counts over ten minutes: more is a misunderstanding
RESET_SECONDS = 60.0  # the portal counts running time in buckets of a minute
READS = ("get", "list", "gettranscript", "profile", "scope", "batch")  # last words of methods; we batch reads

Params = Mapping[str, Any]


class NotRest(BadAnswer):
    """Something answers, but it is not a portal's REST."""

    hint = "Check CALLSCRIBE_BITRIX24_WEBHOOK: expected https://acme.bitrix24.com/rest/USER/CODE/."


class Bitrix24:
    """Thread-safe as far as its transport is.

    webhook: https://acme.bitrix24.com/rest/1/code/. throttle: seconds to wait for the next turn, 0 when it
    was given; shared by all workers of the portal.
    """

    def __init__(
        self,
        webhook: str,
        *,
        transport: Transport,
        throttle: Callable[[], float] = lambda: 0.0,
        timeout_seconds: float = 20.0,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._base = webhook.rstrip("/") + "/"
        self._transport = transport
        self._throttle = throttle
        self._timeout_seconds = timeout_seconds
        self._sleep = sleep
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
        """Results in the order of the commands; one that failed is its error.

        Costs one request per fifty commands. Raises what `call` raises when a whole batch fails.
        """
        results: list[Any | Upstream] = []
        for at in range(0, len(commands), MAX_BATCH):
            part = commands[at : at + MAX_BATCH]
            cmd = {f"c{i}": f"{method}?{php_query(params)}" for i, (method, params) in enumerate(part)}
            body = self._ask("batch", {"halt": 0, "cmd": cmd})
            inner = body.get("result")
            if not isinstance(inner, dict):
                raise NotRest("batch: expected an object.")
            good, bad = _by_key(inner.get("result")), _by_key(inner.get("result_error"))
            times = _by_key(inner.get("result_time"))
            for i, (method, _) in enumerate(part):
                key = f"c{i}"
                if key in bad:
                    failed = bad[key] if isinstance(bad[key], dict) else {"error": str(bad[key])}
                    results.append(self._error(method, {"time": times.get(key), **failed}, 200, {}))
                else:
                    results.append(good.get(key))
        return results

    def _ask(self, method: str, params: Params) -> dict[str, Any]:
        self._wait_for_turn(method)
        try:
            answer = self._transport.request(
                "POST",
                self._base + method,
                json=params,
                headers={"Accept": "application/json"},
                timeout_seconds=self._timeout_seconds,
                operator=True,
            )
        except Unreachable as error:
            raise PortalUnavailable(
                f"{method}: the portal does not answer.", ambiguous=error.sent and _writes(method)
            ) from None
        body = _object(answer)
        if body is None:
            raise self._unreadable(method, answer)
        if "error" in body or answer.status >= 400:
            raise self._error(method, body, answer.status, answer.headers)
        return body

    def _wait_for_turn(self, method: str) -> None:
        slept = 0.0
        while (wait := self._throttle()) > 0:
            if slept + wait > PATIENCE_SECONDS:
                raise PortalUnavailable(
                    f"{method}: this portal's requests wait for their turn.", retry_after_seconds=wait
                )
            self._sleep(wait)
            slept += wait

    def _unreadable(self, method: str, answer: Answer) -> Upstream:
        status = answer.status
        if status >= 500 or status in (408, 429):
            return PortalUnavailable(
                f"{method}: the portal answers {status}.",
                retry_after_seconds=_retry_after(answer.headers),
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
        return PortalUnavailable(
            text,
            retry_after_seconds=self._pause(code.upper(), body, headers),
            ambiguous=not limited and _writes(method),  # a limit is checked before anything is done
            http_status=status,
            provider_code=code,
        )

    def _pause(self, code: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> float | None:
        asked = _retry_after(headers)
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


def _retry_after(headers: Mapping[str, str]) -> float | None:
    text = headers.get("retry-after", "").strip()
    return float(text) if text.isascii() and text.isdigit() else None

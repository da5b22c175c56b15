"""Timeline entries through VibeCode: POST /v1/timeline-logs.

Its AI Router page names the entity by `entityType`, its entity page by a numeric `entityTypeId`: the
first is tried first, the other on a 400, and what works is remembered per address.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode

from pipeline.clients.failures import wait_seconds
from pipeline.clients.messages import Body
from pipeline.clients.providers import Capabilities
from pipeline.clients.transport import Answer, Transport, Unreachable
from pipeline.contract import type_id
from pipeline.contract.php import filled
from pipeline.domain.errors import (
    BadAnswer,
    CallscribeError,
    ProviderAccount,
    ProviderRefused,
    ProviderUnavailable,
    StoreUnavailable,
)
from pipeline.domain.job import Entity

# codes of errors that come inside a good answer, by their words, and the statuses that they have elsewhere
CODES = (
    (("api_key", "unauthorized"), 401),
    (("balance", "credentials", "payment"), 402),
    (("scope", "forbidden", "access_denied"), 403),
    (("not_found",), 404),
    (("rate", "too_many", "limit_exceeded"), 429),
    (("timeout",), 504),
    (("unavailable", "internal", "server_error", "overload"), 503),
)


class VibeCode:
    """url: the base, as https://vibecode.bitrix24.tech/v1."""

    name = "vibecode"

    def __init__(
        self,
        url: str,
        key: str | None,
        *,
        transport: Transport,
        capabilities: Capabilities,
        timeout_seconds: float = 20.0,
    ) -> None:
        self._url = url.rstrip("/") + "/timeline-logs"
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._transport = transport
        self._capabilities = capabilities
        self._timeout_seconds = timeout_seconds

    def write(
        self, entity: Entity, title: str, text: str, attachment: tuple[str, bytes] | None = None
    ) -> None:
        """Writes an entry; 200 and 201 are success, unless they say that it is none. Attachments are left
        out: its entries have none.

        Raises BadAnswer and ProviderUnavailable (`ambiguous`: it may stand all the same), ProviderAccount,
        ProviderRefused.
        """
        words = {"title": title, "text": text}
        forms: dict[str, dict[str, Any]] = {
            "name": {"entityType": entity.type, "entityId": entity.id, **words}
        }
        if (number := type_id(entity.type)) is not None:
            forms["number"] = {"entityTypeId": number, "entityId": entity.id, **words, "iconCode": "info"}
        fact = f"timeline-logs:{self._url}"
        known = self._capabilities.recall(fact)
        order = sorted(forms, key=lambda form: (form != known, form == "number"))
        for form in order:
            answer = self._request("POST", self._url, body=forms[form])
            status = _status(answer)
            if status in (200, 201):
                if form != known:
                    with suppress(StoreUnavailable):  # the entry stands
                        self._capabilities.remember(fact, form)
                return
            # 422 is what validators answer where others say 400
            if status not in (400, 422) or form == order[-1]:
                raise _error(answer, status)

    def last_lines(self, entity: Entity) -> Iterator[str]:
        """The last line of each entry there.

        Raises as `write` does, ProviderRefused where it cannot list, BadAnswer where the list leaves out the
        newest.
        """
        query = urlencode({"entityTypeId": type_id(entity.type) or entity.type, "entityId": entity.id})
        answer = self._request("GET", f"{self._url}?{query}")
        if (status := _status(answer)) != 200:
            raise _error(answer, status)
        body = _object(answer)
        items = body.get("data")
        if not isinstance(items, list):
            raise BadAnswer("timeline-logs: expected a list of entries.")
        ids = []
        for item in items:
            if isinstance(item, dict) and (text := filled(item.get("text"))):
                ids.append(str(item.get("id")))
                yield text.strip().splitlines()[-1].strip()
        total = body.get("total")
        newest_first = ids == sorted(ids, key=lambda number: (len(number), number), reverse=True)
        if isinstance(total, int) and total > len(items) and not newest_first:
            raise BadAnswer("timeline-logs: the newest entries are not among those listed.")

    def _request(self, method: str, url: str, *, body: Mapping[str, Any] | None = None) -> Answer:
        try:
            return self._transport.request(
                method,
                url,
                body=Body(json=body),
                headers=self._headers,
                timeout_seconds=self._timeout_seconds,
                operator=True,
            )
        except Unreachable as error:
            raise ProviderUnavailable("timeline-logs: no answer.", ambiguous=error.sent) from None


def _object(answer: Answer) -> dict[str, Any]:
    try:
        body = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _status(answer: Answer) -> int:
    """The answer's status; of an error inside a good one, the status that its code stands for elsewhere.

    Raises BadAnswer (`ambiguous`) where what came is no answer of VibeCode's.
    """
    if answer.status not in (200, 201):
        return answer.status
    body = _object(answer)
    if not body and answer.body.strip() not in (b"", b"{}"):
        raise BadAnswer(
            "timeline-logs: the answer is not VibeCode's.", ambiguous=True, http_status=answer.status
        )
    if body.get("success") is not False and not body.get("error"):
        return answer.status
    code = (_code(body) or "").lower()
    if code.isdigit() and 400 <= int(code) < 600:
        return int(code)
    said = next((status for words, status in CODES if any(word in code for word in words)), None)
    return said or (503 if wait_seconds({}, body, limited=False) is not None else 422)


def _code(body: Mapping[str, Any]) -> str | None:
    inner = body.get("error")
    fields: dict[str, Any] = inner if isinstance(inner, dict) else {"code": inner}
    return (filled(fields.get("code")) or "")[:60] or None


def _error(answer: Answer, status: int) -> CallscribeError:
    """{"success": false, "error": {code, message, retryAfter?}} as one of ours; only the code is quoted."""
    body = _object(answer)
    code = _code(body) or ""
    text = f"timeline-logs: {answer.status}{' ' + code if code else ''}."
    if status in (401, 402, 403):
        return ProviderAccount(
            f"{text} Check CALLSCRIBE_VIBECODE_KEY, its balance and its scope crm.",
            http_status=status,
            provider_code=code,
        )
    if status >= 500 or status in (408, 429):
        return ProviderUnavailable(
            text,
            retry_after_seconds=wait_seconds(answer.headers, body, limited=status == 429),
            ambiguous=status in (502, 504),  # a gateway that lost the answer; others say that they failed
            http_status=status,
            provider_code=code,
        )
    return ProviderRefused(text, http_status=status, provider_code=code)

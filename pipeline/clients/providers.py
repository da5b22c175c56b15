"""How an OpenAI-compatible provider is called, and what its answers mean.

One request goes out per rung of a *ladder*: the wanted form first, plainer ones when it is answered 400.
Nothing else is asked twice here; every retry belongs to the job's record. What each answer means:

| answer | error | why |
|---|---|---|
| 400, 404, 405, 410, 413, 415, 422, 501, 3xx | ProviderRefused | the same request will be refused again |
| 401, 402, 403, and any with a code of ACCOUNT_CODES | ProviderAccount | the key, its balance or its scope |
| 408, 409, 425, 429, other 5xx | ProviderUnavailable | it passes |
| no answer | ProviderUnavailable | ambiguous when the whole request had been sent |

*Ambiguous* (the call may have been served, and paid) are also a 504, where the provider's own time ran
out after it took the request, and a gateway's bare 502 without the provider's code. A 502
`ai_provider_unavailable`, any 500 and 503 are the provider's word that nothing was served.

Sources: the error tables of the VibeCode AI Router and of the OpenAI API; both error shapes
(`{"error": {message, type, code}}` and `{"success": false, "error": {code, message, retryAfter}}`).
A provider's own sentence is never repeated: servers are known to echo what they were sent.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, Protocol
from urllib.parse import urlsplit

import structlog

from pipeline.clients.transport import Answer, Transport, Unreachable
from pipeline.domain.errors import (
    BadAnswer,
    CallscribeError,
    ProviderAccount,
    ProviderRefused,
    ProviderUnavailable,
    Upstream,
)
from pipeline.settings.portals import Provider

log = structlog.get_logger(__name__)

FORM_REFUSED = (400, 422)  # 422 is what servers built on pydantic say where OpenAI says 400
ACCOUNT = (401, 402, 403)
ACCOUNT_CODES = ("insufficient_quota", "billing_hard_limit_reached", "insufficient_balance")
PASSING = (408, 409, 425, 429)
LONGEST_PAUSE_SECONDS = 86_400.0

MEANING = {
    "invalid_request": "the request is not valid for it",
    "no_file": "no file came with the request",
    "empty_file": "the file is empty",
    "invalid_language": "it does not accept the language",
    "no_default_model": "it has no default model: name one",
    "missing_api_key": "no API key is set",
    "invalid_api_key": "it does not accept the API key",
    "insufficient_balance": "the balance is used up",
    "insufficient_quota": "the balance is used up",
    "ai_credentials_not_configured": "no AI credentials are configured for this key",
    "scope_missing": "the key lacks the scope for this work",
    "ai_model_not_found": "it does not know the model",
    "model_not_found": "it does not know the model",
    "ai_provider_timeout": "the model did not finish in time",
    "ai_provider_unavailable": "the model's own provider is away",
    "model_unavailable": "the model is away",
    "context_length_exceeded": "the text is longer than the model takes",
}
MEANING_BY_STATUS = {
    401: "it does not accept the API key",
    402: "the balance is used up",
    403: "the key may not do this",
    404: "it knows no such address or model",
    413: "the upload is larger than it takes",
    429: "it asks to slow down",
}


class Capabilities(Protocol):
    """What was learned of a server; keys name the server's URL and the model."""

    def recall(self, key: str) -> str | None:
        """What was remembered under the key, or None."""

    def remember(self, key: str, value: str) -> None:
        """Keeps a small fact."""


class Unremembered:
    """Capabilities that last as long as the object: for one-off commands."""

    def __init__(self) -> None:
        self._facts: dict[str, str] = {}

    def recall(self, key: str) -> str | None:
        return self._facts.get(key)

    def remember(self, key: str, value: str) -> None:
        self._facts[key] = value


class Caller:
    """Sends to one provider; raises for every answer that is not a success, except a refused form."""

    def __init__(self, provider: Provider, transport: Transport, capabilities: Capabilities) -> None:
        self.provider = provider
        self._transport = transport
        self._capabilities = capabilities

    def key(self, model: str | None, fact: str) -> str:
        """The name under which a fact of this server and model is remembered."""
        return f"{self.provider.url}|{model or ''}|{fact}"

    def recall(self, model: str | None, fact: str) -> str | None:
        """What was learned of this server and model."""
        return self._capabilities.recall(self.key(model, fact))

    def remember(self, model: str | None, fact: str, value: str) -> None:
        """Keeps what was learned. Never raises: a paid answer is in our hands when this is called."""
        with suppress(CallscribeError):
            if self._capabilities.recall(self.key(model, fact)) != value:
                self._capabilities.remember(self.key(model, fact), value)

    def post(self, path: str, *, timeout_seconds: float, **content: Any) -> Answer:
        """One request. Answers of FORM_REFUSED are returned, other failures raised (see the table)."""
        url = self.provider.url + path
        headers = {"Accept": "application/json"}
        if self.provider.key:
            headers["Authorization"] = f"Bearer {self.provider.key}"
        try:
            answer = self._transport.request(
                "POST", url, headers=headers, timeout_seconds=timeout_seconds, operator=True, **content
            )
        except Unreachable as error:
            raise ProviderUnavailable(error.message, ambiguous=error.sent) from None
        _tell_deprecation(url, answer.headers)
        if answer.status not in FORM_REFUSED and not 200 <= answer.status < 300:
            raise failure(answer, host=self.host)
        return answer

    @property
    def host(self) -> str:
        return urlsplit(self.provider.url).hostname or "the provider"

    def climb_down(
        self,
        model: str | None,
        fact: str,
        forms: Sequence[str],
        send: Callable[[str, float], Answer],
        *,
        timeout_seconds: float,
    ) -> tuple[str, Answer]:
        """Asks in the first form that this server is not known to refuse, then in plainer ones.

        `send(form, seconds left)` makes one request. A refused request was not served, so not paid.
        The form that was taken is remembered when a richer one had been refused.
        Raises ProviderRefused when the plainest form is refused too.
        """
        ends_at = time.monotonic() + timeout_seconds
        known = self.recall(model, fact)
        first = forms.index(known) if known in forms else 0
        for form in forms[first:]:
            answer = send(form, max(1.0, ends_at - time.monotonic()))
            if answer.status not in FORM_REFUSED:
                if form != forms[first]:
                    self.remember(model, fact, form)
                return form, answer
        raise failure(answer, host=self.host)


def raw_answer(answer: Answer, *, model: str | None, form: str) -> dict[str, Any]:
    """An answer as it is stored before anything reads it; JSON can hold it."""
    return {
        "model": model,
        "form": form,
        "status": answer.status,
        "content_type": answer.headers.get("content-type", ""),
        "body": answer.body.decode("utf-8", "replace"),
    }


def body_object(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON object of a stored answer; raises BadAnswer.

    An error object that comes with status 200 is no answer either.
    """
    try:
        body = json.loads(raw["body"])
    except (ValueError, RecursionError):
        raise BadAnswer("The provider's answer is not JSON.", http_status=raw["status"]) from None
    if not isinstance(body, dict):
        raise BadAnswer("The provider's answer is no JSON object.", http_status=raw["status"])
    if body.get("error") and not body.keys() & {"text", "choices", "data"}:
        code = _code(body)
        raise BadAnswer(
            f"The provider answered an error with status {raw['status']}{_named(code)}.",
            http_status=raw["status"],
            provider_code=code,
        )
    return body


def amounts(raw: Mapping[str, Any]) -> dict[str, int]:
    """What a stored answer says it took: prompt_tokens, completion_tokens, images; 0 where it does not tell.

    The names of tokens are those of chat completions, or input_tokens and output_tokens of newer interfaces.
    """
    with suppress(BadAnswer):
        body = body_object(raw)
        usage = body.get("usage")
        told = usage if isinstance(usage, dict) else {}
        data = body.get("data")
        return {
            "prompt_tokens": _amount(told.get("prompt_tokens", told.get("input_tokens"))),
            "completion_tokens": _amount(told.get("completion_tokens", told.get("output_tokens"))),
            "images": len(data) if isinstance(data, list) else 0,
        }
    return {"prompt_tokens": 0, "completion_tokens": 0, "images": 0}


def _amount(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0


def failure(answer: Answer, *, host: str) -> Upstream:
    """The error that an unsuccessful answer means (see the table above)."""
    body = _error_body(answer)
    code = _code(body)
    status = answer.status
    meaning = MEANING.get((code or "").lower()) or MEANING_BY_STATUS.get(status)
    message = f"The provider at {host} answered {status}{_named(code)}"
    message += f": {meaning}." if meaning else "."
    pause = retry_after_seconds(answer.headers, body, limited=status == 429)
    if status in ACCOUNT or code in ACCOUNT_CODES:
        return ProviderAccount(message, http_status=status, provider_code=code, retry_after_seconds=pause)
    if status in PASSING or (status >= 500 and status != 501):
        served = status in (504, 524) or (status == 502 and code is None)
        return ProviderUnavailable(
            message,
            http_status=status,
            provider_code=code,
            retry_after_seconds=pause,
            ambiguous=served,
        )
    if 300 <= status < 400:
        message = f"The provider at {host} answers with a redirect ({status}): set the URL it leads to."
    return ProviderRefused(message, http_status=status, provider_code=code)


def refused_parameter(answer: Answer) -> str | None:
    """The parameter that a refusal names (`error.param`), where the server is so kind."""
    error = _error_body(answer).get("error")
    param = error.get("param") if isinstance(error, dict) else None
    return param if isinstance(param, str) else None


def retry_after_seconds(
    headers: Mapping[str, str], body: Mapping[str, Any], *, limited: bool, now: float | None = None
) -> float | None:
    """How long the provider asks us to wait, seconds, or None.

    `Retry-After` in seconds or as a date (RFC 9110, 10.2.3), then `error.retryAfter` of the body, then,
    for a 429 alone, `X-RateLimit-Reset` as seconds, unix time (also in ms), a date, or `6m0s`. Dates
    count from the answer's own `Date`, so that a wrong clock on either side does no harm.
    """
    if now is None:
        now = _moment(headers.get("date", "")) or time.time()
    error = body.get("error")
    wishes = [headers.get("retry-after"), error.get("retryAfter") if isinstance(error, dict) else None]
    if limited:
        wishes += [headers.get("x-ratelimit-reset"), headers.get("x-ratelimit-reset-requests")]
    for wish in wishes:
        pause = _pause(str(wish), now) if wish is not None else None
        if pause is not None:
            return min(max(0.0, pause), LONGEST_PAUSE_SECONDS)
    return None


def _pause(wish: str, now: float) -> float | None:
    wish = wish.strip()
    if re.fullmatch(r"\d+(\.\d+)?", wish):
        number = float(wish)
        if number > 1e11:
            number /= 1000  # unix time in milliseconds
        return number - now if number > 1e9 else number
    spans = re.findall(r"(\d+(?:\.\d+)?)(ms|d|h|m|s)", wish)
    if spans and "".join(number + unit for number, unit in spans) == wish:
        unit_seconds = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
        return sum(float(number) * unit_seconds[unit] for number, unit in spans)
    moment = _moment(wish)
    return moment - now if moment is not None else None


def _moment(text: str) -> float | None:
    for parse in (parsedate_to_datetime, datetime.fromisoformat):
        with suppress(ValueError, TypeError, IndexError, OverflowError):
            moment = parse(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return None


def _error_body(answer: Answer) -> dict[str, Any]:
    with suppress(ValueError, RecursionError):
        body = json.loads(answer.body)
        if isinstance(body, dict):
            return body
    return {}


def _code(body: Mapping[str, Any]) -> str | None:
    error = body.get("error")
    words = [error.get("code"), error.get("type")] if isinstance(error, dict) else [error, body.get("code")]
    for word in words:
        if isinstance(word, str) and re.fullmatch(r"[A-Za-z0-9_.:-]{1,64}", word):
            return word
    return None


def _named(code: str | None) -> str:
    return f" ({code})" if code else ""


def _tell_deprecation(url: str, headers: Mapping[str, str]) -> None:
    used = headers.get("x-deprecated-use")
    if used or headers.get("deprecation") or headers.get("sunset"):
        _deprecated(url, used, headers.get("sunset"))


@lru_cache(maxsize=256)  # the memory that makes it once per process
def _deprecated(url: str, use: str | None, sunset: str | None) -> None:
    log.warning("provider_route_deprecated", url=url, use_instead=use, sunset=sunset)

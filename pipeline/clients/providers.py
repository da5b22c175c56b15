"""How an OpenAI-compatible provider is called, and what its answers mean.

Optional fields are rungs (`pipeline.clients.dialect`): a refused one is renamed, clamped or left out within
the same call. Nothing else is asked twice here; every retry belongs to the job's record. What each answer
means:

| answer | error | why |
|---|---|---|
| 400, 404, 405, 410, 413, 415, 422, 501, 3xx | ProviderRefused | the same request will be refused again |
| 451, and any that names content rules | ContentRefused | what is asked for is against the provider's rules |
| 401, 402, 403, and any that tells of the account | ProviderAccount | the key, its balance or its scope |
| 408, 409, 425, 429, other 5xx | ProviderUnavailable | it passes |
| no answer | ProviderUnavailable | ambiguous when the whole request had been sent |

An error that comes with status 200 counts as the status that its own code stands for. *Ambiguous* (the call
may have been served, and paid) are also a 504, where the provider's own time ran out after it took the
request, and a gateway's bare 502 without the provider's code. A 502 `ai_provider_unavailable`, any 500 and
503 are the provider's word that nothing was served.

Sources: the error tables of the VibeCode AI Router and of the OpenAI API; both error shapes
(`{"error": {message, type, code}}` and `{"success": false, "error": {code, message, retryAfter}}`).
A provider's own sentence is never repeated: servers are known to echo what they were sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from typing import Any, Protocol
from urllib.parse import urlsplit

import structlog

from pipeline.clients import lifetimes
from pipeline.clients.dialect import FORGET_SECONDS, Request, Rung, ladder, read_learned, write_learned
from pipeline.clients.envelopes import error_of, hidden_status, unwrap
from pipeline.clients.refusals import Refusal
from pipeline.clients.retry_after import retry_after_seconds
from pipeline.clients.transport import Answer, Transport, Unreachable
from pipeline.domain.errors import (
    BadAnswer,
    CallscribeError,
    ContentRefused,
    ProviderAccount,
    ProviderRefused,
    ProviderUnavailable,
    Upstream,
)
from pipeline.settings.portals import Provider

log = structlog.get_logger(__name__)

FORM_REFUSED = (400, 422)  # 422 is what servers built on pydantic say where OpenAI says 400
ACCOUNT = (401, 402, 403)
ACCOUNT_CODES = (
    "insufficient_quota",
    "billing_hard_limit_reached",
    "insufficient_balance",
    "api_key_invalid",
)
# proxies keep the sentence and lose the code
_NO_MONEY = re.compile(
    r"insufficient[_ ](?:quota|balance|credits?|funds)|exceeded your current quota|billing[_ ]hard[_ ]limit"
    r"|(?:credit|account) balance is too low|out of credits|payment required"
    r"|api key (?:is )?(?:not valid|invalid)"
    r"|incorrect api key|budget has been exceeded|exceededbudget",
    re.IGNORECASE,
)
_SOON = re.compile(
    r"(?:retry|try again) (?:in|after)\s+\d|per[ _-]?(?:minute|second|day)|free_tier", re.IGNORECASE
)
_CONTENT = re.compile(
    r"content[_ ](?:management |policy|filter|moderation)|moderation[_ ]blocked|safety[_ ]system"
    r"|responsibleaipolicy"
    r"|rejected as a result of our safety|violat\w+ .{0,40}polic|flagged (?:as|by|for)"
    r"|prohibited[_ ]content|sensitive content",
    re.IGNORECASE,
)
CONTENT_CODES = (
    "content_policy_violation", "content_filter", "moderation_blocked", "responsibleaipolicyviolation",
    "content_moderation", "safety_violation",
)  # fmt: skip
PASSING = (408, 409, 425, 429)
LONGEST_PAUSE_SECONDS = 86_400.0
DAY_SECONDS = 86_400

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

    def remember(self, key: str, value: str, *, seconds: int | None = ...) -> None:
        """Keeps a small fact for a while, a day unless told otherwise."""


class Unremembered:
    """Capabilities that last as long as the object: for one-off commands."""

    def __init__(self) -> None:
        self._facts: dict[str, str] = {}

    def recall(self, key: str) -> str | None:
        return self._facts.get(key)

    def remember(self, key: str, value: str, *, seconds: int | None = None) -> None:
        self._facts[key] = value


class Caller:
    """Sends to one provider; raises for every answer that is not a success, except a refused form."""

    def __init__(self, provider: Provider, transport: Transport, capabilities: Capabilities) -> None:
        self.provider = provider
        self._transport = transport
        self._capabilities = capabilities

    def recall(self, model: str | None, fact: str) -> str | None:
        """What was learned of this server and model; None also where the store is away."""
        with suppress(CallscribeError):
            return self._capabilities.recall(fact_key(self.provider, model, fact))
        return None

    def remember(self, model: str | None, fact: str, value: str, *, seconds: int = DAY_SECONDS) -> None:
        """Keeps what was learned. Never raises: a paid answer is in our hands when this is called."""
        with suppress(CallscribeError):
            self._capabilities.remember(fact_key(self.provider, model, fact), value, seconds=seconds)

    def post(self, path: str, model: str | None, *, timeout_seconds: float, **content: Any) -> Answer:
        """One request, its answer of any status; raises ProviderUnavailable where none came."""
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
        lifetimes.tell(model, answer.headers, self.remember)
        if 200 <= answer.status < 300:
            meant = hidden_status(answer.body, answer.headers.get("content-type", ""))
            if meant:
                return replace(answer, status=meant)
        return answer

    @property
    def host(self) -> str:
        return urlsplit(self.provider.url).hostname or "the provider"

    def ask(
        self,
        work: str,
        model: str | None,
        rungs: Sequence[Rung],
        base: Callable[[], Mapping[str, Any]],
        send: Callable[[Mapping[str, Any], float], Answer],
        *,
        content: str,
        timeout_seconds: float,
        refit: Callable[[Refusal], bool] = lambda refusal: False,
    ) -> tuple[dict[str, Any], Answer]:
        """What was sent at last, and the answer to it: the wanted form, less what this server refuses.

        work: under which it is learned. base(): what is sent in any case. send(body, seconds): one request.
        content: a digest of what the request is about. refit: see `ladder`. Raises what `failure` says.
        """
        known = read_learned(self.recall(model, f"dialect:{work}"))
        request = Request(rungs, known, content=content)
        answer = ladder(
            request,
            base,
            send,
            timeout_seconds=timeout_seconds,
            is_refusal=lambda answer: _is_form_refusal(answer, self.host),
            refit=refit,
        )
        if not 200 <= answer.status < 300:
            raise failure(answer, host=self.host)
        if (facts := request.learned()) is not None:
            text = write_learned(facts)
            self.remember(model, f"dialect:{work}", text, seconds=int(FORGET_SECONDS))
            given = {name: fact.sends for name, fact in facts.items() if name in request.moved}
            if given:
                log.info(
                    "provider_field_refused", provider=self.host, model=model, work=work, sends_instead=given
                )
        return request.body(base()), answer


def fact_key(provider: Provider, model: str | None, fact: str) -> str:
    """The name under which a fact of this server and model is remembered."""
    return f"{provider.url}|{model or ''}|{fact}"


def _is_form_refusal(answer: Answer, host: str) -> bool:
    """Whether it may be a field that is refused, rather than the account or what is asked for."""
    return answer.status in FORM_REFUSED and type(failure(answer, host=host)) is ProviderRefused


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
    """The object of a stored answer, out of whatever it came in; raises BadAnswer.

    An error object that comes with status 200 is no answer either.
    """
    try:
        body = unwrap(raw["body"].encode(), raw.get("content_type", ""))
    except BadAnswer as error:
        raise BadAnswer(error.message, http_status=raw["status"]) from None
    if error_of(body) is not None:
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
    status = answer.status
    refusal = Refusal(answer)
    code = next((word for word in refusal.codes if word.casefold() in MEANING), None) or _code(body)
    codes = {word.casefold() for word in (code, *refusal.codes) if word}
    meaning = MEANING.get((code or "").lower()) or MEANING_BY_STATUS.get(status)
    pause = wait_seconds(answer.headers, body, limited=status == 429)
    text = refusal.text
    asked = wait_seconds(answer.headers, body, limited=False)
    passes_soon = asked is not None or bool(_SOON.search(text))
    sentence = _NO_MONEY.search(text) if not passes_soon else None
    broke = bool(codes & set(ACCOUNT_CODES)) or sentence is not None
    if status not in ACCOUNT and broke and (code or "").lower() not in MEANING:
        is_key = "key" in (sentence[0].lower() if sentence else "")
        meaning = MEANING["invalid_api_key" if is_key else "insufficient_quota"]
    message = f"The provider at {host} answered {status}{_named(code)}"
    message += f": {meaning}." if meaning else "."
    if status in ACCOUNT and code in CONTENT_CODES:
        broke = False
    elif status in ACCOUNT or broke:
        return ProviderAccount(message, http_status=status, provider_code=code, retry_after_seconds=pause)
    if status == 451 or codes & set(CONTENT_CODES) or (status in (400, 422) and _CONTENT.search(text)):
        message = f"The provider at {host} refuses what is asked for by its content rules{_named(code)}."
        return ContentRefused(message, http_status=status, provider_code=code)
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


def wait_seconds(headers: Mapping[str, str], body: Mapping[str, Any], *, limited: bool) -> float | None:
    """What the provider asks us to wait, a day at the most, or None."""
    pause = retry_after_seconds(headers, body, limited=limited)
    return None if pause is None else min(pause, LONGEST_PAUSE_SECONDS)


def _error_body(answer: Answer) -> dict[str, Any]:
    with suppress(BadAnswer):
        return unwrap(answer.body, answer.headers.get("content-type", ""))
    return {}


def _code(body: Mapping[str, Any]) -> str | None:
    error = body.get("error")
    words = [error.get("code"), error.get("type")] if isinstance(error, dict) else [error, body.get("code")]
    for word in words:
        if isinstance(word, str) and not word.isdigit() and re.fullmatch(r"[A-Za-z0-9_.:-]{1,64}", word):
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

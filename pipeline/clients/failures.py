"""What an unsuccessful answer of a provider means.

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
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from pipeline.clients.envelopes import unwrap
from pipeline.clients.refusals import Refusal
from pipeline.clients.retry_after import retry_after_seconds
from pipeline.clients.transport import Answer
from pipeline.domain.errors import (
    BadAnswer,
    ContentRefused,
    ProviderAccount,
    ProviderRefused,
    ProviderUnavailable,
    Upstream,
)

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


def failure(answer: Answer, *, host: str) -> Upstream:
    """The error that an unsuccessful answer means (see the table above)."""
    body = _error_body(answer)
    status = answer.status
    refusal = Refusal(answer)
    code = next((word for word in refusal.codes if word.casefold() in MEANING), None) or code_of(body)
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
    message = f"The provider at {host} answered {status}{named(code)}"
    message += f": {meaning}." if meaning else "."
    if status in ACCOUNT and code in CONTENT_CODES:
        broke = False
    elif status in ACCOUNT or broke:
        return ProviderAccount(message, http_status=status, provider_code=code, retry_after_seconds=pause)
    if status == 451 or codes & set(CONTENT_CODES) or (status in (400, 422) and _CONTENT.search(text)):
        message = f"The provider at {host} refuses what is asked for by its content rules{named(code)}."
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


def code_of(body: Mapping[str, Any]) -> str | None:
    """The code, or else the type, of an error's body; None for what is no word."""
    error = body.get("error")
    words = [error.get("code"), error.get("type")] if isinstance(error, dict) else [error, body.get("code")]
    for word in words:
        if isinstance(word, str) and not word.isdigit() and re.fullmatch(r"[A-Za-z0-9_.:-]{1,64}", word):
            return word
    return None


def named(code: str | None) -> str:
    """A code in brackets, for a sentence; nothing without one."""
    return f" ({code})" if code else ""

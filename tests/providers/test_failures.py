"""The error tables: which answer of a provider means which error."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from structlog.testing import capture_logs

from pipeline.clients import providers
from pipeline.clients.chat import Chat
from pipeline.clients.failures import LONGEST_PAUSE_SECONDS, wait_seconds
from pipeline.clients.lifetimes import read_day
from pipeline.clients.providers import Unremembered
from pipeline.clients.transport import Transport
from pipeline.domain.errors import (
    ContentRefused,
    ProviderAccount,
    ProviderRefused,
    ProviderUnavailable,
    StoreUnavailable,
    Upstream,
)
from pipeline.domain.job import Message
from pipeline.settings.portals import Provider

from .conftest import Scripted

ASK = (Message(role="user", content="a word that must not leak"),)


def raw_shape(code: str, message: str = "a word that must not leak") -> dict[str, Any]:
    return {"error": {"message": message, "type": "some_error", "code": code}}


def wrapped_shape(code: str, **more: Any) -> dict[str, Any]:
    return {"success": False, "error": {"code": code, "message": "a word that must not leak", **more}}


def ask(server: Scripted, transport: Transport, model: str | None = "m") -> Upstream:
    chat = Chat(server.provider(model), transport, Unremembered())
    with pytest.raises(Upstream) as caught:
        chat.ask(ASK, model=model, timeout_seconds=5)
    return caught.value


@pytest.mark.parametrize(
    ("status", "code", "kind", "ambiguous"),
    [
        (400, "invalid_request", ProviderRefused, False),
        (400, "no_default_model", ProviderRefused, False),
        (401, "MISSING_API_KEY", ProviderAccount, False),
        (401, "INVALID_API_KEY", ProviderAccount, False),
        (402, "insufficient_balance", ProviderAccount, False),
        (402, "ai_credentials_not_configured", ProviderAccount, False),
        (403, "scope_missing", ProviderAccount, False),
        (404, "ai_model_not_found", ProviderRefused, False),
        (413, "request_too_large", ProviderRefused, False),
        (422, "invalid_request", ProviderRefused, False),
        (408, "timeout", ProviderUnavailable, False),
        (429, "rate_limit_exceeded", ProviderUnavailable, False),
        (429, "insufficient_quota", ProviderAccount, False),
        (500, "internal", ProviderUnavailable, False),
        (501, "not_implemented", ProviderRefused, False),
        (502, "ai_provider_unavailable", ProviderUnavailable, False),
        (503, "model_unavailable", ProviderUnavailable, False),
        (504, "ai_provider_timeout", ProviderUnavailable, True),
    ],
)
def test_every_code_has_its_error(
    server: Scripted, transport: Transport, status: int, code: str, kind: type[Upstream], ambiguous: bool
) -> None:
    """Both error shapes give the class, status, code and ambiguity of the table, after one request; what may
    be about a field, after one more without any."""
    often = 2 if status in (400, 422) else 1
    for body in (raw_shape(code), wrapped_shape(code)):
        for _ in range(often):
            server.answer(status, body)
        error = ask(server, transport)
        assert type(error) is kind
        assert (error.http_status, error.provider_code, error.ambiguous) == (status, code, ambiguous)
        assert code in error.message
        assert str(status) in error.message
        assert "leak" not in error.message
    assert len(server.asked) == 2 * often


@pytest.mark.parametrize(("status", "ambiguous"), [(502, True), (503, False), (504, True), (524, True)])
def test_a_gateway_without_a_code(
    server: Scripted, transport: Transport, status: int, ambiguous: bool
) -> None:
    """A gateway's bare page is transient; the call may have been served where the gateway gave up waiting."""
    server.answer(status, b"<html>Bad Gateway</html>", content_type="text/html")
    error = ask(server, transport)
    assert type(error) is ProviderUnavailable
    assert error.ambiguous is ambiguous


def test_a_lost_answer_is_ambiguous(server: Scripted, transport: Transport) -> None:
    """A request that was sent before the connection ended may have been served; else it was not."""
    server.answer(0)
    assert ask(server, transport).ambiguous
    gone = Chat(Provider(url="http://127.0.0.1:1/v1", key=None, models=("m",)), transport, Unremembered())
    with pytest.raises(ProviderUnavailable) as caught:
        gone.ask(ASK, model="m", timeout_seconds=5)
    assert not caught.value.ambiguous


def test_a_redirect_is_refused(server: Scripted, transport: Transport) -> None:
    """A provider's redirect is not followed, so that the key goes nowhere else."""
    server.answer(307, b"", location="http://127.0.0.1:1/elsewhere")
    error = ask(server, transport)
    assert type(error) is ProviderRefused
    assert "redirect" in error.message
    assert len(server.asked) == 1


def test_no_secret_in_messages(server: Scripted, transport: Transport) -> None:
    """What a provider echoes (the key, the prompt) reaches no message."""
    server.answer(401, raw_shape("invalid_api_key", "Incorrect API key provided: secret-key-of-the-test"))
    assert "secret-key" not in ask(server, transport).message
    for _ in range(2):
        server.answer(422, {"detail": [{"msg": "Field required", "input": "a word that must not leak"}]})
    assert "leak" not in ask(server, transport).message


def test_the_key_is_a_bearer(server: Scripted, transport: Transport) -> None:
    """The key goes as Authorization: Bearer, and without a key nothing goes."""
    server.answer(200, {})
    server.answer(200, {})
    Chat(server.provider("m"), transport, Unremembered()).ask(ASK, model="m")
    keyless = Provider(url=f"{server.url}/v1", key=None, models=("m",))
    Chat(keyless, transport, Unremembered()).ask(ASK, model="m")
    assert server.asked[0].headers["authorization"] == "Bearer secret-key-of-the-test"
    assert "authorization" not in server.asked[1].headers


@pytest.mark.parametrize(
    ("headers", "body", "limited", "expected"),
    [
        ({"retry-after": "7"}, {}, True, 7.0),
        ({"retry-after": "1.5"}, {}, True, 1.5),
        ({"retry-after": "Fri, 20 Nov 2026 12:00:30 GMT"}, {}, True, 30.0),
        ({"retry-after": "Fri, 20 Nov 2026 11:00:00 GMT"}, {}, True, 0.0),
        ({"retry-after": "3", "x-ratelimit-reset": "9"}, {}, True, 3.0),
        ({"retry-after": "soon", "x-ratelimit-reset": "9"}, {}, True, 9.0),
        ({"x-ratelimit-reset": "1795176045"}, {}, True, 45.0),
        ({"x-ratelimit-reset": "1795176045500"}, {}, True, 45.5),
        ({"x-ratelimit-reset": "2026-11-20T12:00:20Z"}, {}, True, 20.0),
        ({"x-ratelimit-reset": "20"}, {}, False, None),
        ({"x-ratelimit-reset-requests": "6m0s"}, {}, True, 360.0),
        ({"x-ratelimit-reset-requests": "20ms"}, {}, True, 0.02),
        ({}, {"error": {"retryAfter": 12}}, True, 12.0),
        ({"retry-after": "99999999"}, {}, True, LONGEST_PAUSE_SECONDS),
        ({"retry-after": "-5"}, {}, True, None),
        ({}, {"error": "text"}, True, None),
        ({}, {}, True, None),
    ],
)
def test_how_long_to_wait(
    headers: dict[str, str], body: dict[str, Any], limited: bool, expected: float | None
) -> None:
    """Every form of Retry-After and X-RateLimit-Reset is read; dates count from the answer's own Date."""
    headers = {"date": "Fri, 20 Nov 2026 12:00:00 GMT", **headers}
    assert wait_seconds(headers, body, limited=limited) == pytest.approx(expected)


def test_the_pause_reaches_the_error(server: Scripted, transport: Transport) -> None:
    """The provider's wish stands in the error, for 429 and for 503."""
    server.answer(429, raw_shape("rate_limit_exceeded"), X_RateLimit_Reset="8")
    assert ask(server, transport).retry_after_seconds == 8
    server.answer(503, wrapped_shape("model_unavailable", retryAfter=4))
    assert ask(server, transport).retry_after_seconds == 4


def test_deprecation_is_told_once(server: Scripted, transport: Transport) -> None:
    """A route that calls itself deprecated is named in the log once, with what to use instead."""
    chat = Chat(server.provider("m"), transport, Unremembered())
    with capture_logs() as logs:
        for _ in range(3):
            server.answer(200, {}, Deprecation="true", X_Deprecated_Use="/v1/chat/completions")
            chat.ask(ASK, model="m")
    told = [entry for entry in logs if entry["event"] == "provider_route_deprecated"]
    assert len(told) == 1
    assert told[0]["use_instead"] == "/v1/chat/completions"


def test_a_store_that_is_away_costs_no_answer(server: Scripted, transport: Transport) -> None:
    """What cannot be remembered is learned again later; the paid answer is returned."""

    class Away:
        def recall(self, key: str) -> str | None:
            return None

        def remember(self, key: str, value: str, *, seconds: int | None = None) -> None:
            raise StoreUnavailable

    server.answer(400, raw_shape("invalid_request"))
    server.answer(200, {"answer": 1})
    raw = Chat(server.provider("m"), transport, Away()).ask(ASK, model="m", as_json=True)
    assert json.loads(raw["body"]) == {"answer": 1}


@pytest.mark.parametrize(
    ("status", "message", "headers", "kind"),
    [
        (
            429,
            "You exceeded your current quota, please check your plan and billing details.",
            {},
            ProviderAccount,
        ),
        (
            429,
            "litellm.RateLimitError: OpenAIException - You exceeded your current quota",
            {},
            ProviderAccount,
        ),
        (
            400,
            "litellm.BadRequestError: AnthropicException - Your credit balance is too low",
            {},
            ProviderAccount,
        ),
        (400, "Budget has been exceeded! Current cost: 10.1, Max budget: 10.0", {}, ProviderAccount),
        (400, "API key not valid. Please pass a valid API key.", {}, ProviderAccount),
        (500, "upstream: insufficient_quota", {}, ProviderAccount),
        # Google says the same of a limit per minute
        (429, "You exceeded your current quota. Please retry in 34s.", {}, ProviderUnavailable),
        (429, "You exceeded your current quota, limit: 15 requests per minute", {}, ProviderUnavailable),
        (429, "You exceeded your current quota.", {"Retry_After": "7"}, ProviderUnavailable),
        (429, "Rate limit reached for requests", {}, ProviderUnavailable),
    ],
)
def test_what_a_sentence_says_of_the_account(
    server: Scripted,
    transport: Transport,
    status: int,
    message: str,
    headers: dict[str, str],
    kind: type[Upstream],
) -> None:
    """Proxies lose the code: the sentence tells an empty account from a limit that passes."""
    for _ in range(2):
        server.answer(status, {"error": {"message": message, "code": str(status), "param": None}}, **headers)
    error = ask(server, transport)
    assert type(error) is kind
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, {"code": "content_policy_violation", "message": "no"}),
        (400, {"code": "moderation_blocked", "message": "no"}),
        (400, {"code": "no", "innererror": {"code": "ResponsibleAIPolicyViolation"}}),
        (400, {"code": "400", "message": "litellm.ContentPolicyViolationError: AzureException - The response "
                                         "was filtered, see Azure OpenAI's content management policy."}),
        (403, {"code": "content_policy_violation", "message": "no"}),
        (451, {"message": "no"}),
    ],
)  # fmt: skip
def test_content_rules_are_named_and_asked_once(
    server: Scripted, transport: Transport, status: int, error: Any
) -> None:
    """No field is given up for them, and the account is not blamed."""
    server.answer(status, {"error": error})
    caught = ask(server, transport)
    assert type(caught) is ContentRefused
    assert "content rules" in caught.message
    assert len(server.asked) == 1


def test_the_end_of_a_model_is_logged_before_it_comes(server: Scripted, transport: Transport) -> None:
    """Once a day: by our table, or as the answer's headers tell, which is remembered for doctor."""
    capabilities = Unremembered()
    chat = Chat(server.provider("m"), transport, capabilities)
    soon = (datetime.now(UTC) + timedelta(days=30)).date()
    with capture_logs() as logs:
        for model in ("gpt-4o", "gpt-4o", "openai/gpt-4o-2024-08-06", "gpt-7-of-the-future"):
            server.answer(200, {})
            chat.ask(ASK, model=model)
        server.answer(
            200,
            {},
            Deprecation="@1688169599",
            Sunset=format_datetime(datetime.now(UTC) + timedelta(days=30), usegmt=True),
        )
        chat.ask(ASK, model="m")
    told = [(e["model"], e["on"]) for e in logs if e["event"] == "model_ends"]
    assert told == [
        ("gpt-4o", "2027-01-14"),
        ("openai/gpt-4o-2024-08-06", "2027-01-14"),
        ("m", soon.isoformat()),
    ]
    assert capabilities.recall(providers.fact_key(server.provider("m"), "m", "ends")) == soon.isoformat()


@pytest.mark.parametrize(
    ("told", "day"),
    [("2027-02-26", "2027-02-26"), ("2027-02-26T00:00:00Z", "2027-02-26"), (1803600000, "2027-02-26"),
     ("@1803600000", "2027-02-26"), ("Fri, 26 Feb 2027 00:00:00 GMT", "2027-02-26"), (None, None),
     (True, None), ("", None), ("soon", None), ("true", None), ("2027-13-45", None)],
)  # fmt: skip
def test_days_are_read_in_every_form(told: Any, day: str | None) -> None:
    """Of lists of models and of headers."""
    found = read_day(told)
    assert (found.isoformat() if found else None) == day

"""How an OpenAI-compatible provider is called.

Optional fields are rungs (`pipeline.clients.dialect`): a refused one is renamed, clamped or left out within
the same call. Nothing else is asked twice here; every retry belongs to the job's record. What other answers
mean is told in `pipeline.clients.failures`.
"""

from __future__ import annotations

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
from pipeline.clients.failures import FORM_REFUSED, code_of, failure, named
from pipeline.clients.messages import Body
from pipeline.clients.refusals import Refusal
from pipeline.clients.transport import Answer, Transport, Unreachable
from pipeline.domain.errors import (
    BadAnswer,
    CallscribeError,
    ProviderRefused,
    ProviderUnavailable,
)
from pipeline.settings.portals import Provider
from pipeline.telemetry.metrics import PROVIDER_ANSWERS

log = structlog.get_logger(__name__)

MOST_TEXT_BYTES = 4 << 20  # of an answer that is kept: 25 minutes with each word's time take an eighth
DAY_SECONDS = 86_400


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

    def post(
        self,
        path: str,
        model: str | None,
        *,
        body: Body,
        timeout_seconds: float,
        max_answer_bytes: int = MOST_TEXT_BYTES,
    ) -> Answer:
        """One request, its answer of any status; raises ProviderUnavailable where none came."""
        url = self.provider.url + path
        headers = {"Accept": "application/json"}
        if self.provider.key:
            headers["Authorization"] = f"Bearer {self.provider.key}"
        try:
            answer = self._transport.request(
                "POST",
                url,
                headers=headers,
                body=body,
                timeout_seconds=timeout_seconds,
                max_answer_bytes=max_answer_bytes,
                operator=True,
            )
        except Unreachable as error:
            PROVIDER_ANSWERS.inc(self.host, path, "none")
            raise ProviderUnavailable(error.message, ambiguous=error.sent) from None
        _tell_deprecation(url, answer.headers)
        lifetimes.tell(model, answer.headers, self.remember)
        if 200 <= answer.status < 300:
            meant = hidden_status(answer.body, answer.headers.get("content-type", ""))
            if meant:
                answer = replace(answer, status=meant)
        PROVIDER_ANSWERS.inc(self.host, path, str(answer.status))
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
        code = code_of(body)
        raise BadAnswer(
            f"The provider answered an error with status {raw['status']}{named(code)}.",
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


def _tell_deprecation(url: str, headers: Mapping[str, str]) -> None:
    used = headers.get("x-deprecated-use")
    if used or headers.get("deprecation") or headers.get("sunset"):
        _deprecated(url, used, headers.get("sunset"))


@lru_cache(maxsize=256)  # the memory that makes it once per process
def _deprecated(url: str, use: str | None, sunset: str | None) -> None:
    log.warning("provider_route_deprecated", url=url, use_instead=use, sunset=sunset)

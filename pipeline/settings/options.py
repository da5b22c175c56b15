"""What an operator may set for all portals, and in PORTALS_FILE for one: each option declared once.

A field's description and example are its lines in docs/settings.md, `.env.example` and
docs/portals.example.toml. Fields are called as their variables are; `in_file` says how PORTALS_FILE has them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    SecretStr,
    model_validator,
)
from pydantic_settings import NoDecode

from pipeline.domain.errors import ForbiddenURL
from pipeline.domain.hosts import read_allowed, read_url
from pipeline.domain.languages import iso639
from pipeline.domain.transcript import Speaker

ROUTER_URL = "https://vibecode.bitrix24.tech/v1"
CHAT_MODEL = "bitrix/bitrixgpt-5.5"
TOKEN = re.compile(r"[A-Za-z0-9_-]{22,}")
WINDOW = re.compile(r"(?:[^=,\s]{1,120}=)?\s*\d{3,9}(?: (?:tokens|symbols))?")
# these stand in tables of their own in PORTALS_FILE: [acme.transcription] model = ...
SERVERS = ("router", "transcription", "chat", "image", "vibecode")


def http_address(value: str) -> str:
    """The value without a slash at its end; raises ValueError where no path can be appended to it."""
    expected = "expected an address like https://example.com, without user name, password, `?` and `#`"
    try:
        read_url(value)
    except ForbiddenURL as error:
        raise ValueError(f"{expected}. {error.message}") from None
    if "?" in value or "#" in value:
        raise ValueError(expected)
    return value.strip(" ").rstrip("/")


def _secret_address(value: SecretStr) -> SecretStr:
    """An address that is a secret, as it stands; raises ValueError as `http_address` does."""
    http_address(value.get_secret_value())
    return value


def _listed_host(value: str, *, origins: bool) -> str:
    """An entry of a list of hosts as it stands; raises ValueError. origins: `https://host` is one as well."""
    expected = "expected `host` or `host:port`" + (", or an origin like https://host" if origins else "")
    try:
        read_allowed(value)
    except ForbiddenURL:
        raise ValueError(f"{expected}, not {value.rpartition('@')[2]}") from None
    if "://" in value and (not origins or read_url(value).path != "/"):
        raise ValueError(f"{expected}, not {value}")
    return value


def _two_roles(value: Sequence[Speaker]) -> tuple[Speaker, ...]:
    """Who is on the left and on the right, or nothing where nobody knows; raises ValueError."""
    if value and sorted(value) != ["client", "manager"]:
        raise ValueError("name who is on the left and right: manager,client or client,manager")
    return tuple(value)


def _network(value: str) -> str:
    """An address or a network as it stands; raises ValueError."""
    try:
        ip_network(value)
    except ValueError:
        raise ValueError(f"expected an address or a network like 10.0.0.0/8, not {value}") from None
    return value


def _language_code(value: str) -> str:
    """ISO 639-1 of a language's code or name; raises ValueError where it is not known."""
    code = iso639(value)
    if code is None:
        raise ValueError("expected a language as ISO 639-1 (en, ru, ...) or by its name")
    return code


def _worded_language(value: Any) -> Any:
    code = iso639(value) if isinstance(value, str) else None
    if code not in ("en", "ru"):
        raise ValueError("expected en or ru, in which results are worded (what is spoken: speech_language)")
    return code


def _engine_token(value: SecretStr) -> SecretStr:
    if not TOKEN.fullmatch(text := value.get_secret_value()):
        raise ValueError(f"expected 22 or more of A-Z a-z 0-9 _ -, got {len(text)} characters")
    return value


def _window(value: str) -> str:
    if not WINDOW.fullmatch(value):
        raise ValueError("expected a number, `NUMBER symbols` or `MODEL=NUMBER tokens`")
    return value


def _comma_list(value: Any) -> Any:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


Address = Annotated[str, AfterValidator(http_address)]
SecretAddress = Annotated[SecretStr, AfterValidator(_secret_address)]
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_comma_list)]
Networks = Annotated[
    tuple[Annotated[str, AfterValidator(_network)], ...], NoDecode, BeforeValidator(_comma_list)
]
Roles = Annotated[tuple[Speaker, ...], NoDecode, BeforeValidator(_comma_list), AfterValidator(_two_roles)]
Hosts = Annotated[
    tuple[Annotated[str, AfterValidator(partial(_listed_host, origins=False))], ...],
    NoDecode,
    BeforeValidator(_comma_list),
]
Origins = Annotated[
    tuple[Annotated[str, AfterValidator(partial(_listed_host, origins=True))], ...],
    NoDecode,
    BeforeValidator(_comma_list),
]
Tokens = Annotated[
    tuple[Annotated[SecretStr, AfterValidator(_engine_token)], ...], NoDecode, BeforeValidator(_comma_list)
]
Windows = Annotated[
    tuple[Annotated[str, AfterValidator(_window)], ...], NoDecode, BeforeValidator(_comma_list)
]
Users = Annotated[tuple[NonNegativeInt, ...], NoDecode, BeforeValidator(_comma_list)]
Language = Annotated[Literal["en", "ru"], BeforeValidator(_worded_language)]
SpokenLanguage = Annotated[str, AfterValidator(_language_code)]


class PortalOptions(BaseModel):
    """What may differ from one portal to the next."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    portal_url: Address | None = Field(None, description="the portal", examples=["https://acme.bitrix24.com"])
    portal_hosts: Hosts = Field(
        (),
        description="further hosts of its callbacks: `host`, `host:port`",
        examples=[("files.acme.example",)],
    )
    portal_token: Tokens = Field(
        (),
        description="the secret in its engine URLs, 22 or more of [A-Za-z0-9_-]; two while rotating",
        examples=[("replace-me-with-32-random-characters",)],
    )
    portal_application_token: SecretStr | None = Field(
        None,
        description="the token that its events carry; unset: no events",
        examples=["from-the-application-or-outgoing-webhook"],
    )
    bitrix24_webhook: SecretAddress | None = Field(
        None,
        description="its incoming webhook URL, for REST calls",
        examples=["https://acme.bitrix24.com/rest/1/replace-me/"],
    )

    language: Language = Field("en", description="wording of results for people: en, ru", examples=["ru"])
    speech_language: SpokenLanguage | None = Field(
        None,
        description="what is spoken, where a request names no language; unset: detected",
        examples=["ru"],
    )
    channels: Roles = Field(("manager", "client"), description="who is left and right; empty: nobody knows")
    glossary: Names = Field(
        (), description="hint words for the recogniser", examples=[("Acme One", "onboarding")]
    )
    rubric: Path | None = Field(
        None,
        description="rubric file of the lead score, or `default`; unset: quality, score, reason",
        examples=["default"],
    )

    router_url: Address = Field(ROUTER_URL, description="the OpenAI-compatible provider")
    router_key: SecretStr | None = Field(None, description="its key", examples=["replace-me"])
    transcription_url: Address | None = Field(
        None, description="another provider for recognition", examples=["https://whisper.example/v1"]
    )
    transcription_key: SecretStr | None = Field(None, description="its key", examples=["replace-me"])
    transcription_model: str | None = Field(
        None, description="unset: the field is left out", examples=["gpt-transcribe"]
    )
    transcription_fallbacks: Names = Field((), description="further models, in order")
    transcription_temperature: float | None = Field(
        None,
        ge=0,
        le=1,
        description="unset: left out, since servers that read 0 literally lose words by it",
        examples=[0.2],
    )
    transcription_diarize: Literal["auto", "yes", "no"] = Field(
        "auto",
        description="ask who speaks where a recording has one channel: yes, no, auto (by the model's name)",
    )
    chat_url: Address | None = Field(
        None, description="another provider for chat", examples=["https://chat.example/v1"]
    )
    chat_key: SecretStr | None = Field(None, description="its key", examples=["replace-me"])
    chat_model: str = Field(CHAT_MODEL, description="the chat model")
    chat_fallbacks: Names = Field(
        (), description="further models, in order", examples=[("bitrix/bitrixgpt-5.0",)]
    )
    chat_window: Windows = Field(
        (),
        description="how much a chat model takes, tokens unless `symbols` follows: `16000`, "
        "`MODEL=15666 symbols`; unset: learned from its refusals",
        examples=[("bitrix/bitrixgpt-5.5=128000 tokens",)],
    )
    image_url: Address | None = Field(
        None, description="another provider for images", examples=["https://images.example/v1"]
    )
    image_key: SecretStr | None = Field(None, description="its key", examples=["replace-me"])
    image_model: str | None = Field(None, description="unset: images are not served", examples=["replace-me"])
    image_fallbacks: Names = Field((), description="further models, in order")

    timeline: Literal["vibecode", "bitrix24", "off"] = Field(
        "off", description="where the score is written: vibecode, bitrix24, off", examples=["bitrix24"]
    )
    vibecode_url: Address | None = Field(
        None,
        description="timeline entries go here, default the router's",
        examples=["https://vibecode.bitrix24.tech/v1"],
    )
    vibecode_key: SecretStr | None = Field(
        None, description="its key, default the router's", examples=["replace-me"]
    )
    redact: bool = Field(False, description="mask phones, cards and e-mails in what goes to the timeline")
    attach_transcript: bool = Field(False, description="attach the transcript to the timeline entry")
    correct_timeline: bool = Field(
        True, description="a person's correction of a score is a second entry in the timeline"
    )
    own_prompts: bool = Field(False, description="use own prompts for CRM's text steps (boxed portals)")

    notify_users: Users = Field(
        (),
        description="ids of its users who hear of trouble (scope `im`); unset: the webhook's owner, 0: none",
        examples=[("1", "17")],
    )
    daily_paid_seconds: float = Field(0, ge=0, le=1e9, description="spend cap per portal and day; 0: none")
    queue_limit: int = Field(10_000, gt=0, le=10_000_000, description="unfinished jobs per portal")
    queue_bytes: int = Field(
        128 << 20, gt=0, le=1 << 40, description="bytes of a portal's unfinished jobs, with what is found"
    )
    concurrency: int = Field(8, gt=0, le=10_000, description="paid calls of one portal at a time")

    @model_validator(mode="before")
    @classmethod
    def _empty_is_unset(cls, values: Any) -> Any:
        """An empty value is an unset one, but for channels, where it says that nobody has a role."""
        if not isinstance(values, dict):
            return values
        return {
            name: value
            for name, value in values.items()
            if value is not None and (value != "" or name == "channels")
        }


# what is one portal's own, and so never shared by several
OWN = ("portal_url", "portal_hosts", "portal_token", "portal_application_token", "bitrix24_webhook")


def in_file(name: str) -> str:
    """How PORTALS_FILE has it: `url` for portal_url, `transcription.model` for transcription_model."""
    if name in OWN:
        return {"portal_token": "tokens"}.get(name, name.removeprefix("portal_").removeprefix("bitrix24_"))
    server, _, option = name.partition("_")
    return f"{server}.{option}" if server in SERVERS else name

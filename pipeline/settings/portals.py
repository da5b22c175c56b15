"""Portals: who may ask, and all that differs from one portal to the next."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import structlog
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from pipeline.domain.errors import SettingsError
from pipeline.domain.job import PortalId
from pipeline.domain.transcript import Speaker
from pipeline.settings.installation import (
    Settings,
    http_address,
    language_code,
    listed_host,
    secret_address,
    two_roles,
)
from pipeline.settings.tables import fitted, read_table

TOKEN = re.compile(r"[A-Za-z0-9_-]{22,}")
PORTAL_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
LOOK_SECONDS = 1.0

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Provider:
    """One OpenAI-compatible server for one kind of work; models in the order of preference."""

    url: str
    key: str | None = field(repr=False)
    models: tuple[str | None, ...]  # None: the field `model` is left out


@dataclass(frozen=True, kw_only=True)
class Portal:
    """A customer's portal."""

    id: PortalId
    url: str | None
    hosts: tuple[str, ...] = ()  # further hosts of its callbacks, `host` or `host:port`
    token_digests: tuple[str, ...] = ()  # sha256 of its engine tokens
    token: str | None = field(default=None, repr=False)  # the newest of them, for its engine URLs
    application_token: str | None = field(default=None, repr=False)
    webhook: str | None = field(default=None, repr=False)
    language: str = "en"  # wording of results for people
    speech_language: str | None = None  # recognition language where the request names none
    channels: tuple[Speaker, ...] = ("manager", "client")
    glossary: tuple[str, ...] = ()
    rubric: Path | None = None
    transcription: Provider
    chat: Provider
    image: Provider | None = None
    timeline: Literal["vibecode", "bitrix24", "off"] = "off"
    vibecode: Provider | None = None
    concurrency: int = 8
    daily_paid_seconds: float = 0.0
    queue_limit: int = 10_000
    redact: bool = False
    attach_transcript: bool = False
    own_prompts: bool = False

    def serves(self, category: str) -> bool:
        """Whether this portal has an engine of the category."""
        return category in ("audio", "call", "text") or (category == "image" and self.image is not None)


class Portals(Mapping[PortalId, Portal]):
    """The portals in force, found by id or by the digest of the token in an engine URL."""

    def __init__(self, portals: tuple[Portal, ...]) -> None:
        self._by_id = {portal.id: portal for portal in portals}
        self._by_digest = {digest: portal for portal in portals for digest in portal.token_digests}

    def __getitem__(self, key: PortalId) -> Portal:
        return self._by_id[key]

    def __iter__(self) -> Any:
        return iter(self._by_id)

    def __len__(self) -> int:
        return len(self._by_id)

    def one(self, named: str | None) -> Portal:
        """The portal that is meant; the only one need not be named. Raises SettingsError."""
        if named is None and len(self) == 1:
            return next(iter(self._by_id.values()))
        if named is None:
            raise SettingsError(f"name one portal of {', '.join(sorted(self))}")
        if named not in self._by_id:
            raise SettingsError(f"no such portal: {named}")
        return self._by_id[PortalId(named)]

    def by_token(self, token: str) -> Portal | None:
        """The portal whose engine URLs carry the token; looked up by digest, so time tells nothing."""
        return self._by_digest.get(digest(token))


class LivePortals:
    """The portals as PORTALS_FILE says at the moment; a file that has become wrong changes nothing.

    take_up: called with portals before they are in force; may raise SettingsError. Raises that only when
    this is made. Thread-safe.
    """

    def __init__(self, settings: Settings, take_up: Callable[[Portals], None] = lambda portals: None) -> None:
        self._settings = settings
        self._take_up = take_up
        self._seen = _signature(settings.portals_file)
        self._portals = self._load()
        self._looked_at = time.monotonic()

    def current(self) -> Portals:
        """The portals in force; looks at the file at most once a second."""
        if self._settings.portals_file and time.monotonic() - self._looked_at >= LOOK_SECONDS:
            self._looked_at = time.monotonic()
            self._look()
        return self._portals

    def _look(self) -> None:
        seen = _signature(self._settings.portals_file)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._portals = self._load()
        except SettingsError as error:
            log.error("portals_not_reloaded", why=error.message, hint="The portals before stay in force.")
            return
        log.info("portals_reloaded", portals=len(self._portals))

    def _load(self) -> Portals:
        portals = load_portals(self._settings)
        self._take_up(portals)
        return portals


def _signature(path: Path | None) -> tuple[int, int, int] | None:
    try:
        stat = path.stat() if path else None
    except OSError:
        return None
    return (stat.st_mtime_ns, stat.st_size, stat.st_ino) if stat else None


def digest(token: str) -> str:
    """Sha256 of a token, hex."""
    return hashlib.sha256(token.encode()).hexdigest()


def load_portals(settings: Settings) -> Portals:
    """Portals of PORTALS_FILE, or the one of PORTAL_URL and PORTAL_TOKEN; SettingsError when wrong."""
    if settings.portals_file:
        return Portals(_from_file(settings, settings.portals_file))
    token = settings.portal_token.get_secret_value() if settings.portal_token else ""
    return Portals((_portal(settings, _Entry(url=settings.portal_url, tokens=_split(token)), "portal"),))


def _split(text: str) -> list[SecretStr]:
    return [SecretStr(part.strip()) for part in text.split(",") if part.strip()]


Address = Annotated[str, AfterValidator(http_address)]


class _Work(BaseModel):
    """A provider in PORTALS_FILE; what is unset comes from the settings."""

    model_config = ConfigDict(extra="forbid")
    url: Address | None = None
    key: SecretStr | None = None
    model: str | None = None
    fallbacks: list[str] | None = None


class _Entry(BaseModel):
    """One portal in PORTALS_FILE; what is unset comes from the settings."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _empty_is_unset(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        return {name: value for name, value in values.items() if value != ""}

    url: Address | None = None
    hosts: list[Annotated[str, AfterValidator(partial(listed_host, origins=False))]] = Field(
        default_factory=list
    )
    tokens: list[SecretStr] = Field(default_factory=list)
    application_token: SecretStr | None = None
    webhook: Annotated[SecretStr, AfterValidator(secret_address)] | None = None
    language: Literal["en", "ru"] | None = None
    speech_language: Annotated[str, AfterValidator(language_code)] | None = None
    channels: Annotated[list[str], AfterValidator(two_roles)] | None = None
    glossary: list[str] | None = None
    rubric: Path | None = None
    transcription: _Work = Field(default_factory=_Work)
    chat: _Work = Field(default_factory=_Work)
    image: _Work = Field(default_factory=_Work)
    timeline: Literal["vibecode", "bitrix24", "off"] | None = None
    vibecode: _Work = Field(default_factory=_Work)
    concurrency: int | None = Field(None, gt=0)
    daily_paid_seconds: float | None = Field(None, ge=0)
    queue_limit: int | None = Field(None, gt=0)
    redact: bool | None = None
    attach_transcript: bool | None = None
    own_prompts: bool | None = None


def _from_file(settings: Settings, path: Path) -> tuple[Portal, ...]:
    portals = []
    for name, table in read_table(path, named="CALLSCRIBE_PORTALS_FILE").items():
        if not PORTAL_ID.fullmatch(name):  # it is a part of the store's keys and of metrics' labels
            raise SettingsError(
                f"CALLSCRIBE_PORTALS_FILE: {path}: portal {name[:64]!r}: expected a name of A-Z a-z 0-9 _ . -"
            )
        entry = fitted(_Entry, table, named=f"CALLSCRIBE_PORTALS_FILE: {path}: portal {name}")
        if entry.rubric and not entry.rubric.is_absolute():
            entry.rubric = path.parent / entry.rubric
        portals.append(_portal(settings, entry, name))
    if not portals:
        raise SettingsError(f"CALLSCRIBE_PORTALS_FILE: {path} names no portal")
    seen: dict[str, str] = {}
    for portal in portals:
        for token in portal.token_digests:
            if seen.setdefault(token, portal.id) != portal.id:
                raise SettingsError(f"CALLSCRIBE_PORTALS_FILE: {portal.id} and {seen[token]} share a token")
    return tuple(portals)


def _portal(settings: Settings, entry: _Entry, name: str) -> Portal:
    tokens = [token.get_secret_value() for token in entry.tokens]
    for token in tokens:
        if not TOKEN.fullmatch(token):
            where = "CALLSCRIBE_PORTAL_TOKEN" if name == "portal" else f"portal {name}: tokens"
            raise SettingsError(
                f"{where}: expected 22 or more of A-Z a-z 0-9 _ -, got {len(token)} characters"
            )

    def or_else(own: Any, general: Any) -> Any:
        return own if own is not None else general

    def secret(own: SecretStr | None, general: SecretStr | None) -> str | None:
        chosen = own or general
        return chosen.get_secret_value() if chosen else None

    def provider(kind: Literal["transcription", "chat", "image"], own: _Work) -> Provider:
        url = own.url or getattr(settings, f"{kind}_url") or settings.router_url
        general = getattr(settings, f"{kind}_key") or settings.router_key
        model = own.model or getattr(settings, f"{kind}_model")
        further = own.fallbacks if own.fallbacks is not None else getattr(settings, f"{kind}_fallbacks")
        return Provider(url=url.rstrip("/"), key=secret(own.key, general), models=(model, *further))

    image = provider("image", entry.image)
    vibecode_url = entry.vibecode.url or settings.vibecode_url or settings.router_url
    vibecode_key = secret(entry.vibecode.key, settings.vibecode_key or settings.router_key)

    return Portal(
        id=PortalId(name),
        url=entry.url,
        hosts=tuple(entry.hosts),
        token_digests=tuple(digest(token) for token in tokens),
        token=tokens[0] if tokens else None,
        application_token=secret(entry.application_token, settings.portal_application_token),
        webhook=secret(entry.webhook, settings.bitrix24_webhook),
        language=or_else(entry.language, settings.portal_language),
        speech_language=or_else(entry.speech_language, settings.language),
        channels=cast("tuple[Speaker, ...]", tuple(or_else(entry.channels, settings.channels))),
        glossary=tuple(or_else(entry.glossary, settings.glossary)),
        rubric=or_else(entry.rubric, settings.rubric),
        transcription=provider("transcription", entry.transcription),
        chat=provider("chat", entry.chat),
        image=image if image.models[0] else None,
        timeline=or_else(entry.timeline, settings.timeline),
        vibecode=Provider(url=vibecode_url.rstrip("/"), key=vibecode_key, models=(None,)),
        concurrency=or_else(entry.concurrency, settings.concurrency),
        daily_paid_seconds=or_else(entry.daily_paid_seconds, settings.daily_paid_seconds),
        queue_limit=or_else(entry.queue_limit, settings.queue_limit),
        redact=or_else(entry.redact, settings.redact),
        attach_transcript=or_else(entry.attach_transcript, settings.attach_transcript),
        own_prompts=or_else(entry.own_prompts, settings.own_prompts),
    )

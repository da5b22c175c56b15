"""Portals: who may ask, and all that differs from one portal to the next."""

from __future__ import annotations

import difflib
import hashlib
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import structlog
from pydantic import SecretStr, ValidationError

from pipeline.domain.errors import SettingsError
from pipeline.domain.hosts import read_url
from pipeline.domain.job import PortalId
from pipeline.settings.installation import Settings
from pipeline.settings.options import SERVERS, PortalOptions, in_file
from pipeline.settings.tables import read_table

NAMED = "CALLSCRIBE_PORTALS_FILE"
PORTAL_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
LOOK_SECONDS = 1.0

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Provider:
    """One OpenAI-compatible server for one kind of work; models in the order of preference."""

    url: str
    key: str | None = field(repr=False)
    models: tuple[str | None, ...]  # None: the field `model` is left out
    diarize: Literal["auto", "yes", "no"] = "auto"  # of a recogniser: whether it is asked who speaks
    temperature: float | None = None  # of a recogniser; None: the field is left out
    windows: tuple[str, ...] = ()  # of a chat model: `16000`, `MODEL=16000 symbols`


class Portal(PortalOptions):
    """A customer's portal: its own options, and the installation's where it has none."""

    id: PortalId

    @property
    def url(self) -> str | None:
        """Its address."""
        return self.portal_url

    @property
    def hosts(self) -> tuple[str, ...]:
        """Further hosts of its callbacks, `host` or `host:port`."""
        return self.portal_hosts

    @property
    def own_hosts(self) -> tuple[str, ...]:
        """Where its callbacks may lie: its address, which counts with scheme and port, and its `hosts`."""
        return (self.portal_url, *self.portal_hosts) if self.portal_url else self.portal_hosts

    @property
    def tokens(self) -> tuple[str, ...]:
        """The secrets in its engine URLs, the newest first."""
        return tuple(token.get_secret_value() for token in self.portal_token)

    @property
    def token(self) -> str | None:
        """The newest of them."""
        return next(iter(self.tokens), None)

    @property
    def application_token(self) -> str | None:
        """The token that its events carry."""
        return _plain(self.portal_application_token)

    @property
    def webhook(self) -> str | None:
        """Its incoming webhook."""
        return _plain(self.bitrix24_webhook)

    @property
    def transcription(self) -> Provider:
        """Who recognises its calls."""
        models = (self.transcription_model, *self.transcription_fallbacks)
        found = self._provider(self.transcription_url, self.transcription_key, models)
        return replace(found, diarize=self.transcription_diarize, temperature=self.transcription_temperature)

    @property
    def chat(self) -> Provider:
        """Who scores and answers."""
        found = self._provider(self.chat_url, self.chat_key, (self.chat_model, *self.chat_fallbacks))
        return replace(found, windows=self.chat_window)

    @property
    def image(self) -> Provider | None:
        """Who draws, if somebody does."""
        if not self.image_model:
            return None
        return self._provider(self.image_url, self.image_key, (self.image_model, *self.image_fallbacks))

    @property
    def vibecode(self) -> Provider:
        """Where timeline entries go with `timeline = "vibecode"`."""
        return self._provider(self.vibecode_url, self.vibecode_key, (None,))

    def _provider(self, url: str | None, key: SecretStr | None, models: tuple[str | None, ...]) -> Provider:
        return Provider(url=url or self.router_url, key=_plain(key or self.router_key), models=models)

    def serves(self, category: str) -> bool:
        """Whether this portal has an engine of the category."""
        return category in ("audio", "call", "text") or (category == "image" and self.image is not None)


def _plain(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


class Portals(Mapping[PortalId, Portal]):
    """The portals in force, found by id or by the digest of the token in an engine URL."""

    def __init__(self, portals: tuple[Portal, ...]) -> None:
        self._by_id = {portal.id: portal for portal in portals}
        self._by_digest = {digest(token): portal for portal in portals for token in portal.tokens}

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
    shared = {name: getattr(settings, name) for name in PortalOptions.model_fields}
    if not settings.portals_file:
        return Portals((Portal(id=PortalId("portal"), **shared),))
    path = settings.portals_file
    tables = read_table(path, named=NAMED)
    if not tables:
        raise SettingsError(f"{NAMED}: {path} names no portal")
    portals = tuple(
        _entry(name, table, shared, path, alone=len(tables) == 1) for name, table in tables.items()
    )
    seen: dict[str, str] = {}
    for portal in portals:
        for token in portal.tokens:
            if seen.setdefault(token, portal.id) != portal.id:
                raise SettingsError(f"{NAMED}: {portal.id} and {seen[token]} share a token")
    return Portals(portals)


def _entry(name: str, table: Any, shared: Mapping[str, Any], path: Path, *, alone: bool) -> Portal:
    if not PORTAL_ID.fullmatch(name):  # it is a part of the store's keys and of metrics' labels
        raise SettingsError(f"{NAMED}: {path}: portal {name[:64]!r}: expected a name of A-Z a-z 0-9 _ . -")
    where = f"{NAMED}: {path}: portal {name}"
    if not isinstance(table, dict):
        raise SettingsError(f"{where}: expected a table: [{name}]")
    own = {key: value for key, value in _flat(table, where).items() if value != ""}
    if rubric := own.get("rubric"):
        own["rubric"] = path.parent / str(rubric)
    try:
        portal = Portal.model_validate({**shared, **own, "id": name})
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        given = ".".join((in_file(str(fault["loc"][0])), *map(str, fault["loc"][1:])))
        raise SettingsError(f"{where}: {given}: {fault['msg'].removeprefix('Value error, ')}") from None
    if alone or "bitrix24_webhook" in own or _same_host(portal.webhook, portal.url):
        return portal
    # it is another's: the scores of this one would be written into that one's CRM
    return portal.model_copy(update={"bitrix24_webhook": None})


def _same_host(one: str | None, other: str | None) -> bool:
    return bool(one and other) and read_url(one or "").host == read_url(other or "").host


def _flat(table: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The table by the options' own names; raises SettingsError naming what is no option there."""
    short = {in_file(name): name for name in PortalOptions.model_fields}
    names = short | {name: name for name in PortalOptions.model_fields}
    flat = {}
    for key, value in table.items():
        within = value.items() if isinstance(value, dict) and key in SERVERS else [("", value)]
        for option, each in within:
            given = f"{key}.{option}" if option else key
            if given not in names:
                there = [name for name in short if name.startswith(f"{key}.")] if option else list(short)
                near = difflib.get_close_matches(given, there, 1)
                hint = f"did you mean {near[0]}?" if near and not option else f"known are {', '.join(there)}"
                raise SettingsError(f"{where}: {given}: no such option; {hint}")
            flat[names[given]] = each
    return flat

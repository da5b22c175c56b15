"""What a step is given to work with, opened once per process."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pipeline.audio.decoder import Decoder
from pipeline.domain.errors import CallscribeError
from pipeline.domain.job import Delivery, Job
from pipeline.scoring.rubric import read_rubric
from pipeline.settings.installation import Settings
from pipeline.settings.portals import LivePortals, Portal, Portals
from pipeline.storage.blobs import Blobs
from pipeline.store import Store
from pipeline.store.watermark import read_mark
from pipeline.telemetry.logs import REDACTOR, secrets_of

if TYPE_CHECKING:
    from pipeline.archive.archive import Archive
    from pipeline.clients.transport import Transport

DAY_SECONDS = 86_400


@dataclass(frozen=True, kw_only=True)
class Tools:
    """The clients and settings of this process."""

    settings: Settings
    live: LivePortals
    store: Store
    blobs: Blobs
    decoder: Decoder = field(default_factory=Decoder)
    _opening: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def portal(self, job: Job) -> Portal:
        """The job's portal; a portal that was taken out of the settings is a clear error."""
        if job.portal not in self.portals:
            raise UnknownPortal(f"portal {job.portal} is not in the settings any more")
        return self.portals[job.portal]

    @property
    def portals(self) -> Portals:
        """The portals in force."""
        return self.live.current()

    @property
    def memory_seconds(self) -> int:
        """How old a call may be for an event about it: its record is not gone yet, so it is no second one."""
        return int(max(self.settings.retention_seconds, self.settings.backfill_seconds, DAY_SECONDS))

    @cached_property
    def transport(self) -> Transport:
        """The one way out, opened at first use: HTTP takes a tenth of the api's start, and intake none of it.

        Two threads that ask at the same moment may make two; each is good.
        """
        from pipeline.clients.transport import Transport

        return Transport.of(self.settings)

    @property
    def archive(self) -> Archive:
        """The archive of calls, opened at first use: it takes half a second, and most processes need none."""
        with self._opening:
            return self._archive

    @cached_property
    def _archive(self) -> Archive:
        from pipeline.archive.archive import Archive

        return Archive.open(self.settings.archive_url)

    def close(self) -> None:
        """Gives all connections back."""
        self.decoder.close()
        if "transport" in self.__dict__:
            self.transport.close()
        self.store.close()
        if "_archive" in self.__dict__:
            self._archive.close()


class UnknownPortal(CallscribeError):
    """The job's portal is not in the settings, or not yet in those of this process."""

    slug = "unknown_portal"
    transient = True
    hint = "Put the portal back into the settings, or erase the job."


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a step found out: facts for the record, facts that hold no longer, and what was sent.

    used, passed, known: as `Transition` has them. waits: of a part that nobody goes on with alone: it is
    written down with what comes next.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    forget: tuple[str, ...] = ()
    deliveries: tuple[Delivery, ...] = ()
    used: Mapping[str, float] | None = None
    passed: tuple[str, ...] = ()
    known: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    waits: bool = False


class Snooze(Exception):
    """The step cannot be done now; not a failure.

    seconds: from now. uncounted: it was not really tried. deliveries: what was sent meanwhile.
    """

    def __init__(
        self,
        seconds: float,
        why: str,
        *,
        uncounted: bool = True,
        deliveries: tuple[Delivery, ...] = (),
    ) -> None:
        super().__init__(why)
        self.seconds = seconds
        self.why = why
        self.uncounted = uncounted
        self.deliveries = deliveries


def live_portals(settings: Settings) -> LivePortals:
    """The portals, read again when their file changes; their rubrics are read with them, for errors' sake.

    No secret of theirs reaches a log. Raises SettingsError.
    """

    def take_up(portals: Portals) -> None:
        REDACTOR.learn(secrets_of(settings, portals))
        for portal in portals.values():
            if portal.rubric:
                read_rubric(portal.rubric, language=portal.language)

    return LivePortals(settings, take_up)


def checked_portals(settings: Settings) -> Portals:
    """The portals in force; raises SettingsError for what would end each process right after its start."""
    _check_transport(settings)
    return live_portals(settings).current()


def _check_transport(settings: Settings) -> None:
    """Raises SettingsError for what it cannot be made with; without any of the three it always can."""
    if settings.trusted_hosts or settings.provider_proxy or settings.ca_file:
        from pipeline.clients.transport import Transport

        Transport.of(settings).close()


def open_tools(settings: Settings, live: LivePortals | None = None) -> Tools:
    """Opens what the settings name; raises SettingsError."""
    _check_transport(settings)
    store = Store(settings.store_url)
    store.watermark.expect(read_mark(settings.data_dir))
    return Tools(
        settings=settings,
        live=live or live_portals(settings),
        store=store,
        blobs=Blobs.open(settings.storage),
    )

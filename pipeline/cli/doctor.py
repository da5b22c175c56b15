"""`callscribe doctor`: every part that calls depend on, one line each with what to do."""

from __future__ import annotations

import contextlib
import shutil
import struct
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import click

from pipeline.audio.decoder import Decoder
from pipeline.audio.sniff import sniff
from pipeline.bitrix24 import engines
from pipeline.bitrix24.checks import Check, arrival_checks
from pipeline.bitrix24.rest import Bitrix24
from pipeline.cli import WorkFailed, attached, drawing
from pipeline.cli.providers import provider_checks
from pipeline.cli.terminal import echo
from pipeline.clients.transport import Transport
from pipeline.domain.errors import CallscribeError, SettingsError
from pipeline.domain.job import Category
from pipeline.settings.environment import mistakes
from pipeline.settings.installation import Settings, load
from pipeline.settings.portals import Portal
from pipeline.steps.pictures import is_served
from pipeline.steps.tools import checked_portals
from pipeline.storage.blobs import Blobs

MARKS = {"ok": click.style("ok  ", fg="green"), "failed": click.style("FAIL", fg="red"), "unknown": "?   "}
LOW_BYTES = 1 << 30


@click.command()
def doctor() -> None:
    """Checks store, disk, media libraries, providers, portals and addresses; exit 1 when one fails."""
    settings = load()
    portals = checked_portals(settings).values()
    failed = 0
    with contextlib.closing(Transport.of(settings)) as inside:
        for check in checks(settings, list(portals), inside):
            failed += check.state == "failed"
            echo(f"  {check.name}: {check.says}", mark=MARKS[check.state])
            if check.hint:
                echo(f"      -> {check.hint}")
    if failed:
        raise WorkFailed(f"{failed} {'checks' if failed > 1 else 'check'} failed")


def checks(settings: Settings, portals: Sequence[Portal], inside: Transport) -> Iterator[Check]:
    """All checks, in the order of a call's way; none raises."""
    for mistake in mistakes():
        yield Check(name="settings", state="failed", says=mistake, hint="docs/settings.md names all of them.")
    yield from _store(settings)
    yield _tried("audio storage", lambda: Blobs.open(settings.storage).usable(), "takes and gives back files")
    yield _disk(settings)
    yield _media()
    yield from provider_checks(settings, portals, inside)
    for portal in portals:
        yield from _portal(settings, portal, inside)


def _tried(name: str, check: Callable[[], object], well: str) -> Check:
    try:
        check()
    except CallscribeError as error:
        return Check(name=name, state="failed", says=error.message, hint=error.hint)
    return Check(name=name, state="ok", says=well)


def _store(settings: Settings) -> Iterator[Check]:
    kind = "Redis" if settings.redis_url else "embedded store"
    try:
        with attached.opened_store(settings) as store:
            store.ping()
            found = store.durability()
            yield Check(
                name=kind, state="ok" if found.is_safe else "failed", says=found.says, hint=found.hint
            )
            waiting = store.tick()
            if at := store.unsettled_since():
                says = f"it has gone back, seen at {drawing.moment(at)}: jobs may be missing, or run again"
                hint = "For a day from then on timeline entries are looked up before they are written."
                yield Check(name="the store's past", state="failed", says=says, hint=hint)
            says = ", ".join(f"{queue} {count}" for queue, count in waiting.items())
            yield Check(name="steps that wait for a worker", state="ok", says=says)
    except CallscribeError as error:
        yield Check(name=kind, state="failed", says=error.message, hint=error.hint)


def _disk(settings: Settings) -> Check:
    place = settings.data_dir.resolve()
    there = next(path for path in (place, *place.parents) if path.exists())
    free = shutil.disk_usage(there).free
    says = f"{free / 1e9:.1f} GB are free at {place}"
    if free < LOW_BYTES:
        return Check(
            name="disk", state="failed", says=says, hint="Make room: a full disk ends intake with 503."
        )
    return Check(name="disk", state="ok", says=says)


def _media() -> Check:
    """Whether recordings are read, in a process that can reach nothing else."""
    with contextlib.closing(Decoder()) as decoder:
        check = _tried("media libraries", lambda: _hear_a_tone(decoder), "PyAV and libmagic read a recording")
        if check.state != "ok" or not decoder.unconfined:
            return check
        lacks = ", ".join(decoder.unconfined)
        return replace(
            check,
            says=f"{check.says}, but its process is not confined in: {lacks}",
            hint="This system's kernel, or its container's profile, does not allow it; see SECURITY.md.",
        )


def _hear_a_tone(decoder: Decoder) -> None:
    """Half a second of a square wave, without an extension, through detection."""
    frames = struct.pack("<4000h", *([8000, 8000, -8000, -8000] * 1000))
    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(frames), b"WAVE", b"fmt ", 16, 1, 1, 8000, 16000, 2, 16,
        b"data", len(frames),
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="callscribe-") as folder:
        path = Path(folder) / "tone"
        path.write_bytes(head + frames)
        decoder.run(sniff, path, sha256="", content_type=None, max_seconds=60)


def _portal(settings: Settings, portal: Portal, inside: Transport) -> Iterator[Check]:
    if portal.url is None:
        yield Check(
            name=f"{portal.id}: address",
            state="failed",
            says="is not set, so its callbacks are refused",
            hint="Set CALLSCRIBE_PORTAL_URL.",
        )
    if portal.token is None:
        yield Check(
            name=f"{portal.id}: engine token",
            state="failed",
            says="is not set",
            hint="Set CALLSCRIBE_PORTAL_TOKEN; `callscribe portals rotate` makes one.",
        )
    urls = _urls(settings, portal)
    if urls:
        yield _address(settings, portal, urls[Category.AUDIO], inside)
    elif portal.token:
        yield Check(
            name=f"{portal.id}: our address",
            state="failed",
            says="is not set",
            hint="Set CALLSCRIBE_PUBLIC_URL to how the portal reaches this service.",
        )
    if portal.webhook is None:
        needs = "engines are registered by hand and scores are not linked to deals"
        if portal.timeline == "bitrix24":
            yield Check(
                name=f"{portal.id}: webhook",
                state="failed",
                says="is not set, and CALLSCRIBE_TIMELINE=bitrix24 cannot write without it",
                hint="Set CALLSCRIBE_BITRIX24_WEBHOOK, or the portal's `webhook` in the file of portals.",
            )
            return
        yield Check(name=f"{portal.id}: webhook", state="unknown", says=f"is not set: {needs}")
        return
    try:
        rest = Bitrix24(portal.webhook, transport=inside)
    except SettingsError as error:
        yield Check(name=f"{portal.id}: webhook", state="failed", says=error.message, hint=error.hint)
        return
    for check in arrival_checks(rest, urls):
        yield Check(name=f"{portal.id}: {check.name}", state=check.state, says=check.says, hint=check.hint)


def _urls(settings: Settings, portal: Portal) -> dict[Category, str]:
    if not settings.public_url or not portal.token:
        return {}
    return {
        category: engines.completions_url(settings.public_url, portal.token, category)
        for category in Category
        if is_served(portal, category, settings)
    }


def _address(settings: Settings, portal: Portal, url: str, inside: Transport) -> Check:
    name = f"{portal.id}: our address"
    with contextlib.closing(Transport(ca_file=settings.ca_file)) as outside:
        try:
            warning = engines.check(url, outside=outside, inside=inside)
        except CallscribeError as error:
            return Check(name=name, state="failed", says=error.message, hint=error.hint)
    if warning:
        return Check(name=name, state="unknown", says=warning)
    return Check(name=name, state="ok", says=f"{settings.public_url} answers as portals want")

"""`callscribe doctor`: every part that calls depend on, one line each with what to do."""

from __future__ import annotations

import contextlib
import shutil
import struct
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click

from pipeline.audio.sniff import sniff
from pipeline.bitrix24 import engines
from pipeline.bitrix24.checks import Check, arrival_checks
from pipeline.bitrix24.rest import Bitrix24
from pipeline.cli import WorkFailed, attached
from pipeline.clients.transport import Transport, Unreachable
from pipeline.domain.errors import CallscribeError, SettingsError
from pipeline.domain.job import Category
from pipeline.settings.environment import mistakes
from pipeline.settings.installation import Settings, load
from pipeline.settings.portals import Portal, Provider
from pipeline.steps.tools import checked_portals
from pipeline.storage.blobs import Blobs

MARKS = {"open": click.style("ok  ", fg="green"), "shut": click.style("MEND", fg="red"), "unknown": "?   "}
ASK_SECONDS = 10.0
LOW_BYTES = 1 << 30


@click.command()
def doctor() -> None:
    """Checks the store, disk, media libraries, providers, portals and addresses; exit 1 when one fails."""
    settings = load()
    portals = checked_portals(settings).values()
    shut = 0
    with contextlib.closing(Transport.of(settings)) as inside:
        for check in checks(settings, list(portals), inside):
            shut += check.state == "shut"
            click.echo(f"{MARKS[check.state]}  {check.name}: {check.says}")
            if check.hint:
                click.echo(f"      -> {check.hint}")
    if shut:
        raise WorkFailed(f"{shut} {'parts need' if shut > 1 else 'part needs'} mending")


def checks(settings: Settings, portals: Sequence[Portal], inside: Transport) -> Iterator[Check]:
    """All checks, in the order of a call's way; none raises."""
    for mistake in mistakes():
        yield Check(name="settings", state="shut", says=mistake, hint="docs/settings.md names all of them.")
    yield from _store(settings)
    yield _tried("audio storage", lambda: Blobs.open(settings.storage).usable(), "takes and gives back files")
    yield _disk(settings)
    yield _tried("media libraries", _hear_a_tone, "PyAV and libmagic read a recording")
    for provider, works in _providers(portals).items():
        yield _provider(provider, works, inside)
    for portal in portals:
        yield from _portal(settings, portal, inside)


def _tried(name: str, check: Callable[[], object], well: str) -> Check:
    try:
        check()
    except CallscribeError as error:
        return Check(name=name, state="shut", says=error.message, hint=error.hint)
    return Check(name=name, state="open", says=well)


def _store(settings: Settings) -> Iterator[Check]:
    kind = "Redis" if settings.redis_url else "embedded store"
    try:
        with attached.opened_store(settings) as store:
            store.ping()
            says = store.durability()
            if "appendonly is off" in says:
                yield Check(name=kind, state="shut", says=says, hint="Set `appendonly yes` on the server.")
            else:
                yield Check(name=kind, state="open", says=says)
            waiting = store.tick()
            says = ", ".join(f"{queue} {count}" for queue, count in waiting.items())
            yield Check(name="steps that wait for a worker", state="open", says=says)
    except CallscribeError as error:
        yield Check(name=kind, state="shut", says=error.message, hint=error.hint)


def _disk(settings: Settings) -> Check:
    place = settings.data_dir.resolve()
    there = next(path for path in (place, *place.parents) if path.exists())
    free = shutil.disk_usage(there).free
    says = f"{free / 1e9:.1f} GB are free at {place}"
    if free < LOW_BYTES:
        return Check(
            name="disk", state="shut", says=says, hint="Make room: a full disk ends intake with 503."
        )
    return Check(name="disk", state="open", says=says)


def _hear_a_tone() -> None:
    """Half a second of a square wave, without an extension, through detection."""
    frames = struct.pack("<4000h", *([8000, 8000, -8000, -8000] * 1000))
    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(frames), b"WAVE", b"fmt ", 16, 1, 1, 8000, 16000, 2, 16,
        b"data", len(frames),
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="callscribe-") as folder:
        path = Path(folder) / "tone"
        path.write_bytes(head + frames)
        sniff(path, sha256="", content_type=None, max_seconds=60)


def _providers(portals: Sequence[Portal]) -> dict[Provider, list[str]]:
    """Each provider once, with the kinds of work it is for."""
    found: dict[Provider, list[str]] = {}
    for portal in portals:
        for work in ("transcription", "chat", "image"):
            provider: Provider | None = getattr(portal, work)
            if provider is not None and work not in found.setdefault(provider, []):
                found[provider].append(work)
    return found


def _provider(provider: Provider, works: Sequence[str], inside: Transport) -> Check:
    name = f"provider of {', '.join(works)}"
    if not provider.key:
        return Check(
            name=name,
            state="shut",
            says=f"{provider.url}: no key is set",
            hint="Set CALLSCRIBE_ROUTER_KEY, or the key of this kind of work.",
        )
    try:
        answer = inside.request(
            "GET",
            f"{provider.url}/models",
            headers={"authorization": f"Bearer {provider.key}"},
            timeout_seconds=ASK_SECONDS,
            operator=True,
        )
        listed = answer.json() if answer.status == 200 else {}
    except (Unreachable, CallscribeError) as error:
        hint = "Check the address, CALLSCRIBE_PROVIDER_PROXY and CALLSCRIBE_CA_FILE."
        return Check(name=name, state="shut", says=f"{provider.url}: {error}", hint=hint)
    if answer.status in (401, 402, 403):
        says = f"{provider.url} refuses the key ({answer.status})"
        hint = "Check CALLSCRIBE_ROUTER_KEY, or the key of this kind of work, its balance and its scope."
        return Check(name=name, state="shut", says=says, hint=hint)
    if answer.status != 200:
        return Check(name=name, state="unknown", says=f"{provider.url}/models answers {answer.status}")
    rows = listed.get("data", []) if isinstance(listed, dict) else []
    models = {row.get("id") for row in rows if isinstance(row, dict)}
    if missing := [model for model in provider.models if model and models and model not in models]:
        says = f"{provider.url} lists no model {', '.join(missing)}"
        return Check(name=name, state="shut", says=says, hint="Choose one that it lists: GET /models.")
    return Check(name=name, state="open", says=f"{provider.url} takes the key and lists {len(models)} models")


def _portal(settings: Settings, portal: Portal, inside: Transport) -> Iterator[Check]:
    if portal.url is None:
        yield Check(
            name=f"{portal.id}: address",
            state="shut",
            says="is not set, so its callbacks are refused",
            hint="Set CALLSCRIBE_PORTAL_URL.",
        )
    if portal.token is None:
        yield Check(
            name=f"{portal.id}: engine token",
            state="shut",
            says="is not set",
            hint="Set CALLSCRIBE_PORTAL_TOKEN; `callscribe portals rotate` makes one.",
        )
    urls = _urls(settings, portal)
    if urls:
        yield _address(settings, portal, urls[Category.AUDIO], inside)
    elif portal.token:
        yield Check(
            name=f"{portal.id}: our address",
            state="shut",
            says="is not set",
            hint="Set CALLSCRIBE_PUBLIC_URL to how the portal reaches this service.",
        )
    if portal.webhook is None:
        needs = "engines are registered by hand and scores are not linked to deals"
        if portal.timeline == "bitrix24":
            yield Check(
                name=f"{portal.id}: webhook",
                state="shut",
                says="is not set, and CALLSCRIBE_TIMELINE=bitrix24 cannot write without it",
                hint="Set CALLSCRIBE_BITRIX24_WEBHOOK, or the portal's `webhook` in the file of portals.",
            )
            return
        yield Check(name=f"{portal.id}: webhook", state="unknown", says=f"is not set: {needs}")
        return
    try:
        rest = Bitrix24(portal.webhook, transport=inside)
    except SettingsError as error:
        yield Check(name=f"{portal.id}: webhook", state="shut", says=error.message, hint=error.hint)
        return
    for check in arrival_checks(rest, urls):
        yield Check(name=f"{portal.id}: {check.name}", state=check.state, says=check.says, hint=check.hint)


def _urls(settings: Settings, portal: Portal) -> dict[Category, str]:
    if not settings.public_url or not portal.token:
        return {}
    return {
        category: engines.completions_url(settings.public_url, portal.token, category)
        for category in Category
        if portal.serves(category)
    }


def _address(settings: Settings, portal: Portal, url: str, inside: Transport) -> Check:
    name = f"{portal.id}: our address"
    with contextlib.closing(Transport(ca_file=settings.ca_file)) as outside:
        try:
            warning = engines.check(url, outside=outside, inside=inside)
        except CallscribeError as error:
            return Check(name=name, state="shut", says=error.message, hint=error.hint)
    if warning:
        return Check(name=name, state="unknown", says=warning)
    return Check(name=name, state="open", says=f"{settings.public_url} answers as portals want")

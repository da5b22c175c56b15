"""All checks but those of the store, which whoever asks has opened."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.bitrix24.checks import Check
from pipeline.clients.transport import Transport
from pipeline.health.machine import machine_checks
from pipeline.health.portals import portal_checks
from pipeline.health.providers import Opened, provider_checks
from pipeline.settings.environment import mistakes
from pipeline.settings.installation import Settings
from pipeline.settings.portals import Portal


def other_checks(
    settings: Settings, portals: Sequence[Portal], inside: Transport, opened: Opened
) -> Iterator[Check]:
    """All checks but those of the store, in the order of a call's way; none raises. opened: the store."""
    for mistake in mistakes():
        hint = "`callscribe config --explain` names all of them."
        yield Check(name="settings", state="failed", says=mistake, hint=hint)
    yield from machine_checks(settings)
    yield from provider_checks(settings, portals, inside, opened)
    for portal in portals:
        yield from portal_checks(settings, portal, inside)

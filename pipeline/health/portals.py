"""A portal: whether it can be reached, finds us, and lets its calls arrive."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from pipeline.bitrix24 import engines
from pipeline.bitrix24.checks import Check, arrival_checks
from pipeline.bitrix24.rest import Bitrix24
from pipeline.clients.transport import Transport
from pipeline.domain.errors import CallscribeError, SettingsError
from pipeline.domain.job import Category
from pipeline.settings.installation import Settings
from pipeline.settings.portals import Portal
from pipeline.steps.served import is_served

ASK_SECONDS = 10.0


def portal_checks(settings: Settings, portal: Portal, inside: Transport) -> Iterator[Check]:
    """What one portal needs; none raises."""
    yield _callbacks(portal, inside)
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
    says = f"{settings.public_url} answers this machine as portals want; the portal asks it once more itself"
    return Check(name=name, state="ok", says=says)


def _callbacks(portal: Portal, inside: Transport) -> Check:
    """Whether an outcome could be sent there: by the same guard, and with any answer of any status."""
    name = f"{portal.id}: address"
    if portal.url is None:
        hint = "Set CALLSCRIBE_PORTAL_URL, or the portal's `url` in the file of portals."
        return Check(name=name, state="failed", says="is not set, so its callbacks are refused", hint=hint)
    try:
        answer = inside.request("HEAD", portal.url, timeout_seconds=ASK_SECONDS, same_host=portal.url)
    except CallscribeError as error:
        says = f"{portal.url} cannot take callbacks from here: {error.message}"
        return Check(name=name, state="failed", says=says, hint=error.hint)
    return Check(name=name, state="ok", says=f"{portal.url} can be reached, and answers {answer.status}")

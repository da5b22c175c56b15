"""Providers: keys, models and their ends, what was learned of their dialects."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from pipeline.bitrix24.checks import Check
from pipeline.clients import lifetimes, windows
from pipeline.clients.dialect import FORGET_SECONDS, SUSPECT, Learned, read_learned
from pipeline.clients.image_models import gives_bytes
from pipeline.clients.lifetimes import End
from pipeline.clients.providers import fact_key
from pipeline.clients.transport import Transport
from pipeline.domain.errors import CallscribeError
from pipeline.settings.installation import Settings
from pipeline.settings.portals import Portal, Provider
from pipeline.steps.pictures import UNSERVED
from pipeline.store import Store

ASK_SECONDS = 10.0
Opened = Callable[[], AbstractContextManager[Store]]
WORKS = ("transcription", "chat", "image")
NAMES = {"vibecode": "timeline entries"}  # of works that are not called as their settings


def provider_checks(
    settings: Settings, portals: Sequence[Portal], inside: Transport, opened: Opened
) -> Iterator[Check]:
    """For each provider: its key and models, ends of life, what was learned; none raises."""
    found: dict[Provider, list[str]] = {}
    for portal in portals:
        for work in (*WORKS, *(["vibecode"] if portal.timeline == "vibecode" else ())):
            provider: Provider | None = getattr(portal, work)
            if provider is not None and work not in found.setdefault(provider, []):
                found[provider].append(work)
    listed: dict[Provider, dict[str, Mapping[str, Any]]] = {}
    for provider, works in found.items():
        check, rows = _asked(provider, works, inside)
        listed[provider] = rows
        yield check
        if "image" in works and settings.public_url is None:
            yield from _bytes(provider)
    try:
        with opened() as store:
            for provider, works in found.items():
                yield from _ends(provider, works, listed[provider], store)
                for work in (work for work in works if work in WORKS):
                    for model in provider.models:
                        yield from _learned(provider, work, model, store)
    except CallscribeError:  # the store's own check says why
        for provider, works in found.items():
            yield from _ends(provider, works, listed[provider], None)


def _asked(
    provider: Provider, works: Sequence[str], inside: Transport
) -> tuple[Check, dict[str, Mapping[str, Any]]]:
    """Whether it takes the key and knows the models; its list, by model."""
    name = f"provider of {', '.join(NAMES.get(work, work) for work in works)}"
    keys = " or ".join(["CALLSCRIBE_ROUTER_KEY", *(f"CALLSCRIBE_{work.upper()}_KEY" for work in works)])
    if not provider.key:
        hint = f"Set {keys}."
        return Check(name=name, state="failed", says=f"{provider.url}: no key is set", hint=hint), {}
    try:
        answer = inside.request(
            "GET",
            f"{provider.url}/models",
            headers={"authorization": f"Bearer {provider.key}"},
            timeout_seconds=ASK_SECONDS,
            operator=True,
        )
        listed = answer.json() if answer.status == 200 else {}
    except CallscribeError as error:
        says = f"{provider.url}: {error.message}"
        return Check(name=name, state="failed", says=says, hint=error.hint), {}
    if answer.status in (401, 402, 403):
        says = f"{provider.url} refuses the key ({answer.status})"
        what = {401: "the key itself", 402: "the account's balance", 403: "the key's scope"}[answer.status]
        hint = f"Mend {what} at the provider; the key is {keys}."
        return Check(name=name, state="failed", says=says, hint=hint), {}
    if answer.status != 200:
        says = f"{provider.url}/models answers {answer.status}: neither key nor models could be checked"
        return Check(name=name, state="unknown", says=says), {}
    rows = listed.get("data", []) if isinstance(listed, dict) else listed
    models: dict[str, Mapping[str, Any]] = {
        str(row["id"]): row for row in rows if isinstance(row, dict) and isinstance(row.get("id"), str)
    }
    if missing := [model for model in provider.models if model and models and model not in models]:
        says = f"{provider.url} lists no model {', '.join(missing)}"
        return Check(
            name=name, state="failed", says=says, hint="Choose one that it lists: GET /models."
        ), models
    says = f"{provider.url} takes the key and lists {len(models)} models" + (
        f", {', '.join(named)} among them" if models and (named := [m for m in provider.models if m]) else ""
    )
    return Check(name=name, state="ok", says=says), models


def _bytes(provider: Provider) -> Iterator[Check]:
    for model in provider.models:
        if gives_bytes(model):
            yield Check(
                name=f"images by {model}",
                state="failed",
                says="it answers with bytes instead of links, so images are not served",
                hint="Set CALLSCRIBE_PUBLIC_URL: the images are then hosted here for portals to fetch.",
            )


def _ends(
    provider: Provider, works: Sequence[str], rows: Mapping[str, Mapping[str, Any]], store: Store | None
) -> Iterator[Check]:
    for model in provider.models:
        if not model:
            continue
        told = lifetimes.of_row({**rows.get(model, {}), "id": model}) or lifetimes.of_memory(
            model, store.known.recall(fact_key(provider, model, lifetimes.FACT)) if store else None
        )
        end = told or lifetimes.of_table(model)
        if end is not None:
            yield _end(end, works, source="" if told else "OpenAI announced: ")


def _end(end: End, works: Sequence[str], *, source: str) -> Check:
    return Check(
        name=f"model of {', '.join(works)}",
        state="failed" if end.is_past and not source else "unknown",
        says=f"{source}{end.says}",
        hint=end.hint,
    )


def _learned(provider: Provider, work: str, model: str | None, store: Store) -> Iterator[Check]:
    name = f"learned of {model or 'the default model'}"
    facts = read_learned(store.known.recall(fact_key(provider, model, f"dialect:{work}")))
    for fact in facts.values():
        if fact.name != SUSPECT:
            yield Check(name=name, state="ok", says=f"{work}: {_says(fact)}")
    if work == "chat" and (
        window := windows.read(store.known.recall(fact_key(provider, model, windows.FACT)))
    ):
        yield Check(name=name, state="ok", says=f"{work}: takes {windows.write(window)}")
    if work == "image" and (why := store.known.recall(fact_key(provider, model, UNSERVED))):
        hint = "Choose a model that draws, or leave CALLSCRIBE_IMAGE_MODEL unset."
        yield Check(name=f"images by {model or 'the default model'}", state="failed", says=why, hint=hint)


def _says(fact: Learned) -> str:
    instead = f"{fact.sends} is sent instead" if fact.sends else "it is left out"
    minutes = max(0, round((time.time() - fact.at) / 60))
    left = max(1, round((fact.at + FORGET_SECONDS - time.time()) / 60))
    how = "named by a refusal" if fact.how == "named" else "refused again and again without a name"
    return f"{fact.name} is not taken, {instead} ({how} {minutes} min ago, tried again in {left} min)"

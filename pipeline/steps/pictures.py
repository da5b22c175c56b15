"""Images that portals fetch from us, since their model gave bytes, or a link that leads nowhere for a portal.

They lie on the audio storage under names that nobody can guess, for IMAGE_SECONDS, and are served by
`GET /images/{name}`.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urljoin, urlsplit

import structlog

from pipeline.clients.images import KINDS, Picture, kind_of, pictures
from pipeline.clients.providers import fact_key
from pipeline.confinement.scratch import scratch
from pipeline.domain.errors import (
    BadAnswer,
    CallscribeError,
    ContentRefused,
    ForbiddenURL,
    ProviderRefused,
    Upstream,
)
from pipeline.settings.portals import Portal, Provider
from pipeline.steps.tools import Tools

log = structlog.get_logger()

IMAGE_SECONDS = 86_400
FETCH_SECONDS = 30.0
MOST_BYTES = 32 << 20
PREFIX = "image_"
UNSERVED = "unserved"  # a fact about a model: why it drew nothing, for `callscribe doctor`
UNSERVED_SECONDS = 900
NAME = re.compile(r"[0-9a-f]{32}\.(?:" + "|".join(KINDS) + ")")


def why_unserved(portal: Portal, tools: Tools) -> str | None:
    """Why none of the portal's image models draws, as they have shown lately; None where one may."""
    provider = portal.image
    if provider is None:
        return None
    with suppress(CallscribeError):
        whys = [tools.store.known.recall(fact_key(provider, model, UNSERVED)) for model in provider.models]
        return whys[0] if all(whys) else None
    return None


def hosted(raw: dict[str, Any], provider: Provider, tools: Tools) -> dict[str, Any]:
    """A raw answer in which every image is a link that a portal can fetch; bytes lie on our storage.

    Done before the answer is kept, so that no image lies in the store; again when it is read, where the
    storage failed before. What cannot be hosted is left out; where nothing is left, `unusable` says why.
    Raises StoreUnavailable.
    """
    if raw.get("hosted"):
        return raw
    try:
        found = pictures(raw)
    except BadAnswer:
        return raw
    links, why = [], "The image model's answer holds no image that a portal could fetch."
    for picture in found:
        if picture.link and tools.transport.is_public(picture.link):
            links.append(picture.link)
            continue
        data = picture.data or _fetched(picture, provider, tools)
        kind = kind_of(data) if data else None
        if data is None or kind is None:
            continue
        if tools.settings.public_url is None:
            why = (
                "The image model answers with bytes instead of links; set CALLSCRIBE_PUBLIC_URL, so that the "
                "portal can fetch them here."
            )
            continue
        links.append(f"{tools.settings.public_url.rstrip('/')}/images/{keep(data, kind, tools)}")
    body = {"data": [{"url": link} for link in links], "usage": _usage(raw)}
    kept = raw | {"body": json.dumps(body), "content_type": "application/json", "hosted": True}
    if links:
        return kept
    if tools.settings.public_url is None:
        with suppress(CallscribeError):
            key = fact_key(provider, raw.get("model"), UNSERVED)
            tools.store.known.remember(key, why, seconds=UNSERVED_SECONDS)
    return kept | {"unusable": why}


def note_unserved(error: Upstream, provider: Provider, model: str | None, tools: Tools) -> None:
    """Remembers for the operator that the model cannot serve at all, whatever it is asked for."""
    is_lasting = isinstance(error, ProviderRefused) and not isinstance(error, ContentRefused)
    if is_lasting and error.http_status in (404, 405, 410, 501):
        with suppress(CallscribeError):
            tools.store.known.remember(
                fact_key(provider, model, UNSERVED), error.message, seconds=UNSERVED_SECONDS
            )


def keep(data: bytes, kind: str, tools: Tools) -> str:
    """Puts an image onto the storage; returns its name. Raises StoreUnavailable."""
    name = f"{secrets.token_hex(16)}.{kind}"
    with scratch() as folder:
        path = folder / name
        path.write_bytes(data)
        tools.store.known.remember(PREFIX + name, KINDS[kind], seconds=IMAGE_SECONDS)
        tools.blobs.put(PREFIX + name, path)
    return name


def load(name: str, tools: Tools) -> tuple[str, bytes] | None:
    """Content type and bytes of a hosted image; None for a wrong name, or when its time is over."""
    if not NAME.fullmatch(name):
        return None
    kind = tools.store.known.recall(PREFIX + name)
    if kind is None:
        return None
    with suppress(CallscribeError), tools.blobs.get(PREFIX + name) as path:
        return kind, path.read_bytes()
    return None


def is_over(folder: str, tools: Tools) -> bool:
    """Whether that first part of a blob's key is a hosted image whose time is over."""
    return folder.startswith(PREFIX) and tools.store.known.recall(folder) is None


def _fetched(picture: Picture, provider: Provider, tools: Tools) -> bytes | None:
    """The bytes behind a link that only we reach: on the provider's own server, and nowhere else."""
    url = urljoin(provider.url + "/", picture.link or "")
    try:
        if urlsplit(url).hostname != urlsplit(provider.url).hostname:
            return None
        headers = {"Authorization": f"Bearer {provider.key}"} if provider.key else {}
        answer = tools.transport.request(
            "GET",
            url,
            headers=headers,
            timeout_seconds=FETCH_SECONDS,
            operator=True,
            max_answer_bytes=MOST_BYTES,
        )
    except (CallscribeError, ForbiddenURL, ValueError):
        return None
    return answer.body if answer.status == 200 else None


def _usage(raw: Mapping[str, Any]) -> Any:
    with suppress(ValueError, AttributeError, RecursionError):
        return json.loads(raw["body"]).get("usage")
    return None

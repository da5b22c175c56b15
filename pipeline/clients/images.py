"""Images: `POST {provider}/images/generations`, in the shape of the OpenAI API and its dialects."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from pipeline.clients.dialect import Rung, Variant
from pipeline.clients.image_models import gives_bytes
from pipeline.clients.messages import Body
from pipeline.clients.providers import Caller, Capabilities, body_object, raw_answer
from pipeline.clients.refusals import Names, Refusal
from pipeline.clients.transport import Answer, Transport
from pipeline.domain.errors import BadAnswer, UnusableAnswer
from pipeline.domain.job import Request
from pipeline.settings.portals import Provider

WORK = "image"
TIMEOUT_SECONDS = 300.0
MOST_BYTES = 32 << 20  # of an answer: ten images of bytes are about as large
# the portal's formats; source: the `image` category of ai.engine.register
SIZES = {"square": "1024x1024", "portrait": "1024x1792", "landscape": "1792x1024"}
KINDS = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp", "gif": "image/gif"}

_SIZE = Names(
    fields=("size", "width", "height", "image_size", "aspect_ratio"),
    words=r"\bsizes?\b|resolution|dimensions",
)
_NUMBER = Names(
    fields=("n", "num_images", "number"),
    words=r"(?<![\w-])n(?= ?[=:<>]| must| has| should| can)|number of images|num[_ ]images"
    r"|(?:one|single|1) image",
)
_FORM = Names(fields=("response_format",))
_FILTERED = re.compile(r"content[_ ]?filter|nsfw|safety|moderat|blocked", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One image of an answer: a link as the provider wrote it, or bytes."""

    link: str | None = None
    data: bytes | None = None


class Images:
    """An image model behind an OpenAI-compatible API."""

    def __init__(self, provider: Provider, transport: Transport, capabilities: Capabilities) -> None:
        self._caller = Caller(provider, transport, capabilities)

    def draw(
        self,
        request: Request,
        *,
        model: str | None,
        number: int | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> dict[str, Any]:
        """What a portal's image request is answered, raw; `pictures` takes the images from it.

        The portal's style is a phrase for the model, so it joins the prompt; without a format: square.
        number: how many, unless as many as the request wants.
        Raises ProviderRefused, ProviderAccount, ProviderUnavailable.
        """
        style = f"\n\nStyle: {request.image_style}" if request.image_style else ""
        return self.ask(
            (request.prompt or "") + style,
            model=model,
            size=SIZES.get(request.image_format or "square", SIZES["square"]),
            number=max(1, number or request.images_number),
            timeout_seconds=timeout_seconds,
        )

    def ask(
        self,
        prompt: str,
        *,
        model: str | None,
        size: str | None = None,
        number: int = 1,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> dict[str, Any]:
        """Asks for `number` images of `size` ("1024x1024"), as links; returns the raw answer.

        It may hold fewer, of another size and as bytes: whatever the model takes and gives.
        Raises ProviderRefused, ProviderAccount, ProviderUnavailable.
        """

        def send(body: Mapping[str, Any], seconds: float) -> Answer:
            return self._caller.post(
                "/images/generations",
                model,
                body=Body(json=dict(body)),
                timeout_seconds=seconds,
                max_answer_bytes=2 * MOST_BYTES,
            )

        sent, answer = self._caller.ask(
            WORK,
            model,
            _rungs(model, size=size, number=number),
            lambda: {"prompt": prompt} | ({"model": model} if model else {}),
            send,
            content=hashlib.sha256(prompt.encode()).hexdigest(),
            timeout_seconds=timeout_seconds,
        )
        return raw_answer(answer, model=model, form=str(sent.get("response_format", "plain")))


def pictures(raw: Mapping[str, Any]) -> list[Picture]:
    """All images of an answer, at least one; raises UnusableAnswer after a filter took them, or BadAnswer."""
    body = body_object(raw)
    found: list[Picture] = []
    filtered = False
    for item in _items(body):
        if isinstance(item, str):
            item = {"url": item} if re.match(r"https?:|data:|/", item) else {"b64_json": item}
        if not isinstance(item, dict):
            continue
        link = next((item[name] for name in ("url", "image_url", "uri", "link") if item.get(name)), None)
        link = link.get("url") if isinstance(link, dict) else link
        code = next(
            (item[name] for name in ("b64_json", "b64", "base64", "image", "image_base64") if item.get(name)),
            None,
        )
        data = None
        if isinstance(link, str) and link.startswith("data:"):
            link, code = None, link
        if isinstance(code, str):
            data = _of_data_url(code) if code.startswith("data:") else _decoded(code)
        if isinstance(link, str) or data:
            found.append(Picture(link=link.strip() if isinstance(link, str) else None, data=data))
        elif _FILTERED.search(
            str(item.get("finish_reason") or item.get("finishReason") or item.get("status") or "")
        ):
            filtered = True
    if not found and filtered:
        raise UnusableAnswer("The image model's content filter took the image.", http_status=raw["status"])
    if not found:
        raise BadAnswer("The image model's answer holds no image.", http_status=raw["status"])
    return found


def read(raw: Mapping[str, Any]) -> list[str]:
    """The links of an answer whose bytes are hosted, at least one; raises BadAnswer, UnusableAnswer."""
    if why := raw.get("unusable"):
        raise UnusableAnswer(why, http_status=raw["status"])
    links = [picture.link for picture in pictures(raw) if picture.link]
    if not links:
        raise UnusableAnswer("The image model's answer holds no link to an image.", http_status=raw["status"])
    return links


def kind_of(data: bytes) -> str | None:
    """`png`, `jpg`, `webp` or `gif` by the first bytes; None for what is no such image."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith(b"\xff\xd8\xff"):
        return "jpg"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    return "gif" if data.startswith((b"GIF87a", b"GIF89a")) else None


def _items(body: Mapping[str, Any]) -> list[Any]:
    for name in ("data", "images", "output", "artifacts", "predictions"):
        value = body.get(name)
        if isinstance(value, list):
            return value
        if isinstance(value, dict | str):
            return [value]
    return [body]


def _of_data_url(link: str) -> bytes | None:
    head, _, rest = link.partition(",")
    return _decoded(rest) if ";base64" in head else unquote_to_bytes(rest) or None


def _decoded(code: str) -> bytes | None:
    try:
        return base64.b64decode("".join(code.split()) + "=" * (-len(code.strip()) % 4)) or None
    except (binascii.Error, ValueError):
        return None


def _rungs(model: str | None, *, size: str | None, number: int) -> tuple[Rung, ...]:
    """What is optional of a request, what may be spared most easily first."""
    sizes: tuple[Variant, ...] = ({"size": size}, {}) if size else ({},)
    if size and gives_bytes(model):
        nearest = size.replace("1792", "1536")
        sizes = ({"size": nearest}, {"size": size}, {}) if nearest != size else sizes
    forms: tuple[Variant, ...] = ({},) if gives_bytes(model) else ({"response_format": "url"}, {})

    def listed(refusal: Refusal, sent: Any) -> Variant | None:
        wanted = str(sent.get("size", size))
        near = nearest_size(wanted, [option for option in refusal.sizes() if option != wanted])
        return {"size": near} if near and near != wanted else None

    return (
        Rung(name="response_format", variants=forms, names=_FORM),
        Rung(
            name="n",
            variants=({"n": number}, {}) if number > 1 else ({"n": 1}, {}),
            names=_NUMBER,
            number=True,
        ),
        Rung(name="size", variants=sizes, names=_SIZE, by_value=True, other=listed),
    )


def nearest_size(wanted: str, options: list[str]) -> str | None:
    """Of the sizes that a model takes, the one of the same orientation and the nearest shape and area."""
    shapes = {option: _shape(option) for option in options}
    width, height = _shape(wanted)
    if not shapes or not width or not height:
        return None

    def far(option: str) -> tuple[bool, float, int]:
        w, h = shapes[option]
        turned = (w > h) != (width > height) or (w < h) != (width < height)
        return turned, round(abs(w / max(h, 1) - width / height), 3), abs(w * h - width * height)

    return min(shapes, key=far)


def _shape(size: str) -> tuple[int, int]:
    width, _, height = size.partition("x")
    return (int(width), int(height)) if width.isdigit() and height.isdigit() else (0, 0)

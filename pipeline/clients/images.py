"""Images: `POST {provider}/images/generations`, in the shape of the OpenAI API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from pipeline.clients.providers import Caller, Capabilities, body_object, raw_answer
from pipeline.clients.transport import Answer, Transport
from pipeline.domain.errors import BadAnswer
from pipeline.domain.job import Request
from pipeline.settings.portals import Provider

FORMS = ("url", "plain")
TIMEOUT_SECONDS = 300.0
# the portal's formats; source: the `image` category of ai.engine.register
SIZES = {"square": "1024x1024", "portrait": "1024x1792", "landscape": "1792x1024"}


class Images:
    """An image model behind an OpenAI-compatible API."""

    def __init__(self, provider: Provider, transport: Transport, capabilities: Capabilities) -> None:
        self._caller = Caller(provider, transport, capabilities)

    def draw(
        self, request: Request, *, model: str | None, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> dict[str, Any]:
        """What a portal's image request is answered, raw; `read` takes the URLs from it.

        The portal's style is a phrase for the model, so it joins the prompt; without a format: square.
        Raises ProviderRefused, ProviderAccount, ProviderUnavailable.
        """
        style = f"\n\nStyle: {request.image_style}" if request.image_style else ""
        return self.ask(
            (request.prompt or "") + style,
            model=model,
            size=SIZES.get(request.image_format or "square", SIZES["square"]),
            number=max(1, request.images_number),
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
        """Asks for `number` images of `size` ("1024x1024") as URLs; returns the raw answer.

        Raises ProviderRefused, ProviderAccount, ProviderUnavailable.
        """
        body: dict[str, Any] = {"prompt": prompt, "n": number}
        if model:
            body["model"] = model
        if size:
            body["size"] = size

        def send(form: str, seconds: float) -> Answer:
            wish = {"response_format": "url"} if form == "url" else {}
            return self._caller.post("/images/generations", json=body | wish, timeout_seconds=seconds)

        form, answer = self._caller.climb_down(
            model, "image_form", FORMS, send, timeout_seconds=timeout_seconds
        )
        return raw_answer(answer, model=model, form=form)


def read(raw: Mapping[str, Any]) -> list[str]:
    """The images' public URLs, at least one; raises BadAnswer.

    The portal downloads the images itself, so a model that answers with bytes cannot serve it.
    """
    data = body_object(raw).get("data")
    items = [item for item in data if isinstance(item, dict)] if isinstance(data, list) else []
    urls = [item["url"] for item in items if isinstance(item.get("url"), str) and _is_link(item["url"])]
    if not urls and any(item.get("b64_json") for item in items):
        raise BadAnswer(
            "The image model answers with image bytes instead of links, which a portal cannot fetch.",
            http_status=raw["status"],
        )
    if not urls:
        raise BadAnswer("The image model's answer holds no link to an image.", http_status=raw["status"])
    return urls


def _is_link(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("http", "https") and bool(parts.hostname)

"""draw: an image request to the image model."""

from __future__ import annotations

from typing import Any

from pipeline.clients.images import TIMEOUT_SECONDS, Images
from pipeline.model import Request

# the portal's formats; source: the `image` category of ai.engine.register
SIZES = {"square": "1024x1024", "portrait": "1024x1792", "landscape": "1792x1024"}


def draw(
    request: Request, *, images: Images, model: str | None, timeout_seconds: float = TIMEOUT_SECONDS
) -> dict[str, Any]:
    """The image model's raw answer; `images.read` takes the URLs from it.

    The portal's style is a phrase for the model, so it joins the prompt; without a format: square.
    Raises ProviderRefused, ProviderAccount, ProviderUnavailable.
    """
    prompt = request.prompt or ""
    if request.image_style:
        prompt = f"{prompt}\n\nStyle: {request.image_style}"
    return images.ask(
        prompt,
        model=model,
        size=SIZES.get(request.image_format or "square", SIZES["square"]),
        number=max(1, request.images_number),
        timeout_seconds=timeout_seconds,
    )

"""Which engines a portal has; what each accepted request asks, so it needs none of the steps."""

from __future__ import annotations

from pipeline.clients.image_models import gives_bytes
from pipeline.domain.job import Category
from pipeline.settings.installation import Settings
from pipeline.settings.portals import Portal


def is_served(portal: Portal, category: str, settings: Settings) -> bool:
    """Whether the portal has an engine of the category: none for images that no portal could fetch."""
    if category != Category.IMAGE or portal.image is None or settings.public_url is not None:
        return portal.serves(category)
    return not all(gives_bytes(model) for model in portal.image.models)

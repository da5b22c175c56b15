"""What an image model is known to do by its name alone; asked before anything is sent: it needs no HTTP."""

from __future__ import annotations

import re

# models that answer with bytes alone, whose parameters are not those of older ones
_BYTES = re.compile(r"gpt-image|chatgpt-image")


def gives_bytes(model: str | None) -> bool:
    """Whether a model of this name is known to answer with bytes instead of links."""
    return bool(model and _BYTES.search(model.casefold()))

"""A hook of mkdocs, for `make site`: what lies beside docs/ is named there, not linked: it has no page."""

from __future__ import annotations

import re
from typing import Any


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page without links that leave the folder."""
    return re.sub(r"\[([^\]]+)\]\(\.\./[^)]*\)", r"\1", markdown)

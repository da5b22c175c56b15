"""What the CRM makes of a text that it is sent: strictly, and nothing of ours."""

from __future__ import annotations

import json
from typing import Any


def parsed(text: str) -> Any:
    """From the first `{` to the last `}`, by a strict decoder."""
    return json.loads(text.strip()[text.strip().find("{") : text.strip().rfind("}") + 1])

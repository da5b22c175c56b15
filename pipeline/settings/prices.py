"""What models cost, from CALLSCRIBE_PRICES_FILE."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from pipeline.settings.tables import fitted, read_table


class Price(BaseModel):
    """What a model costs, in any currency."""

    model_config = ConfigDict(extra="forbid")
    minute: float = Field(0.0, ge=0)
    million_prompt_tokens: float = Field(0.0, ge=0)
    million_completion_tokens: float = Field(0.0, ge=0)
    image: float = Field(0.0, ge=0)

    def of(self, used: Mapping[str, float]) -> float:
        """The cost of what was counted."""
        return (
            used.get("paid_seconds", 0) / 60 * self.minute
            + used.get("prompt_tokens", 0) / 1e6 * self.million_prompt_tokens
            + used.get("completion_tokens", 0) / 1e6 * self.million_completion_tokens
            + used.get("images", 0) * self.image
        )


def read_prices(path: Path) -> dict[str, Price]:
    """Model -> price; raises SettingsError naming the file, the model and the field."""
    named = "CALLSCRIBE_PRICES_FILE"
    return {
        model: fitted(Price, table, named=f"{named}: {path}: {model}")
        for model, table in read_table(path, named=named).items()
    }

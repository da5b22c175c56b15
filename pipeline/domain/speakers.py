"""What people read in front of a turn, in the portal's language."""

from __future__ import annotations

from pipeline.domain.transcript import Speaker

LABELS: dict[str, dict[Speaker, str]] = {
    "en": {"manager": "Manager", "client": "Client", "speaker_1": "Speaker 1", "speaker_2": "Speaker 2"},
    "ru": {"manager": "Менеджер", "client": "Клиент", "speaker_1": "Спикер 1", "speaker_2": "Спикер 2"},
}


def label(speaker: Speaker, language: str) -> str:
    """The speaker's name for people; English where the language has none."""
    return LABELS.get(language.lower()[:2], LABELS["en"])[speaker]

"""What people read in front of a turn, in the portal's language."""

from __future__ import annotations

from pipeline.domain.transcript import Speaker

_NAMES = {
    "en": {"manager": "Manager", "client": "Client", "speaker": "Speaker"},
    "ru": {"manager": "Менеджер", "client": "Клиент", "speaker": "Спикер"},
}


def label(speaker: Speaker, language: str) -> str:
    """The speaker's name for people, numbered where it has no role; English where the language has none."""
    name, _, number = speaker.partition("_")
    return " ".join(filter(None, (_NAMES.get(language.lower()[:2], _NAMES["en"])[name], number)))

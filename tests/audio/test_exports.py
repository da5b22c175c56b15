"""Transcripts as files, languages by name."""

from __future__ import annotations

import json
import re

import pytest

from pipeline.contract.sinks import to_file
from pipeline.contract.subtitles import CONTENT_TYPES, FORMATS, export
from pipeline.domain.languages import iso639
from pipeline.domain.plain import from_plain
from pipeline.domain.transcript import Segment, Transcript

CALL = Transcript(
    text="[Manager] Hello <all>.\n[Client] Hi & bye -->",
    language="en",
    segments=(
        Segment(start=0.0, end=1.5, speaker="manager", text="Hello <all>."),
        Segment(start=3661.9996, end=3662.0, speaker="client", text="Hi & bye -->"),
    ),
)


def test_srt() -> None:
    """SubRip has numbered cues, commas, rounded times and the speaker in the reader's language."""
    assert export(CALL, "srt", language="ru") == (
        "1\n00:00:00,000 --> 00:00:01,500\n[Менеджер] Hello ‹all›.\n\n"
        "2\n01:01:02,000 --> 01:01:02,500\n[Клиент] Hi & bye →\n"
    )


def test_vtt() -> None:
    """WebVTT names the voice; nothing in a text is markup."""
    text = export(CALL, "vtt")
    assert text.startswith("WEBVTT\n\n00:00:00.000 --> 00:00:01.500\n<v Manager>Hello ‹all›.\n")
    assert "Hi &amp; bye →" in text
    assert len(re.findall(r"^\d\d:\d\d:\d\d\.\d{3} --> \d\d:\d\d:\d\d\.\d{3}$", text, re.M)) == 2


def test_txt_and_json() -> None:
    """Plain text is the transcript's, without markup; JSON reads back to the same transcript."""
    assert export(CALL, "txt") == "[Manager] Hello ‹all›.\n[Client] Hi & bye →\n"
    assert from_plain(Transcript, json.loads(export(CALL, "json"))) == to_file(CALL)
    assert set(FORMATS) == set(CONTENT_TYPES)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("Русский", "ru"),
        ("русский язык", "ru"),
        ("RU", "ru"),
        ("ru_RU", "ru"),
        ("English", "en"),
        ("Английский", "en"),
        ("en-US", "en"),
        ("Deutsch", "de"),
        ("Français", "fr"),
        ("Español", "es"),
        ("la", "es"),
        ("Português (Brasil)", "pt"),
        ("br", "pt"),
        ("Türkçe", "tr"),
        ("Polski", "pl"),
        ("Italiano", "it"),
        ("Українська", "uk"),
        ("ua", "uk"),
        ("Қазақша", "kk"),
        ("kz", "kk"),
        ("简体中文", "zh"),
        ("sc", "zh"),
        ("tc", "zh"),
        ("日本語", "ja"),
        ("Tiếng Việt", "vi"),
        ("vn", "vi"),
        ("Bahasa Indonesia", "id"),
        ("Bahasa Melayu", "ms"),
        ("ภาษาไทย", "th"),
        ("العربية", "ar"),
        ("हिन्दी", "hi"),
        ("rus", "ru"),
        ("russian", "ru"),
        ("Klingon", None),
        ("", None),
    ],
)
def test_languages(name: str, code: str | None) -> None:
    """Languages by code, by Bitrix24's own code and by name in the portal's languages are ISO 639-1."""
    assert iso639(name) == code

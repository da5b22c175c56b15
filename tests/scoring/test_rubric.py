"""Rubric files: read strictly, refused with the field's name."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.domain.errors import SettingsError
from pipeline.scoring.rubric import band, default_rubric, read_rubric

GOOD = """
name = "Calls"
language = "en"
[thresholds]
high = 80
medium = 50
[[criteria]]
name = "Need"
description = "The client says what they need."
weight = 30
said_by = "client"
[[criteria]]
name = "Refusal"
description = "The client refuses."
weight = -10
"""


def test_a_good_file_is_read(tmp_path: Path) -> None:
    """Name, language, thresholds and criteria come out as they were written."""
    path = tmp_path / "rubric.toml"
    path.write_text(GOOD, encoding="utf-8")
    rubric = read_rubric(path)
    assert (rubric.name, rubric.language, rubric.high, rubric.medium) == ("Calls", "en", 80, 50)
    assert [(rule.name, rule.weight, rule.said_by) for rule in rubric.rules] == [
        ("Need", 30, "client"),
        ("Refusal", -10, None),
    ]
    assert [rubric.band(score) for score in (80, 79, 50, 49)] == ["high", "medium", "medium", "low"]


def test_the_bands_without_a_rubric() -> None:
    """70 and more is high, 40 and more medium."""
    assert [band(score) for score in (100, 70, 69, 40, 39, 0)] == [
        "high", "high", "medium", "medium", "low", "low",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("weight = 30", 'weight = "much"'), "criteria.0.weight"),
        (("weight = 30", "weight = -30"), "above zero"),
        (('said_by = "client"', 'said_by = "boss"'), "criteria.0.said_by"),
        (('said_by = "client"', 'sayed_by = "client"'), "criteria.0.sayed_by"),
        (("medium = 50", "medium = 90"), "below high"),
        (('name = "Refusal"', 'name = "need"'), "same name"),
        (("[thresholds]", "[thresholds"), "rubric.toml"),
        (("high = 80", "high = 101"), "thresholds.high"),
    ],
)
def test_a_wrong_file_names_its_field(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    """Every mistake is a SettingsError that names the file and the field."""
    path = tmp_path / "rubric.toml"
    path.write_text(GOOD.replace(*change), encoding="utf-8")
    with pytest.raises(SettingsError, match=said) as caught:
        read_rubric(path)
    assert "rubric.toml" in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A file that is not there, or is no text, is a SettingsError too."""
    with pytest.raises(SettingsError, match=r"CALLSCRIBE_RUBRIC.*none\.toml"):
        read_rubric(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="UTF-8"):
        read_rubric(tmp_path / "bytes.toml")


def test_the_rubrics_that_come_along() -> None:
    """English and Russian come with the package, alike in weights; other languages get the English one."""
    english, russian = default_rubric("en"), default_rubric("ru")
    assert (english.language, russian.language) == ("en", "ru")
    assert [rule.weight for rule in english.rules] == [rule.weight for rule in russian.rules]
    assert sum(rule.weight for rule in english.rules if rule.weight > 0) == 100
    assert default_rubric("de") == english
    assert read_rubric(Path("default"), language="ru") == russian

"""Wrong settings end in one sentence that names the variable and what was expected."""

from __future__ import annotations

import pytest

from pipeline.cli.config import unknown
from pipeline.errors import SettingsError
from pipeline.settings import load


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("STORAGE_URL", "gopher://x", "expected file:///folder or s3://bucket/prefix"),
        ("LANGUAGE", "klingon", "expected a language as ISO 639-1"),
        ("CHANNELS", "manager,manager", "manager,client or client,manager"),
        ("PORTAL_URL", "acme", "expected an address like https://"),
        ("REDIS_URL", "http://x", "expected redis://"),
        ("QUEUE_LIMIT", "many", "valid integer"),
    ],
)
def test_a_wrong_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    """The variable, and what was expected of it."""
    monkeypatch.setenv(f"CALLSCRIBE_{name}", value)
    with pytest.raises(SettingsError) as error:
        load(_env_file=None)
    assert f"CALLSCRIBE_{name}: " in error.value.message
    assert expected in error.value.message


def test_empty_is_unset_but_for_the_roles_of_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty variable leaves the default; empty channels say that nobody has a role."""
    monkeypatch.setenv("CALLSCRIBE_PORTAL_URL", "")
    monkeypatch.setenv("CALLSCRIBE_CHANNELS", "")
    settings = load(_env_file=None)
    assert settings.portal_url is None
    assert settings.channels == ()


def test_a_language_may_be_named_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name in any language becomes its code."""
    monkeypatch.setenv("CALLSCRIBE_LANGUAGE", "Русский")
    assert load(_env_file=None).language == "ru"


def test_mistyped_names_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable with our prefix that nothing reads is told by `callscribe config`."""
    monkeypatch.setenv("CALLSCRIBE_PORTAL_TOKN", "x")
    assert "CALLSCRIBE_PORTAL_TOKN" in unknown()

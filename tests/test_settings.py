"""Wrong settings end in one sentence that names the variable and what was expected."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.domain.errors import SettingsError
from pipeline.settings.environment import mistakes
from pipeline.settings.installation import Settings, load
from pipeline.settings.options import PortalOptions, in_file
from pipeline.settings.portals import load_portals
from pipeline.telemetry.logs import secrets_of

WORKS = ("transcription", "chat", "image", "vibecode")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("STORAGE_URL", "gopher://x", "expected file:///folder or s3://bucket/prefix"),
        ("LANGUAGE", "de", "expected en or ru"),
        ("SPEECH_LANGUAGE", "klingon", "expected a language as ISO 639-1"),
        ("CHANNELS", "manager,manager", "manager,client or client,manager"),
        ("CHANNELS", "a,b,c", "Input should be"),
        ("PORTAL_URL", "acme", "expected an address like https://"),
        ("REDIS_URL", "http://x", "expected redis://"),
        ("QUEUE_LIMIT", "many", "valid integer"),
        ("REDIS_URL", "redis://store:six/0", "port and database are numbers"),
        ("REDIS_URL", "redis://store:99999/0", "port and database are numbers"),
        ("REDIS_URL", "redis://store/jobs", "port and database are numbers"),
        ("REDIS_URL", "redis://store/0?db=jobs", "port and database are numbers"),
        ("ROUTER_URL", "https://router.example:65536/v1", "between 1 and 65535"),
        ("BITRIX24_WEBHOOK", "https://acme.example:99999/rest/1/x/", "between 1 and 65535"),
        ("PUBLIC_URL", "https://us.example/?a=1", "expected an address like https://"),
        ("PUBLIC_URL", "https://us.example/#a", "expected an address like https://"),
        ("TRUSTED_HOSTS", "good.example,https://bad.example/path", "not https://bad.example/path"),
        ("TRUSTED_HOSTS", "bad.example/path", "not bad.example/path"),
        ("TRUSTED_HOSTS", "bad.example:99999", "expected `host` or `host:port`"),
        ("DAILY_PAID_SECONDS", "inf", "finite number"),
        ("CHUNK_SECONDS", "nan", "finite number"),
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
    assert error.value.message.count(expected) == 1


NUMBERS = [
    name
    for name, field in Settings.model_fields.items()
    if field.annotation in (int, float, int | None, float | None)
]


@pytest.mark.parametrize("name", NUMBERS)
def test_each_number_has_both_bounds(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """What would take all memory, never come to pass, or is no number is refused by its name."""
    for value in ("-1", "1" + "0" * 30, "1e400", "inf", "nan", "-inf"):
        monkeypatch.setenv(f"CALLSCRIBE_{name.upper()}", value)
        with pytest.raises(SettingsError) as error:
            load(_env_file=None)
        assert error.value.message.startswith(f"CALLSCRIBE_{name.upper()}: "), value
    monkeypatch.delenv(f"CALLSCRIBE_{name.upper()}")
    load(_env_file=None)


def test_numbers_of_one_portal_have_both_bounds(tmp_path: Path) -> None:
    """The same in the file of portals."""
    for name in {"queue_limit", "queue_bytes", "concurrency", "daily_paid_seconds"}:
        for value in ("-1", "1" + "0" * 30, "inf", "nan"):
            file = tmp_path / "portals.toml"
            file.write_text(f'[acme]\nurl = "https://acme.example"\n{name} = {value}\n')
            with pytest.raises(SettingsError, match=name):
                load_portals(load(_env_file=None, portals_file=file, router_key="k" * 20))


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
    monkeypatch.setenv("CALLSCRIBE_SPEECH_LANGUAGE", "Deutsch")
    settings = load(_env_file=None)
    assert (settings.language, settings.speech_language) == ("ru", "de")


def test_a_trusted_host_may_be_an_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names, names with a port, addresses and origins stand as they were given."""
    entries = ("a.example", "a.example:81", "10.0.0.1", "::1", "[::1]:81", "http://a.example:81")
    monkeypatch.setenv("CALLSCRIBE_TRUSTED_HOSTS", ",".join(entries))
    assert load(_env_file=None).trusted_hosts == entries


def test_a_file_of_settings_that_is_not_text_is_named(tmp_path: Path) -> None:
    """`.env` in another encoding, or as a folder, is a sentence and no traceback."""
    file = tmp_path / ".env"
    file.write_bytes("CALLSCRIBE_GLOSSARY=Привет".encode("cp1251"))
    with pytest.raises(SettingsError, match="UTF-8"):
        load(_env_file=file)


PORTAL = '[{name}]\nurl = "https://acme.example"\ntokens = ["{token}"]\n{more}\n'


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ('hosts = ["https://files.example"]', "hosts.0: expected `host` or `host:port`, not https://files"),
        ('hosts = ["a b"]', "hosts.0: expected `host` or `host:port`, not a b"),
        ('webhook = "nothing"', "webhook: expected an address"),
        ('speech_language = "klingon"', "speech_language: expected a language"),
        ('channels = ["manager", "manager"]', "channels: name who is on the left and right"),
        ('channels = ["manager"]', "channels: name who is on the left and right"),
        ("daily_paid_seconds = inf", "daily_paid_seconds: Input should be a finite number"),
        *((f'{work} = {{ url = "ftp://x" }}', f"{work}.url: expected an address") for work in WORKS),
    ],
)
def test_a_wrong_entry_of_a_portal_is_named(tmp_path: Path, more: str, expected: str) -> None:
    """The file of portals is held to the same rules as the settings."""
    path = tmp_path / "portals.toml"
    path.write_text(PORTAL.format(name="acme", token="t" * 24, more=more))
    with pytest.raises(SettingsError) as error:
        load_portals(load(_env_file=None, portals_file=path))
    assert f"{path}: portal acme: {expected}" in error.value.message


@pytest.mark.parametrize("name", ['"a b"', '"a:b"', '""', '"ключ"', '"a\\n"'])
def test_a_portal_has_a_plain_name(tmp_path: Path, name: str) -> None:
    """What is a part of keys in the store and of metrics' labels is letters, digits, `_`, `.`, `-`."""
    path = tmp_path / "portals.toml"
    path.write_text(PORTAL.format(name=name, token="t" * 24, more=""))
    with pytest.raises(SettingsError, match="expected a name of"):
        load_portals(load(_env_file=None, portals_file=path))


def test_a_portal_names_its_language_in_words(tmp_path: Path) -> None:
    """Names become codes, and empty channels say that nobody has a role, as in the settings."""
    path = tmp_path / "portals.toml"
    more = 'speech_language = "Russian"\nchannels = []'
    path.write_text(PORTAL.format(name="acme", token="t" * 24, more=more))
    portal = load_portals(load(_env_file=None, portals_file=path)).one(None)
    assert (portal.speech_language, portal.channels) == ("ru", ())


def test_mistyped_names_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A variable with our prefix that nothing reads is named, with the setting that is probably meant."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CALLSCRIBE_PORTAL_TOKN", "x")
    (tmp_path / ".env").write_text("CALLSCRIBE_VIBECODE_MODEL=m\n")
    assert "CALLSCRIBE_PORTAL_TOKN: no such setting, did you mean CALLSCRIBE_PORTAL_TOKEN?" in mistakes()
    assert any(each.startswith("CALLSCRIBE_VIBECODE_MODEL: no such setting") for each in mistakes())


def test_an_option_that_a_kind_of_provider_does_not_know_is_refused(tmp_path: Path) -> None:
    """A table of PORTALS_FILE takes what that provider has, and the error names what that is."""
    path = tmp_path / "portals.toml"
    for more, expected in (
        (
            'vibecode = { model = "m" }',
            "vibecode.model: no such option; known are vibecode.url, vibecode.key",
        ),
        ('chat = { modle = "m" }', "chat.modle: no such option; known are chat.url, chat.key, chat.model"),
        ('langauge = "ru"', "langauge: no such option; did you mean language?"),
    ):
        path.write_text(PORTAL.format(name="acme", token="t" * 24, more=more))
        with pytest.raises(SettingsError) as error:
            load_portals(load(_env_file=None, portals_file=path))
        assert f"portal acme: {expected}" in error.value.message


@pytest.mark.parametrize("name", PortalOptions.model_fields)
def test_an_option_means_the_same_for_all_portals_and_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """What a variable sets for the only portal, the same word sets for one in PORTALS_FILE."""
    field = PortalOptions.model_fields[name]
    value = field.examples[0] if field.examples else field.default
    text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value if value is not None else "")
    monkeypatch.setenv(f"CALLSCRIBE_{name.upper()}", text)
    by_variable = load_portals(load(_env_file=None)).one(None)
    monkeypatch.delenv(f"CALLSCRIBE_{name.upper()}")
    path = tmp_path / "portals.toml"
    for word in (name, in_file(name)):
        shown = json.dumps(list(value) if isinstance(value, tuple) else text)
        path.write_text(f"[portal]\n{word} = {shown}\n")
        by_file = load_portals(load(_env_file=None, portals_file=path)).one(None)
        assert by_file.model_copy(update={"rubric": by_variable.rubric}) == by_variable


def test_the_older_name_of_the_language(monkeypatch: pytest.MonkeyPatch) -> None:
    """PORTAL_LANGUAGE is still read where LANGUAGE is not set."""
    monkeypatch.setenv("CALLSCRIBE_PORTAL_LANGUAGE", "ru")
    assert load(_env_file=None).language == "ru"
    monkeypatch.setenv("CALLSCRIBE_LANGUAGE", "en")
    assert load(_env_file=None).language == "en"


def test_a_webhook_is_used_for_the_portal_on_its_host_alone(tmp_path: Path) -> None:
    """One portal's webhook, set for all, would write the others' scores into that one's CRM."""
    path = tmp_path / "portals.toml"
    tables = [f'[{name}]\nurl = "https://{name}.example"\ntokens = ["{name * 24}"]\n' for name in "ab"]
    own = 'webhook = "https://crm.d.example/rest/1/own/"\n'
    more = "".join(f'[{name}]\ntokens = ["{name * 24}"]\n' for name in "cd")
    path.write_text("".join(tables) + more + own)
    shared = {"bitrix24_webhook": "https://a.example/rest/1/secret/"}
    portals = load_portals(load(_env_file=None, portals_file=path, **shared))
    assert {key: portal.webhook for key, portal in portals.items()} == {
        "a": shared["bitrix24_webhook"], "b": None, "c": None, "d": "https://crm.d.example/rest/1/own/",
    }  # fmt: skip
    path.write_text(tables[1])
    portal = load_portals(load(_env_file=None, portals_file=path, **shared)).one(None)
    assert portal.webhook == shared["bitrix24_webhook"]


def test_every_secret_is_found_by_its_type(tmp_path: Path) -> None:
    """What the log must not hold is all that settings and portals declare as secret, tokens as well."""
    path = tmp_path / "portals.toml"
    secret = {
        name: f"{name}-{'s' * 24}"
        for name, field in PortalOptions.model_fields.items()
        if "Secret" in str(field.annotation)
    }
    assert len(secret) >= 7
    secret["bitrix24_webhook"] = f"https://a.example/rest/1/{secret['bitrix24_webhook']}/"
    path.write_text("[acme]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in secret.items()))
    settings = load(_env_file=None, portals_file=path, api_key="k" * 24)
    known = secrets_of(settings, load_portals(settings))
    assert {f"{name}-{'s' * 24}" for name in secret} | {"k" * 24} <= known

"""What every command has in common: names, exit codes, secrets that stay unseen."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import click
import pytest

from pipeline.cli import COMMANDS, CannotStart, WorkFailed, callscribe, exit_code, parts
from pipeline.cli.service import lacking
from pipeline.domain.errors import CallscribeError, LeaseLost, NotAudio, SettingsError, StoreUnavailable
from pipeline.settings.installation import load
from pipeline.settings.portals import load_portals
from tests.cli.conftest import Run

NAMES = (
    "demo", "up", "api", "worker", "sandbox", "replay", "engines", "transcribe", "jobs", "doctor", "usage",
    "portals", "config",
)  # fmt: skip
TOKEN = "token-of-a-portal-0123456789"


@pytest.mark.parametrize("name", NAMES)
def test_every_command_explains_itself(run: Run, name: str) -> None:
    """Each public command answers --help with 0, and its first line is in the list of all."""
    assert run(name, "--help").code == 0
    assert f"\n  {name} " in run("--help").out


def test_the_list_of_commands_tells_what_they_say_of_themselves_and_imports_none() -> None:
    """Their own first sentences; Celery, Redis, HTTP and audio are not loaded for a list."""
    for name, text in COMMANDS.items():
        command = callscribe.get_command(click.Context(callscribe), name)
        assert command is not None
        assert command.get_short_help_str(limit=1000) == text
    listed = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "pipeline", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = {line.rpartition("|")[2].strip() for line in listed.stderr.splitlines()}
    assert "click" in loaded
    assert not loaded & {"celery", "redis", "httpx", "structlog", "pydantic", "starlette", "av"}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SettingsError("x"), 2),
        (StoreUnavailable("x"), 3),
        (CannotStart("x"), 3),
        (WorkFailed("x"), 1),
        (NotAudio("x"), 1),
        (LeaseLost("x"), 1),
    ],
)
def test_exit_codes(error: CallscribeError, code: int) -> None:
    """1 the work failed, 2 wrong usage or settings, 3 could not start."""
    assert exit_code(error) == code


@pytest.mark.parametrize(
    "args", [["nope"], ["up", "--port", "x"], ["worker", "--queue", "nope"], ["jobs", "show"]]
)
def test_wrong_usage_exits_2(run: Run, args: list[str]) -> None:
    """What cannot be understood is wrong usage."""
    done = run(*args)
    assert done.code == 2
    assert done.err


def test_a_wrong_setting_exits_2_and_is_named(run: Run) -> None:
    """The variable is named with what was expected, and its value is not repeated."""
    done = run("config", portal_token="too-short-and-secret")
    assert done.code == 2
    assert "CALLSCRIBE_PORTAL_TOKEN" in done.err
    assert "too-short" not in done.err


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("bitrix24_webhook", "hook-secret"),
        ("redis_url", "http://store.example"),
        ("portal_language", "xx"),
        ("rubric", "/nowhere/rubric.toml"),
        ("ca_file", "/nowhere/ca.pem"),
        ("provider_proxy", "hook-secret"),
    ],
)
@pytest.mark.parametrize("command", ["config", "doctor", "up", "api", "worker"])
def test_no_command_starts_with_a_wrong_setting(run: Run, command: str, name: str, value: str) -> None:
    """What would end each process right after its start ends the command, with a sentence."""
    done = run(command, **{name: value})
    assert done.code == 2
    assert name in done.err.lower()
    assert "hook-secret" not in done.err


def test_a_store_that_is_away_exits_3(run: Run) -> None:
    """REDIS_URL where nobody listens: could not start; where and why is told, and no password."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    done = run("jobs", "list", redis_url=f"redis://user:store-password@127.0.0.1:{port}/0")
    assert done.code == 3
    assert f"127.0.0.1:{port}" in done.err
    assert "refused" in done.err
    assert "CALLSCRIBE_REDIS_URL" in done.err
    assert "Traceback" not in done.err
    assert "store-password" not in done.err + run("doctor").out


def test_golden_needs_a_key(run: Run) -> None:
    """Without any chat key it is one sentence, not a failure per call."""
    done = run("golden")
    assert done.code == 2
    assert "CALLSCRIBE_CHAT_KEY" in done.err


def test_config_says_where_each_value_comes_from_and_masks_secrets(run: Run) -> None:
    """Environment before `.env` before default; of a secret only that it is set, of a URL no query."""
    Path(".env").write_text(
        f"CALLSCRIBE_PORTAL_TOKEN={TOKEN}\nCALLSCRIBE_LANGUAGE=ru\nCALLSCRIBE_CHUNK_SECONDS=300\n"
    )
    secrets = {
        "router_key": "key-of-the-router",
        "bitrix24_webhook": "https://example.bitrix24.com/rest/1/webhook-secret/",
        "redis_url": "redis://:redis-password@127.0.0.1:6379/0",
        "provider_proxy": "http://user:proxy-password@proxy:3128",
    }
    done = run("config", language="en", **secrets)
    assert done.code == 0
    lines = {line.split()[0]: line for line in done.out.splitlines()}
    assert "en  (environment)" in lines["CALLSCRIBE_LANGUAGE"]
    assert "300.0  (.env)" in lines["CALLSCRIBE_CHUNK_SECONDS"]
    assert "(.env)" in lines["CALLSCRIBE_PORTAL_TOKEN"]
    for secret in (TOKEN, "key-of-the-router", "webhook-secret", "redis-password", "proxy-password"):
        assert secret not in done.out
    assert "CALLSCRIBE_DRAIN_SECONDS" not in done.out
    assert "CALLSCRIBE_DRAIN_SECONDS" in run("config", "--all").out


def test_rotate_makes_a_token_that_is_good(run: Run) -> None:
    """A new token each time, long enough to be taken; the old one is not shown."""
    first, second = run("portals", "rotate", portal_token=TOKEN), run("portals", "rotate")
    found = [done.out.partition("CALLSCRIBE_PORTAL_TOKEN=")[2].partition(",")[0] for done in (first, second)]
    assert found[0] != found[1]
    assert TOKEN not in first.out
    assert run("config", portal_token=f"{found[0]},{TOKEN}").code == 0
    assert run("portals", "list").out.splitlines()[1].split()[:3] == ["portal", "-", "2"]


def test_a_reader_that_leaves_is_no_crash(short_path: Path) -> None:
    """`callscribe config --all | head -1` ends without a traceback."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("CALLSCRIBE_")}
    done = subprocess.run(
        f"{sys.executable} -m pipeline config --all | head -1",
        shell=True, cwd=short_path, env=env, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.startswith("CALLSCRIBE_")
    assert "Traceback" not in done.stderr


def test_up_does_not_start_where_audio_cannot_be_kept(run: Run) -> None:
    """An audio storage that is a file, or that nobody can make: exit 3, and its setting is named."""
    Path("file").write_text("")
    for path in (Path("file").absolute(), Path("/proc/nowhere/audio")):
        done = run("up", "--port", "0", storage_url=path.as_uri())
        assert done.code == 3
        assert "CALLSCRIBE_STORAGE_URL" in done.err
        assert str(path) in done.err


@pytest.mark.parametrize("command", ["up", "api", "worker"])
def test_nothing_starts_that_could_not_capture(run: Run, command: str) -> None:
    """A folder for captured requests that cannot be made is a wrong setting, with its path."""
    done = run(command, capture_dir="/proc/nowhere/captured")
    assert done.code == 2
    assert "CALLSCRIBE_CAPTURE_DIR: /proc/nowhere/captured" in done.err


def test_config_tells_lines_that_set_nothing(run: Run) -> None:
    """A line of `.env` that is not NAME=value is told by its number; a file that is no text is an error."""
    Path(".env").write_text("# a comment\n\nCALLSCRIBE_LANGUAGE\n- what = this\nCALLSCRIBE_TIMELINE=off\n")
    done = run("config")
    assert done.code == 0
    assert [line.split()[2] for line in done.err.splitlines()] == ["3", "4"]
    Path(".env").write_bytes(b"CALLSCRIBE_GLOSSARY=\xcf\xf0\xe8\n")
    done = run("config")
    assert done.code == 2
    assert "UTF-8" in done.err


def test_up_says_what_is_sure_to_fail(run: Run) -> None:
    """Keys, address and webhook that are not set are named by their settings; what is set is not."""
    told = list(lacking(load_portals(load(portal_token=TOKEN, timeline="bitrix24", chat_key="k"))))
    assert [line.partition("(")[2].partition(")")[0] for line in told] == [
        "CALLSCRIBE_ROUTER_KEY or CALLSCRIBE_TRANSCRIPTION_KEY",
        "CALLSCRIBE_PORTAL_URL",
        "CALLSCRIBE_BITRIX24_WEBHOOK",
    ]


def test_answers_on_a_kept_connection_do_not_wait() -> None:
    """A connection to what we serve has no delay (TCP_NODELAY), whichever event loop accepts it."""
    with parts.listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

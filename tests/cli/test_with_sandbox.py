"""Commands that ask a provider and a portal, against the sandbox."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.cli.sandbox import settings_for
from pipeline.sandbox.app import Sandbox
from tests.cli.conftest import Run

AUDIO = Path(__file__).parents[2] / "fixtures" / "audio"
SAID = "our budget is ten thousand dollars"


@pytest.fixture(scope="module")
def served() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture
def sandbox(served: Sandbox, monkeypatch: pytest.MonkeyPatch, run: Run) -> Sandbox:
    """The sandbox, forgetful of earlier tests, with the settings that fit it."""
    served.script.clear()
    served.ledger.clear()
    for name, value in settings_for(served.base_url).items():
        monkeypatch.setenv(name, value)
    return served


def test_transcribe_prints_one_format_and_writes_several(run: Run, sandbox: Sandbox) -> None:
    """Text to the terminal, or a file per format; only recognition is asked, once per side."""
    sandbox.script.add(path="/v1/audio/transcriptions", text=SAID, times=None)
    file = Path("call")
    shutil.copyfile(AUDIO / "weak-lead", file)
    file.chmod(0o644)
    done = run("transcribe", str(file), "--language", "English")
    assert (done.code, done.out) == (0, f"{SAID}\n"), done.err
    assert {entry["path"] for entry in sandbox.ledger.entries} == {"/v1/audio/transcriptions"}
    assert file.stat().st_mode & 0o777 == 0o644
    assert sandbox.ledger.entries[0]["fields"]["language"] == "en"

    several = run("transcribe", str(file), "--format", "srt,vtt,json", "--to", "out")
    assert several.out.split() == ["out/call.srt", "out/call.vtt", "out/call.json"]
    assert Path("out/call.vtt").read_text().startswith("WEBVTT")
    assert json.loads(Path("out/call.json").read_text())["text"] == SAID
    assert not list(Path().glob("var"))


def test_transcribe_says_why_it_failed(run: Run, sandbox: Sandbox) -> None:
    """A page instead of a recording, and a refused key, each end in 1 and a sentence."""
    page = run("transcribe", str(AUDIO / "not-audio"))
    assert page.code == 1
    assert "not_audio" in page.err
    refused = run("transcribe", str(AUDIO / "weak-lead"), router_key="a-wrong-key")
    assert refused.code == 1
    assert "401" in refused.err
    assert "a-wrong-key" not in refused.err
    assert "provider_account_refused" not in refused.err


def test_transcribe_says_what_it_waits_for_and_gives_up(run: Run, sandbox: Sandbox) -> None:
    """A provider that is away: the reason is told while it waits, and again when its patience ends."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        away = f"127.0.0.1:{closed.getsockname()[1]}"
    file = str(AUDIO / "weak-lead")
    done = run(
        "transcribe", file, "--patience", "0.04", router_url=f"http://{away}/v1", trusted_hosts=away
    )  # fmt: skip
    assert done.code == 1
    waits, gives_up = done.err.partition("no progress for 0.04 minutes: ")[::2]
    reason = gives_up.strip()
    assert reason
    assert f"waiting: {reason}" in waits


def test_transcribe_pays_nothing_for_what_it_cannot_write(run: Run, sandbox: Sandbox) -> None:
    """A folder that cannot be made is wrong usage, told before the recording is sent anywhere."""
    Path("taken").write_text("")
    for folder in ("taken", "taken/below", "/proc/nowhere"):
        done = run("transcribe", str(AUDIO / "weak-lead"), "--to", folder)
        assert done.code == 2
        assert folder in done.err
    assert sandbox.ledger.entries == []


def test_transcribe_refuses_a_language_that_is_none(run: Run) -> None:
    """An unknown language is wrong usage, told before anything is paid."""
    assert run("transcribe", str(AUDIO / "weak-lead"), "--language", "Klingon").code == 2


def test_doctor_names_what_needs_mending(run: Run, sandbox: Sandbox) -> None:
    """One line per part; a wrong key and engines that are not registered are failed checks, and exit 1."""
    done = run("doctor", portal_token="token-of-a-portal-0123456789", router_key="a-wrong-key")
    assert done.code == 1
    lines = done.out.splitlines()
    assert any(line.startswith("ok") and "embedded store: appendfsync always" in line for line in lines)
    assert any(line.startswith("ok") and "media libraries" in line for line in lines)
    assert any(line.startswith("MEND") and "refuses the key (401)" in line for line in lines)
    assert any("our address: is not set" in line for line in lines)
    assert "a-wrong-key" not in done.out
    assert "token-of-a-portal" not in done.out


def test_doctor_tells_a_timeline_without_a_webhook(run: Run, sandbox: Sandbox) -> None:
    """Entries that could never be written are a failed check with a hint."""
    done = run("doctor", timeline="bitrix24", bitrix24_webhook="")
    assert "webhook: is not set, and CALLSCRIBE_TIMELINE=bitrix24 cannot write without it" in done.out
    assert "Set CALLSCRIBE_BITRIX24_WEBHOOK" in done.out


def test_doctor_takes_a_provider_that_lists_its_models(run: Run, sandbox: Sandbox) -> None:
    """The right key and known models are fine; a model that is not listed is named."""
    assert "takes the key" in run("doctor").out
    assert "lists no model nothing-such" in run("doctor", chat_model="nothing-such").out

"""Commands that ask a provider and a portal, against the sandbox."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.cli import attached, whisper
from pipeline.cli.sandbox import settings_for
from pipeline.clients.chat import Chat
from pipeline.clients.transport import Transport
from pipeline.domain.job import Message
from pipeline.sandbox.app import Sandbox
from pipeline.settings.installation import load
from pipeline.settings.portals import load_portals
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


def test_transcribe_without_a_key_ends_at_once(run: Run) -> None:
    """Wrong settings, which are named, with the way that needs no key; nothing is started for it."""
    done = run("transcribe", str(AUDIO / "weak-lead"))
    assert done.code == 2
    assert "CALLSCRIBE_TRANSCRIPTION_KEY" in done.err
    assert "--offline" in done.err


def test_transcribe_offline_falls_back_to_pocketsphinx_and_says_so(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without Whisper, English is heard on this machine, keys or not; any other language is wrong usage."""
    monkeypatch.setattr(whisper, "installed", lambda: False)
    done = run("transcribe", "--offline", str(AUDIO / "weak-lead"), router_key="a-key-that-nobody-asks-for")
    assert done.code == 0, done.err
    assert "not interested" in done.out
    assert "PocketSphinx hears, English only" in done.err
    for arguments, settings in ((["--language", "ru"], {}), ([], {"speech_language": "ru"})):
        done = run("transcribe", "--offline", *arguments, str(AUDIO / "russian-call"), **settings)
        assert done.code == 2
        assert "callscribe[whisper]" in done.err


def test_transcribe_takes_several_files(run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is written beside its name, `-` as stdin; one that is no recording is told, the others stand."""
    sandbox.script.add(path="/v1/audio/transcriptions", text=SAID, times=None)
    with (AUDIO / "weak-lead").open("rb") as file:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(file))
        done = run("transcribe", "-", str(AUDIO / "not-audio"), str(AUDIO / "gsm-wav"), "--language", "en")
    assert done.code == 1
    assert done.out.split() == ["stdin.txt", "gsm-wav.txt"]
    assert Path("stdin.txt").read_text() == Path("gsm-wav.txt").read_text() == f"{SAID}\n"
    assert "1 of 3 files" in done.err
    twice = run("transcribe", str(AUDIO / "weak-lead"), str(AUDIO / ".." / "audio" / "weak-lead"))
    assert twice.code == 2
    assert "weak-lead" in twice.err


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


def test_doctor_names_what_fails(run: Run, sandbox: Sandbox) -> None:
    """One line per part; a wrong key and engines that are not registered are failed checks, and exit 1."""
    done = run("doctor", portal_token="token-of-a-portal-0123456789", router_key="a-wrong-key")
    assert done.code == 1
    lines = done.out.splitlines()
    assert any(line.startswith("ok") and "embedded store: appendfsync always" in line for line in lines)
    assert any(line.startswith("ok") and "media libraries" in line for line in lines)
    assert any(line.startswith("FAIL") and "refuses the key (401)" in line for line in lines)
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


def test_doctor_tells_what_was_learned_and_when(run: Run, sandbox: Sandbox) -> None:
    """Fields that a server does not take, its window and its times; each with the moment that ends it."""
    refusals = {
        "first": {"message": "temperature is not supported"},
        "second": {"code": "context_length_exceeded", "message": "maximum context length is 4096 tokens"},
    }
    for word, error in refusals.items():
        sandbox.script.add(path="/v1/chat/*", contains=word, times=1, status=400, body={"error": error})
    settings = load()
    Path("var/store").mkdir(parents=True)
    provider = next(iter(load_portals(settings).values())).chat
    with (
        attached.opened_store(settings) as store,
        contextlib.closing(Transport.of(settings)) as transport,
    ):
        chat = Chat(provider, transport, store.known)
        for words in ("first", "second " * 4000):
            asked = [Message(role="user", content=words)]
            chat.ask(asked, model=provider.models[0], temperature=0.3, fits=True)
    told = run("doctor").out
    assert "chat: temperature is not taken, it is left out (named by a refusal 0 min ago" in told
    assert "chat: takes 4096 tokens" in told


def test_doctor_tells_ends_of_life_before_they_come(run: Run, sandbox: Sandbox) -> None:
    """By the server's list, else by what was announced; with the model to change to."""
    rows = [{"id": "m", "shutdown_date": "2031-05-06"}, {"id": "old", "deprecation": "2026-01-02T00:00:00Z",
            "deprecation_replacement_model": "new"}, {"id": "whisper-1", "shutdown_date": None}]  # fmt: skip
    sandbox.script.add(path="/v1/models", times=None, status=200, body={"data": rows})
    told = run("doctor", chat_model="m", chat_fallbacks="old", transcription_model="whisper-1").out
    assert "m ends on 2031-05-06" in told
    assert "old ended on 2026-01-02" in told
    assert "Change to new" in told
    assert "whisper-1 ends on 2027-02-26" in told
    assert "gpt-transcribe" in told


def test_doctor_tells_an_image_model_that_cannot_serve(run: Run, sandbox: Sandbox) -> None:
    """Bytes without an address of ours: the category is not served, and the mend is named."""
    told = run("doctor", image_model="gpt-image-2.6-flare").out
    assert "answers with bytes instead of links, so images are not served" in told
    assert "Set CALLSCRIBE_PUBLIC_URL" in told
    assert "images are not served" not in run(
        "doctor", image_model="gpt-image-2.6-flare", public_url="https://calls.example"
    ).out  # fmt: skip

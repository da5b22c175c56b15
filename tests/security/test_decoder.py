"""The process in which recordings are read: what it has, what it cannot do, and what of it is believed."""

from __future__ import annotations

import ast
import contextlib
import errno
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.audio import zygote
from pipeline.audio.confine import Limits
from pipeline.audio.decoder import ASIDE, Decoder, written
from pipeline.audio.limits import UploadLimits
from pipeline.audio.split import gathered, split
from pipeline.domain.errors import CallscribeError, DecoderDied, NoSpeech, NotAudio
from pipeline.domain.job import Request, Source
from pipeline.domain.recording import Span
from pipeline.sandbox.app import Sandbox
from pipeline.steps import audio_steps, flow
from tests.bitrix.test_once import link_to
from tests.installation import Open, accept, opened, recording, run, sandbox, served
from tests.security import inside
from tests.system.processes import until

__all__ = ["opened", "sandbox", "served"]

ROOT = Path(__file__).parents[2]
linux = pytest.mark.skipif(sys.platform != "linux", reason="held by Linux's kernel")


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with contextlib.closing(Decoder()) as made:
        yield made


def test_it_gives_what_the_function_gives(decoder: Decoder) -> None:
    """Dataclasses, tuples and numbers go there and come back as what they are."""
    span, names = Span(start=1.5, end=2.0), ("a", "b")
    assert decoder.run(inside.bent, span, float("inf"), names=()) == ()
    assert decoder.run(inside.bent, span, 2.0, names=names) == inside.bent(span, 2.0, names=names)


def test_it_gives_what_a_function_yields_as_it_comes(decoder: Decoder) -> None:
    """The first values are there before the last one is made; other calls are served before and after."""
    assert list(decoder.stream(inside.counted, 3)) == list(inside.counted(3))
    parts = decoder.stream(inside.counted, 3, seconds=30.0)
    begun = time.monotonic()
    assert [next(parts).start, next(parts).start] == [0, 1]
    assert time.monotonic() - begun < 20
    parts.close()
    assert decoder.run(inside.bent, Span(start=0, end=1), 2.0, names=()) == ()
    assert list(decoder.stream(inside.counted, 0)) == []


def test_what_ends_in_the_middle_gives_what_it_had(decoder: Decoder) -> None:
    """A refusal, or the death of the process, comes after the values before it; then it serves again."""
    for function, most, error in ((inside.counted, 2000, NoSpeech), (inside.dies, 5, DecoderDied)):
        got: list[Span] = []
        with pytest.raises(error):
            got.extend(decoder.stream(function, most))
        assert len(got) == min(most, 1000)
    assert len(list(decoder.stream(inside.counted, 2))) == 2


def test_a_recording_is_cut_into_the_same_bytes(decoder: Decoder) -> None:
    """Apart or here, a recording has the same plan and the same pieces."""
    path = ROOT / "fixtures" / "audio" / "weak-lead"
    results = []
    for cut in (decoder.stream, lambda function, *args, **kwargs: function(*args, **kwargs)):
        with tempfile.TemporaryDirectory() as out:
            parts = cut(
                split, path, sha256="0" * 64, content_type=None, out=Path(out), limits=UploadLimits(),
                chunk_seconds=600, uploads_per_minute=4, name="chunk",
            )  # fmt: skip
            media, plan = gathered(parts)
            pieces = {chunk.blob: written(Path(out), chunk.blob).read_bytes() for chunk in plan.chunks}
        results.append((media, plan, pieces))
    assert results[0] == results[1]


@linux
def test_it_holds_nothing_of_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """No environment, no settings, no store, no client, nothing open but its answer; no privilege."""
    monkeypatch.setenv("CALLSCRIBE_ROUTER_KEY", "a-key-that-nobody-else-may-see")
    with contextlib.closing(Decoder()) as new:
        told = new.run(inside.found)
        assert new._process
        assert Path(f"/proc/{new._process.pid}/environ").read_bytes() == b""
    assert told["environment"] == []
    rooms = {"settings", "store", "storage", "steps", "clients", "run", "telemetry", "archive", "scoring"}
    assert not {f"pipeline.{room}" for room in rooms} & set(told["modules"])  # type: ignore[arg-type]
    assert not {"redis", "httpx", "celery", "kombu", "pydantic", "sqlalchemy"} & set(told["modules"])  # type: ignore[arg-type]
    assert len(told["open"]) == 4  # type: ignore[arg-type]  (three times nothing, and its answer)
    assert (told["no_new_privileges"], told["dumpable"], told["core"]) == (1, 0, 0)


@linux
def test_there_is_no_way_out_of_it(decoder: Decoder, short_path: Path) -> None:
    """No socket, no other file, no other process and no other program is in reach."""
    (short_path / "secret").write_text("a secret of the service")
    (short_path / "call").write_bytes(b"recording")
    (short_path / "out").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket(socket.AF_UNIX) as near:
        near.bind(str(short_path / "near.sock"))
        near.listen()
        told = decoder.run(
            inside.refused, short_path / "call", str(short_path / "near.sock"),
            listener.getsockname()[1], os.getpid(), short_path / "out",
        )  # fmt: skip
    assert {what: how for what, how in told.items() if how == "done"} == {}
    assert set(told.values()) <= {"PermissionError", "ValueError", "OSError"}
    assert [path.name for path in (short_path / "out").iterdir()] == ["made"]  # its name cannot be taken away
    assert not (short_path / "new").exists()


def test_refusals_keep_their_words(decoder: Decoder, tmp_path: Path) -> None:
    """What a recording is refused with, and what the system refuses, is raised as here."""
    with pytest.raises(NoSpeech, match="nobody speaks in call"):
        decoder.run(inside.silent, tmp_path / "call")
    with pytest.raises(OSError, match="No space") as full:
        decoder.run(inside.no_room, errno.ENOSPC)
    assert full.value.errno == errno.ENOSPC


def test_what_broke_is_told_without_its_words(decoder: Decoder, capsys: pytest.CaptureFixture[str]) -> None:
    """Of an error that nobody foresaw the log has kind and place, never the message: it may quote a call."""
    with pytest.raises(CallscribeError, match="ZeroDivisionError"):
        decoder.run(inside.broken)
    assert "123456" not in capsys.readouterr().out


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT])
def test_a_crash_is_told_and_the_next_call_served(decoder: Decoder, number: int) -> None:
    """Native code that crashes takes its own process down, and nothing else."""
    with pytest.raises(DecoderDied):
        decoder.run(inside.kill_itself, number)
    assert decoder.run(inside.swell, 1000) == 1000


def test_what_nobody_waits_for_gives_way(decoder: Decoder) -> None:
    """A call aside runs behind all other work of the machine; those after it do not."""
    here = os.nice(0)
    assert decoder.run_aside(inside.niceness) == here + ASIDE
    assert decoder.run(inside.niceness) == here


def test_limits_hold() -> None:
    """Memory beyond the limit is a refusal; a loop in C that never comes back ends with its process."""
    limits = Limits(memory_bytes=64 << 20, cpu_seconds=0.1, grace_seconds=0.5)
    with contextlib.closing(Decoder(limits)) as decoder:
        with pytest.raises(NotAudio, match="64 MiB of memory"):
            decoder.run(inside.swell, 100 << 20)
        with pytest.raises(DecoderDied, match=f"-{int(signal.SIGPROF)}"):
            decoder.run(inside.spin)
        assert decoder.run(inside.swell, 30 << 20) == 30 << 20


def test_what_hangs_without_working_is_ended(tmp_path: Path) -> None:
    """A call that comes to no end by the clock on the wall counts as a crash; the next one is served."""
    with contextlib.closing(Decoder(Limits(wall_seconds=0.5))) as decoder:
        with pytest.raises(DecoderDied, match=f"-{int(signal.SIGKILL)}"):
            decoder.run(inside.wait, tmp_path)
        assert decoder.run(inside.thread) == 7


@pytest.mark.parametrize(("files", "size"), [(3, 1 << 20), (100, 0)])
def test_a_folder_is_not_filled_without_end(tmp_path: Path, files: int, size: int) -> None:
    """Whose files take more room than they may, or are too many, is ended; the next call is served."""
    limits = Limits(folder_bytes=2 << 20, folder_files=100)
    with contextlib.closing(Decoder(limits)) as decoder:
        with pytest.raises(DecoderDied, match=f"-{int(signal.SIGKILL)}"):
            decoder.run(inside.fill, tmp_path, files, size)
        assert decoder.run(inside.thread) == 7


def test_a_disk_is_left_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes more than four times of what is left on the disk has no room, which may pass; less has."""
    for name, size in (("a", 3 << 20), ("b", 2 << 20)):
        with (tmp_path / name).open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
    for free, short in ((1 << 20, errno.ENOSPC), (2 << 20, 0)):
        monkeypatch.setattr(os, "statvfs", lambda _, free=free: SimpleNamespace(f_bavail=free, f_frsize=1))
        assert zygote._short_of([tmp_path], Limits()) == short


def test_whatever_reads_recordings_is_run_apart() -> None:
    """No step, and no command, calls a function of these modules itself: it hands it to the decoder."""
    reads = {f"pipeline.audio.{name}" for name in ("halve", "join", "keep", "sniff", "split")}
    found = 0
    for path in (ROOT / "pipeline").rglob("*.py"):
        if path.parent.name in ("audio", "whisper"):  # a recogniser is a process apart by itself
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module in reads
            for alias in node.names
        }
        found += len(names)
        for node in ast.walk(tree):
            called = node.func if isinstance(node, ast.Call) else None
            assert not (isinstance(called, ast.Name) and called.id in names), (path, called.id)  # type: ignore[union-attr]
    assert found > 5


def test_who_kills_it_loses_one_call_at_most(tmp_path: Path) -> None:
    """Killed while it waits, the next call starts it anew; killed over a call, that call tells so."""
    with contextlib.closing(Decoder()) as decoder:
        decoder.run(inside.swell, 1)
        assert decoder._process
        first = decoder._process
        first.kill()
        first.wait()
        assert decoder.run(inside.swell, 2) == 2
        second = decoder._process
        assert second
        killer = threading.Thread(target=lambda: (_until(tmp_path / "begun"), second.kill()))
        killer.start()
        with pytest.raises(DecoderDied):
            decoder.run(inside.wait, tmp_path)
        killer.join()
        assert decoder.run(inside.swell, 3) == 3


def _until(path: Path) -> None:
    end = time.monotonic() + 30
    while not path.exists() and time.monotonic() < end:
        time.sleep(0.01)


@pytest.mark.parametrize(
    "answer",
    [
        "", "{", "[]", "null", '{"value": null}', '{"value": {"start": NaN, "end": 1}}', '{"refused": 1}',
        '{"value": {"start": 1e999, "end": 1}}', '{"value": {"start": "soon", "end": []}}',
        '{"refused": "lease_lost", "message": "x"}', '{"refused": "poison", "message": "x"}',
        '{"errno": "many"}', '{"errno": 1e9, "broke": "x"}', "[" * 200_000, '{"broke": "x", "errno": null}',
    ],
)  # fmt: skip
def test_nonsense_is_not_believed(decoder: Decoder, answer: str) -> None:
    """An answer that the function could not have given counts as the end of its process."""
    with pytest.raises(DecoderDied):
        decoder.run(inside.lie, answer, len(answer))


def test_an_answer_without_end_is_cut(decoder: Decoder) -> None:
    """What is said is bounded: the process is ended, and the next call served."""
    with pytest.raises(DecoderDied):
        decoder.run(inside.lie, "", 80 << 20)
    assert decoder.run(inside.swell, 1) == 1


def test_only_files_of_its_folder_are_taken(tmp_path: Path) -> None:
    """A piece is an ordinary file that lies where it was to be written: no link, no other place."""
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "secret").write_text("key")
    (out / "chunk-000.flac").write_bytes(b"sound")
    (out / "soft").symlink_to(tmp_path / "secret")
    os.link(tmp_path / "secret", out / "hard")
    (out / "folder").mkdir()
    assert written(out, "chunk-000.flac").read_bytes() == b"sound"
    for name in (
        "soft",
        "hard",
        "folder",
        "missing",
        "../secret",
        "/etc/passwd",
        "",
        ".",
        "..",
        "a\0b",
        "a" * 300,
    ):
        with pytest.raises(DecoderDied):
            written(out, name)


def test_a_recording_that_kills_its_process_twice_is_refused(
    opened: Open, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker lives, and tells the portal after the second crash that the recording is at fault."""
    monkeypatch.setattr(audio_steps, "split_stage", inside.crash)
    tools = opened()
    job = accept(tools, Request(file_url=link_to(sandbox, recording(sandbox))), Source.API)
    ended = run(tools, job, until=lambda job: flow.failure(job) is not None)[0]
    failure = flow.failure(ended)
    assert failure
    assert failure.slug == "poison"
    assert [event.what for event in tools.store.events(job) if event.step == "split"][:2] == ["lost", "lost"]


@pytest.mark.parametrize("sides", [1, 2])
def test_what_it_rehearses_with_is_cut_as_any_call(tmp_path: Path, sides: int) -> None:
    """Its own sound is no silence, each side is a piece: all that a call takes is there before it comes."""
    (tmp_path / "hum").write_bytes(zygote._hum(sides))
    parts = split(
        tmp_path / "hum", sha256="", content_type=None, out=tmp_path / "out", limits=UploadLimits(),
        chunk_seconds=600, uploads_per_minute=20, name="piece",
    )  # fmt: skip
    assert [chunk.channel for chunk in gathered(parts)[1].chunks] == ([None] if sides == 1 else [0, 1])


def test_what_it_rehearses_with_does_not_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It lies where the worker's own temporary files do, for as long as it takes, and whoever is killed
    meanwhile leaves it to the next one to remove.
    """
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    used = tmp_path / f"callscribe-{os.getuid()}"
    (used / "of-one-that-was-killed").mkdir(parents=True)
    with contextlib.closing(Decoder()) as made:
        made.start()
        until(lambda: not list(used.iterdir()))
        assert made.run(inside.bent, Span(start=0, end=1), 2.0, names=("a",))


def test_who_claims_to_have_ended_has_ended(decoder: Decoder) -> None:
    """A process that says so and goes on is ended, and what it says afterwards is heard by nobody."""
    decoder.run(inside.swell, 1)
    with pytest.raises(DecoderDied):  # it has told no value
        decoder.run(inside.lingers, 60.0)
    assert decoder.run(inside.swell, 2) == 2

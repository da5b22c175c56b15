"""A link that may not be ready yet is asked again for a while, by the record's due time, then believed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from pipeline.domain.job import Claim, Job, JobId, PortalId, Request, Source, Step
from pipeline.steps import flow, retry
from pipeline.steps.tools import Tools
from tests.audio.signals import speech, write
from tests.installation import Open, accept, run
from tests.transport.listener import Listener, Script

GAPS = (0.02, 0.04, 0.1, 0.2, 0.4)
PATIENCE = 0.5
PCM, _ = speech(8000, 3)


@pytest.fixture
def tools(opened: Open, monkeypatch: pytest.MonkeyPatch) -> Tools:
    """The schedule in hundredths."""
    monkeypatch.setattr(retry, "GAPS", GAPS)
    return opened(link_patience_seconds=PATIENCE)


@pytest.fixture
def serve() -> Iterator[Callable[[Script], Listener]]:
    with ExitStack() as stack:
        yield lambda script: stack.enter_context(closing(Listener(script)))


def fetched(tools: Tools, server: Listener, *, ttl: float = 60.0) -> tuple[Job, list[str]]:
    """The job once its recording was sniffed, or the link was given up; and why it was put off meanwhile."""
    job = accept(tools, Request(file_url=f"{server.url}/a"), source=Source.API, ttl=ttl)
    (done,) = run(tools, job, until=lambda job: "sniff" in job.facts or "failure" in job.facts)
    return done, [event.why or "" for event in tools.store.events(job) if event.what == "deferred"]


def recording(tmp_path: Path, codec: str, container: str) -> bytes:
    return write(tmp_path / "a", PCM, rate=8000, codec=codec, container=container).read_bytes()


def early(kind: str, whole: bytes) -> tuple[int, bytes]:
    """The status and body with which a host says that a recording is not there yet."""
    return {
        "404": (404, b"no"),
        "403": (403, b"<Error><Code>AccessDenied</Code></Error>"),
        "410": (410, b""),
        "204": (204, b""),
        "empty": (200, b""),
        "html": (200, b"<!DOCTYPE html><html><body>Please wait</body></html>"),
        "cp1251": (200, "<html><body>Запись готовится</body></html>".encode("cp1251")),
        "json": (200, '{"error": "запись не готова"}'.encode()),
        "zeros": (200, bytes(50_000)),
        "half": (200, whole[: len(whole) // 2]),
    }[kind]


@pytest.mark.parametrize(
    "kind", ["404", "403", "410", "204", "empty", "html", "cp1251", "json", "zeros", "half"]
)
def test_a_link_that_is_not_ready_is_asked_again(
    tools: Tools, serve: Callable[[Script], Listener], tmp_path: Path, kind: str
) -> None:
    """Whatever a host says in the first seconds, the recording that comes then is taken whole."""
    whole = recording(tmp_path, "pcm_s16le", "wav")
    status, body = early(kind, whole)

    def answer(connection: object, _: bytes) -> None:
        ready = len(server.requests) > 3
        connection.answer(whole if ready else body, status=200 if ready else status)  # type: ignore[attr-defined]

    server = serve(answer)
    done, why = fetched(tools, server)
    assert done.facts["fetch"]["size_bytes"] == len(whole)
    assert len(why) == 3
    assert all(why)


def test_an_mp4_without_its_index_is_asked_again(
    tools: Tools, serve: Callable[[Script], Listener], tmp_path: Path
) -> None:
    """An mp4 that is still being written is waited for."""
    whole = recording(tmp_path, "aac", "mp4")
    server = serve(lambda c, _: c.answer(whole if len(server.requests) > 2 else whole[:-200]))
    done, why = fetched(tools, server)
    assert done.facts["sniff"]["codec"] == "aac"
    assert why == ["the link gives an mp4 without its index"] * 2


@pytest.mark.parametrize(("kind", "slug"), [("404", "recording_gone"), ("html", "not_audio")])
def test_patience_ends(
    tools: Tools, serve: Callable[[Script], Listener], tmp_path: Path, kind: str, slug: str
) -> None:
    """What a link still says at the end of the patience is believed, and the portal hears it."""
    status, body = early(kind, b"")
    server = serve(lambda c, _: c.answer(body, status=status))
    done, why = fetched(tools, server)
    assert flow.failure(done).slug == slug  # type: ignore[union-attr]
    assert len(server.requests) == len(why) + 1
    events = tools.store.events(done.id)
    assert PATIENCE <= events[-1].at - events[0].at < PATIENCE + 3


def test_what_is_short_for_ever_is_taken_as_it_is(
    tools: Tools, serve: Callable[[Script], Listener], tmp_path: Path
) -> None:
    """A recording that was cut off is heard as far as it goes."""
    whole = recording(tmp_path, "pcm_s16le", "wav")
    server = serve(lambda c, _: c.answer(whole[: len(whole) // 2]))
    done, why = fetched(tools, server)
    assert done.facts["sniff"]["container"] == "wav"
    assert "less than the recording's header claims" in why[0]


@pytest.mark.parametrize("status", [405, 451])
def test_what_will_never_pass_fails_at_once(
    tools: Tools, serve: Callable[[Script], Listener], status: int
) -> None:
    """Nobody waits for a link that will say the same tomorrow."""
    server = serve(lambda c, _: c.answer(b"", status=status))
    done, why = fetched(tools, server)
    assert flow.failure(done).slug == "recording_gone"  # type: ignore[union-attr]
    assert not why
    assert len(server.requests) == 1


def link_claim(attempt: int) -> Claim:
    return Claim(
        job=JobId("job_1"), step=Step("fetch"), queue="background", portal=PortalId("p"), fence="f",
        attempt=attempt, lost=0, deadline=0.0,
    )  # fmt: skip


@pytest.mark.parametrize(("ttl", "patience"), [(14_400, 30), (840, 30), (30, 30), (10, 30), (60, 0)])
def test_no_pause_reaches_into_the_reserve(opened: Open, ttl: float, patience: float) -> None:
    """Half a minute in all, whatever the ttl, and the last question comes before the reserve."""
    tools = opened()
    job = tools.store.load(accept(tools, Request(file_url="https://a/b"), ttl=ttl))
    now, attempt = job.accepted_at, 1
    while pause := retry.link_pause(job, link_claim(attempt), now=now, patience_seconds=patience):
        now, attempt = now + pause, attempt + 1
    assert now - job.accepted_at == pytest.approx(min(patience, ttl - job.reserve - 1.0))

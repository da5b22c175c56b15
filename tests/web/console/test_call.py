"""/calls/{id}: one call to see, hear and correct, by who may."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import update

from pipeline.archive.archive import Archive
from pipeline.archive.calls import Call, Gap, Verdict
from pipeline.archive.schema import calls
from pipeline.domain.job import PortalId
from pipeline.domain.lead import Criterion
from pipeline.domain.recording import Span
from pipeline.domain.transcript import Segment
from pipeline.storage.blobs import Blobs, FsspecBlobs
from pipeline.store import Store
from pipeline.web.console.call import heard_at
from pipeline.web.console.drawing import POINTS, WIDTH, lanes
from pipeline.web.console.ranges import AT_ONCE
from tests.archive.test_archive import call
from tests.web.conftest import Client
from tests.web.console.conftest import API_KEY, READ_KEY, Browser
from tests.web.test_jobs import FACTS, put


def whole(**changes: object) -> Call:
    """A call of the installation's portal, with all that a page shows."""
    made = replace(
        call(1),
        portal=PortalId("portal"),
        missing=(Span(start=50.0, end=60.0),),
        empty_spans=(Span(start=20.0, end=25.0),),
        levels=(tuple(range(100)) * 10, (5,) * 1000),
        speakers=("manager", "client"),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def store_at(client: Client, url: str) -> None:
    """Lets the service keep audio there."""
    service = client.app.state.service
    service.tools = replace(service.tools, blobs=Blobs.open(url))


def kept(client: Client, archive: Archive, tmp_path: Path, content: bytes) -> str:
    """A call with a recording that is kept; its page's address."""
    there = whole(audio="job_kept/copy.mp3")
    (tmp_path / "copy").write_bytes(content)
    client.app.state.service.tools.blobs.put("job_kept/copy.mp3", tmp_path / "copy")
    archive.put(there)
    with archive.database.writing() as connection:  # as the step that makes the copy notes it
        connection.execute(update(calls).values(audio=there.audio))
    return f"/calls/{there.id}"


def test_the_page_shows_all_of_a_call(archive: Archive, reader: Browser) -> None:
    """Score, reason, criteria with yes or no, weight, quote and explanation; turns; lanes; talk shares."""
    archive.put(whole())
    page = reader.get(f"/calls/{whole().id}").text
    for part in ("Анна Петрова", ">75<", "Назван бюджет.", "бюджет сто тысяч", "Поставка окон", ">2</span>"):
        assert part in page
    assert page.count('<li class="met">') == 1
    assert page.count('<li class="unmet">') == 1
    assert re.findall('<path class="([a-z]+)"', page) == ["manager", "client"]
    assert 'rect class="missing"' in page
    assert 'rect class="empty"' in page
    assert "00:50–01:00" in page
    assert "40 %" in page
    for segment in whole().segments:
        assert f'data-start="{segment.start}" data-end="{segment.end}"' in page
    assert "The recording is not kept." in page
    assert "<audio" not in page


def test_a_score_without_criteria_says_why_there_are_none(
    archive: Archive, reader: Browser, operator: Browser
) -> None:
    """Who misses the quotes learns that no rubric was set, and an operator which setting that is."""
    archive.put(call(1, criteria=()))
    archive.put(call(2))
    assert "scored without a rubric" in reader.get(f"/calls/{call(1).id}").text
    assert "CALLSCRIBE_RUBRIC" in operator.get(f"/calls/{call(1).id}").text
    assert "without a rubric" not in operator.get(f"/calls/{call(2).id}").text


def test_outsiders_text_is_text_everywhere_on_it(archive: Archive, operator: Browser) -> None:
    """In names, reason, criteria, quotes, sentences, verdicts and errors."""
    poison = "<img src=x onerror=alert(1)>\u202e\u0007{{ 7*7 }}"
    archive.put(
        whole(
            manager=poison,
            client=poison,
            entity_title=poison,
            reason=poison,
            error=poison,
            state="failed",
            criteria=(Criterion(name=poison, met=True, weight=1, quote=poison, at=1.0, explanation=poison),),
            segments=(Segment(start=0, end=1, speaker="client", text=poison),),
            verdicts=(),
        )
    )
    archive.judge(whole().id, Verdict(at=1.0, who=poison, why=poison, score=5, band="low"))
    page = operator.get(f"/calls/{whole().id}").text
    assert page.count("&lt;img src=x onerror=alert(1)&gt;{{ 7*7 }}") >= 10
    assert "<img src=x" not in page
    assert "\u202e" not in page


@pytest.mark.parametrize("place", ["file", "memory"])  # ours, and a driver's as an object store's is
@pytest.mark.parametrize(
    ("asked", "status", "sent", "told"),
    [
        (None, 200, b"0123456789", None),
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-2", 206, b"89", "bytes 8-9/10"),
        ("bytes=0-99", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=-99", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=1-2, 4-5", 200, b"0123456789", None),
        ("bytes=10-", 416, None, "bytes */10"),
        ("bytes=20-", 416, None, "bytes */10"),
        ("bytes=-0", 416, None, "bytes */10"),
        ("bytes=", 400, None, None),
        ("bytes=-", 400, None, None),
        ("bytes=5-2", 400, None, None),
        ("seconds=1-2", 400, None, None),
    ],
)
def test_the_recording_is_heard_in_parts(
    client: Client,
    archive: Archive,
    tmp_path: Path,
    place: str,
    asked: str | None,
    status: int,
    sent: bytes | None,
    told: str | None,
) -> None:
    """As a player asks for it (RFC 9110, 14.2), for who has signed in."""
    store_at(client, f"{place}://localhost{tmp_path}")
    page = kept(client, archive, tmp_path, b"0123456789")
    assert client.get(f"{page}/audio").status_code == 401
    headers = {"X-Api-Key": READ_KEY} | ({"Range": asked} if asked else {})
    answer = client.get(f"{page}/audio", headers=headers)
    assert answer.status_code == status
    assert answer.headers.get("content-range") == told
    if sent is not None:
        assert answer.content == sent
        assert answer.headers["accept-ranges"] == "bytes"
        assert answer.headers["cache-control"] == "no-store"


def test_no_more_of_a_recording_is_read_than_is_sent(
    client: Client, archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A player looks here and there into a copy of an hour: an object store gives those parts alone."""
    store_at(client, f"memory://localhost{tmp_path}")
    content = bytes(range(256)) * 4096
    page, headers = kept(client, archive, tmp_path, content), {"X-Api-Key": READ_KEY}
    read, parts = FsspecBlobs.read, []

    def counted(self: FsspecBlobs, key: str, start: int, end: int) -> bytes:
        parts.append((start, end))
        return read(self, key, start, end)

    monkeypatch.setattr(FsspecBlobs, "read", counted)
    monkeypatch.setattr(FsspecBlobs, "get", None)
    asked = client.get(f"{page}/audio", headers=headers | {"Range": "bytes=700000-700009"})
    assert (asked.content, parts) == (content[700_000:700_010], [(700_000, 700_010)])
    parts.clear()
    told = client.send("HEAD", f"{page}/audio", headers=headers)
    assert (told.status_code, told.headers["content-length"], parts) == (200, str(len(content)), [])
    assert client.get(f"{page}/audio", headers=headers).content == content
    assert parts == [(at, at + AT_ONCE) for at in range(0, len(content), AT_ONCE)]
    changed = headers | {"Range": "bytes=0-1", "If-Range": '"another"'}
    assert client.get(f"{page}/audio", headers=changed).status_code == 200
    same = headers | {"Range": "bytes=0-1", "If-Range": told.headers["etag"]}
    assert client.get(f"{page}/audio", headers=same).content == content[:2]


def test_listening_is_audited_once_for_all_its_parts(
    client: Client, archive: Archive, tmp_path: Path, reader: Browser
) -> None:
    """By whom and to which call; looking at the page is no listening."""
    page = kept(client, archive, tmp_path, b"0123456789")
    assert "<audio" in reader.get(page).text
    assert archive.audited()[0] == []
    for asked in ("bytes=5-", "bytes=0-", "bytes=7-8"):
        assert reader.get(f"{page}/audio", Range=asked).status_code == 206
    Browser(client, API_KEY, name="Boris").get(f"{page}/audio")
    assert [(entry.who, entry.what, entry.call) for entry in archive.audited()[0]] == [
        ("Boris", "listened", whole().id),
        ("Olga", "listened", whole().id),
    ]


def test_a_recording_that_is_gone_is_a_404(
    client: Client, archive: Archive, reader: Browser, tmp_path: Path
) -> None:
    """Where none is kept, where it was removed meanwhile, and of no such call."""
    archive.put(whole())
    assert reader.get(f"/calls/{whole().id}/audio").status_code == 404
    page = kept(client, archive, tmp_path, b"0123456789")
    client.app.state.service.tools.blobs.delete_prefix("job_kept")
    assert reader.get(f"{page}/audio").status_code == 404
    assert reader.get("/calls/job_none/audio").status_code == 404


@pytest.mark.parametrize("kind", ["txt", "srt", "vtt", "json"])
def test_the_transcript_as_a_file(archive: Archive, reader: Browser, kind: str) -> None:
    """In each format, named after the call; another one is a 404."""
    archive.put(whole())
    answer = reader.get(f"/calls/{whole().id}/transcript.{kind}")
    assert answer.status_code == 200
    assert f'filename="{whole().id}.{kind}"' in answer.headers["content-disposition"]
    assert whole().segments[0].text.split()[0] in answer.text
    if kind == "json":
        assert len(json.loads(answer.text)["segments"]) == len(whole().segments)
    assert reader.get(f"/calls/{whole().id}/transcript.pdf").status_code == 404


def test_whether_the_deal_will_hear_of_a_correction_is_told_before_and_after(
    archive: Archive, reviewer: Browser, store: Store
) -> None:
    """A deal hears of it as long as the call's record lives; afterwards it stays in the console alone."""
    job = put(store, facts=FACTS)
    over = "The record of this call is over"
    for key, lives in ((job, True), (whole().id, False)):
        archive.put(whole(id=key))
        page = f"/calls/{key}"
        assert (over in reviewer.get(page).text) is not lives
        answer = reviewer.post(f"{page}/verdict", page, score="40", why="No budget was named.")
        assert ("alone" in answer.headers["set-cookie"]) is not lives


def test_a_reviewer_corrects_the_score(archive: Archive, reviewer: Browser) -> None:
    """With a reason; the page says from what to what and by whom, and keeps the machine's."""
    archive.put(whole())
    page = f"/calls/{whole().id}"
    answer = reviewer.post(f"{page}/verdict", page, score="40", why="No budget was named.")
    assert (answer.status_code, answer.headers["location"]) == (303, page)
    shown = reviewer.get(
        page, Cookie=reviewer.headers["Cookie"] + "; " + answer.headers["set-cookie"].partition(";")[0]
    )
    assert "It is written down here alone: the deal gets no entry." in shown.text
    assert re.search(r"Corrected from 75 to 40\s+by Olga", shown.text)
    assert "No budget was named." in shown.text
    found = archive.call(whole().id)
    assert found is not None
    assert (found.score, found.band, found.machine_score) == (40, "medium", 75)
    assert [(entry.what, entry.detail) for entry in archive.audited()[0]] == [("corrected", "score 40")]


def test_a_reviewer_corrects_a_criterion(archive: Archive, reviewer: Browser) -> None:
    """The other answer, and why; the page shows it from then on."""
    archive.put(whole())
    page = f"/calls/{whole().id}"
    answer = reviewer.post(f"{page}/verdict", page, criterion="time", met="yes", why="He says <b>May</b>.")
    assert answer.status_code == 303
    shown = reviewer.get(page).text
    assert shown.count('<li class="met">') == 2
    assert "He says &lt;b&gt;May&lt;/b&gt;." in shown


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"score": "40"}, "why"),
        ({"score": "101", "why": "x"}, "score"),
        ({"score": "0000000001234", "why": "x"}, "score"),
        ({"score": "-1", "why": "x"}, "score"),
        ({"score": "", "why": "x"}, "score"),
        ({"score": "4²", "why": "x"}, "score"),
        ({"criterion": "time", "met": "maybe", "why": "x"}, "met"),
    ],
)
def test_a_correction_that_says_nothing_is_refused(
    archive: Archive, reviewer: Browser, fields: dict[str, str], wrong: str
) -> None:
    """400, the field named, and nothing is written down."""
    archive.put(whole())
    page = f"/calls/{whole().id}"
    answer = reviewer.post(f"{page}/verdict", page, **fields)
    assert answer.status_code == 400
    assert f"{wrong}: expected" in answer.text
    found = archive.call(whole().id)
    assert found is not None
    assert found.verdicts == ()


FORMS = [
    "/calls/{id}/verdict",
    "/calls/{id}/score",
    "/calls/{id}/link",
    "/jobs/{id}/retry",
    "/jobs/{id}/erase",
]


@pytest.mark.parametrize("form", FORMS)
def test_no_form_is_taken_of_who_may_not(
    archive: Archive, client: Client, reader: Browser, form: str
) -> None:
    """Not of a reader, of nobody, nor without the session's own token."""
    archive.put(whole())
    path, page = form.replace("{id}", whole().id), f"/calls/{whole().id}"
    fields = {"score": "1", "why": "x", "type": "deal", "number": "1"}
    assert reader.post(path, page, **fields).status_code == 403
    assert client.post(path, data=fields).status_code == 401
    operator, other = Browser(client, API_KEY), Browser(client, API_KEY)
    for token in ("", "0" * 64, "é", re.findall('name="token" value="([0-9a-f]+)"', other.get(page).text)[0]):
        answer = client.post(path, data={**fields, "token": token}, headers=operator.headers)
        assert answer.status_code == 403, token
    assert archive.call(whole().id) == replace(whole(), audio=None)


def test_a_reader_sees_no_forms(
    archive: Archive, store: Store, reader: Browser, reviewer: Browser, operator: Browser
) -> None:
    """Each role is shown what it may do, and nothing that takes a record which is over."""
    job = put(store, facts=FACTS)
    archive.put(whole(id=job))
    page = f"/calls/{job}"
    assert "<form" not in reader.get(page).text.replace('action="/sign-out"', "").partition("<main")[2]
    assert reviewer.get(page).text.count("/verdict") == 3
    assert "/erase" not in reviewer.get(page).text

    def seen() -> list[str]:
        text = operator.get(page).text
        return [form for form in FORMS if form.replace("{id}", job) in text]

    assert seen() == ["/calls/{id}/verdict", "/calls/{id}/score", "/jobs/{id}/erase"]
    archive.put(whole(id=job, entity=None, gaps=(Gap(kind="unlinked", why="two equal calls"),)))
    assert seen() == FORMS
    store.erase(job)
    assert seen() == ["/calls/{id}/verdict", "/jobs/{id}/erase"]


def test_an_operator_erases_a_call(
    client: Client, archive: Archive, store: Store, operator: Browser, tmp_path: Path
) -> None:
    """Its record, its line of the archive and its recording are gone; who did it stays."""
    job = put(store, 1, facts=FACTS)
    blobs = client.app.state.service.tools.blobs
    (tmp_path / "copy").write_bytes(b"x")
    blobs.put(f"{job}/copy.mp3", tmp_path / "copy")
    archive.put(whole(id=job, audio=f"{job}/copy.mp3"))
    answer = operator.post(f"/jobs/{job}/erase", f"/calls/{job}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/calls")
    assert archive.call(job) is None
    assert not blobs.exists(f"{job}/copy.mp3")
    assert operator.get(f"/calls/{job}").status_code == 404
    assert operator.get(f"/jobs/{job}").status_code == 404
    assert [(entry.who, entry.what, entry.call) for entry in archive.audited()[0]] == [
        ("Olga", "erased", job)
    ]


def test_a_call_under_way_says_how_far_it_is(store: Store, reader: Browser) -> None:
    """Until the archive has it; the page then becomes the call's."""
    facts = {name: FACTS[name] for name in ("fetch", "sniff", "split", "transcribe:0")}
    job = put(store, 1, facts=facts)
    page = reader.get(f"/calls/{job}").text
    assert "1 of 2 parts recognised" in page
    assert "waiting for the recogniser" in page
    assert 'data-page="under_way.html"' in page


def test_an_unknown_call_is_a_404(reader: Browser) -> None:
    """Whatever its id looks like."""
    for key in ("job_none", "x", "job_" + "a" * 100, "job_%00"):
        assert reader.get(f"/calls/{key}").status_code == 404


def test_lanes_put_each_thing_where_it_was() -> None:
    """Turns on their own speaker's lane, spans over both, everything within the picture."""
    picture = lanes(whole())
    assert picture is not None
    first, second = (segment.speaker for segment in whole().segments[:2])
    assert [turn.kind for turn in picture.turns[:2]] == [first, second]
    assert len({turn.y for turn in picture.turns}) == 2
    assert {box.kind for box in picture.amiss} == {"missing", "empty"}
    for box in (*picture.turns, *picture.amiss):
        assert 0 <= box.x <= WIDTH
        assert box.x + box.width <= WIDTH + 1
    assert all(path.count("L") == 2 * POINTS - 1 for _, path in picture.waves)


@pytest.mark.parametrize(
    "odd",
    [
        {"levels": (), "talk": (), "speakers": ()},
        {"speakers": ("client", "manager")},
        {"levels": ((1,),)},
        {"levels": ((), ())},
        {"segments": (), "missing": ()},
        {"segments": (Segment(start=900.0, end=1000.0, speaker=None, text="late"),)},
        {"segments": (Segment(start=0.0, end=1.0, speaker="speaker_6", text="six"),)},
        {"seconds": None},
    ],
)
def test_an_odd_call_is_drawn_all_the_same(archive: Archive, reader: Browser, odd: dict[str, object]) -> None:
    """Without levels, with one channel, with speakers that nobody knows, or longer than it should be."""
    archive.put(whole(**odd))
    assert reader.get(f"/calls/{whole().id}").status_code == 200


def test_a_quote_plays_the_sentence_that_it_stands_in() -> None:
    """From a moment before it to a moment after the sentence; to the next one where its own is unknown."""
    said = whole(
        segments=(
            Segment(start=10.0, end=12.0, speaker="client", text="one"),
            Segment(start=14.0, end=20.0, speaker="client", text="two"),
        )
    )

    def place(at: float | None) -> tuple[float, float] | None:
        return heard_at(Criterion(name="x", met=True, weight=1, at=at), said)

    assert place(10.0) == (9.7, 12.5)
    assert place(15.0) == (14.7, 20.5)
    assert place(12.5) == (12.2, 14.5)
    assert place(0.1) == (0.0, 8.6)
    assert place(None) is None


def test_a_call_and_its_sentences_are_there_as_data(
    archive: Archive, reader: Browser, operator: Browser
) -> None:
    """All of it as JSON, with the phone as the reader may see it; what was said as CSV."""
    archive.put(whole())
    told = reader.get(f"/calls/{whole().id}.json").json()
    assert (told["id"], told["score"], len(told["criteria"])) == (whole().id, 75, 2)
    assert [line["text"] for line in told["segments"]] == [segment.text for segment in whole().segments]
    assert "345-67" not in told["phone"]
    assert operator.get(f"/calls/{whole().id}.json").json()["phone"] == whole().phone
    assert reader.get(f"/calls/{whole().id}.csv").text.splitlines()[0] == "start,end,speaker,text"
    assert reader.get("/calls/job_none.json").status_code == 404

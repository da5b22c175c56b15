"""The flow is pure: whatever order steps end in, each job comes to exactly one outcome."""

from __future__ import annotations

import inspect
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.archive.calls import Verdict
from pipeline.domain.job import (
    Attempts,
    Category,
    Entity,
    Failure,
    Job,
    JobId,
    PortalId,
    Request,
    Source,
    Step,
    Timeline,
)
from pipeline.domain.kinds import (
    A_PERSON_WAITS,
    BACKGROUND,
    KINDS,
    LAST,
    OUTCOME,
    QUICK,
    UPSTREAM,
    WORK,
    kind_of,
)
from pipeline.domain.lead import Lead
from pipeline.domain.plain import to_plain
from pipeline.domain.recording import Chunk, Plan, Span
from pipeline.domain.transcript import Recognition, Segment, Transcript
from pipeline.run.runner import EXECUTORS
from pipeline.steps import flow, scores

NOW = 1_000.0


def a_job(category: Category = Category.AUDIO, **facts: Any) -> Job:
    """A job accepted at NOW with these facts."""
    return Job(
        id=JobId("job_a"),
        portal=PortalId("acme"),
        category=category,
        source=Source.ENGINE,
        accepted_at=NOW,
        deadline=NOW + 14_400,
        request=Request(file_url="https://acme.example/f", language="en"),
        facts={step: to_plain(fact) for step, fact in facts.items()},
    )


def a_chunk(number: str, start: float, end: float) -> Chunk:
    """A chunk that sounds throughout."""
    return Chunk(
        id=number, channel=None, span=Span(start=start, end=end), blob="b", filename="f.flac",
        content_type="audio/flac", size_bytes=1, sounding_seconds=end - start,
    )  # fmt: skip


def a_plan(chunks: int) -> Plan:
    """A recording cut into minutes."""
    return Plan(
        seconds=60.0 * chunks,
        channels=1,
        chunks=tuple(a_chunk(str(i), 60.0 * i, 60.0 * (i + 1)) for i in range(chunks)),
    )


GOOD = Recognition(text="we would like to order two hundred seats this month", language="english")
TRANSCRIPT = Transcript(
    text="hello", language="en", segments=(Segment(start=0, end=1, speaker=None, text="hello"),)
)
LEAD = Lead(quality="high", score=90, reason="wants it")
FAILURE = Failure(slug="not_audio", code=415, message="no", step=Step("split"))


def result_of(step: str, chunks: int, draw: Any) -> dict[str, Any]:
    """What a step might find out, drawn at random where it may differ."""
    kind = kind_of(step)
    if kind in ("split", "transcribe", "reply", "draw") and draw(st.integers(0, 19)) == 0:
        return {"failure": FAILURE}
    if kind == "transcribe":
        return {step: draw(st.sampled_from([GOOD, GOOD, Recognition(text="")]))}
    found = {
        "fetch": {}, "split": a_plan(chunks), "merge": {"transcript": TRANSCRIPT, "at": NOW + 5},
        "halve": [], "classify": draw(st.sampled_from([{"lead": LEAD}, {"lead": None, "why": "no"}])),
        "callback": {"accepted": draw(st.booleans()), "asked": True}, "reply": {"text": "yes"},
        "draw": {"urls": ["https://e.example/1.png"]}, "timeline": Timeline(state="written"),
        "link": draw(st.sampled_from([
            Timeline(state="off"), Timeline(state="waiting", entity=Entity(type="deal", id=7)),
        ])),
        "expire": {}, "keep": {}, "about": {}, "archive": {}, "correct": {},
    }  # fmt: skip
    if kind == "expire":
        return {"expire": {}, "failure": FAILURE}
    return {step: found[kind]}


@given(data=st.data(), chunks=st.integers(1, 6), category=st.sampled_from(list(Category)))
def test_every_order_of_steps_ends_closed_with_one_callback(
    data: st.DataObject, chunks: int, category: Category
) -> None:
    """Run the due steps in any order: the job closes, with exactly one callback and never a step twice."""
    job, ran = a_job(category), []
    for _ in range(200):
        following = flow.advance(job, NOW)
        if following.closed:
            break
        due = data.draw(st.sampled_from(following.dues))
        ran.append(due.step)
        facts = {step: to_plain(fact) for step, fact in result_of(due.step, chunks, data.draw).items()}
        if flow.has_outcome(job):
            facts.pop("failure", None)
        job = replace(
            job, facts={**job.facts, **facts}, attempts={**job.attempts, due.step: Attempts(begun=1)}
        )
    assert flow.advance(job, NOW).closed
    assert ran.count("callback") == 1
    assert "failure" in job.facts or len(set(ran)) == len(ran)
    assert flow.advance(job, NOW).status in ("done", "failed")


def test_the_callback_waits_a_minute_for_the_score_at_the_most() -> None:
    """With the transcript there and no score, the callback is due a minute after the merge."""
    job = a_job(split=a_plan(1), merge={"transcript": TRANSCRIPT, "at": NOW + 5})
    dues = {due.step: due for due in flow.advance(job, NOW + 5).dues}
    assert set(dues) == {"classify", "callback"}
    assert dues[Step("callback")].at == NOW + 65
    assert dues[Step("classify")].at == 0


def test_the_callback_never_waits_beyond_the_reserve() -> None:
    """Near the deadline the transcript goes out without the score."""
    job = replace(a_job(merge={"transcript": TRANSCRIPT, "at": NOW + 70}), deadline=NOW + 100)
    dues = {due.step: due for due in flow.advance(job, NOW + 70).dues}
    assert dues[Step("callback")].at == NOW + 90


def test_a_score_expedites_a_callback_that_was_never_sent() -> None:
    """As soon as the score is there the callback is due, unless it waits for a next attempt already."""
    job = a_job(merge={"transcript": TRANSCRIPT, "at": NOW}, classify={"lead": LEAD})
    (due,) = flow.advance(job, NOW).dues
    assert (due.step, due.at, due.expedite) == ("callback", 0.0, True)
    (again,) = flow.advance(replace(job, attempts={"callback": Attempts(begun=2)}), NOW).dues
    assert again.expedite is False


def test_an_unknown_language_is_found_by_one_chunk_before_the_others_are_sent() -> None:
    """Without a language the longest chunk goes first; its language is then every chunk's."""
    plan = replace(a_plan(2), chunks=(*a_plan(2).chunks, a_chunk("2", 120, 200)))
    job = replace(a_job(fetch={}, split=plan), request=Request())
    assert [due.step for due in flow.advance(job, NOW).dues] == ["expire", "transcribe:2"]
    enough = replace(GOOD, text=" ".join(f"word{number}" for number in range(60)))  # for 80 s of speech
    heard = replace(job, facts={**job.facts, "transcribe:2": to_plain(enough)})
    assert {due.step for due in flow.advance(heard, NOW).dues} == {"expire", "transcribe:0", "transcribe:1"}
    assert flow.language(heard) == "en"


def test_long_pieces_tell_their_language_each() -> None:
    """Without a language pieces of minutes are sent at once: to wait for one of them takes as long again."""
    plan = Plan(
        seconds=900.0, channels=1, chunks=tuple(a_chunk(str(n), 450 * n, 450 * n + 450) for n in (0, 1))
    )
    job = replace(a_job(fetch={}, split=plan), request=Request())
    assert {due.step for due in flow.advance(job, NOW).dues} == {"expire", "transcribe:0", "transcribe:1"}
    heard = replace(job, facts={**job.facts, "transcribe:0": to_plain(GOOD)})
    assert flow.language(heard) is None  # the other one is asked as if it had been first


def test_pieces_are_heard_while_the_others_are_cut() -> None:
    """Each piece that is cut is sent; nothing is merged before all are, and the cutting goes on."""
    job = a_job(fetch={}, plan=a_plan(3), **{"cut:1": 1})
    assert {due.step for due in flow.advance(job, NOW).dues} == {"expire", "split", "transcribe:1"}
    job = replace(job, facts={**job.facts, "cut:0": 1, "transcribe:1": to_plain(replace(GOOD, again=False))})
    assert {due.step for due in flow.advance(job, NOW).dues} == {"expire", "split", "transcribe:0"}
    job = replace(job, facts={**job.facts, "transcribe:0": to_plain(replace(GOOD, again=False))})
    assert [due.step for due in flow.advance(job, NOW).dues] == ["expire", "split"]
    assert flow.progress(job) == (2, 3)


def test_a_language_is_found_as_soon_as_its_piece_is_cut() -> None:
    """The others wait for that one piece, whether it is cut before or after them."""
    plan = replace(a_plan(2), chunks=(*a_plan(2).chunks, a_chunk("2", 120, 200)))
    job = replace(a_job(fetch={}, plan=plan, **{"cut:0": 1}), request=Request())
    assert {due.step for due in flow.advance(job, NOW).dues} == {"expire", "split"}
    job = replace(job, facts={**job.facts, "cut:2": 1})
    assert {due.step for due in flow.advance(job, NOW).dues} == {"expire", "split", "transcribe:2"}


@pytest.mark.parametrize(
    ("fetched", "urgency"),
    [
        ({"likely_seconds": 1800.0, "size_bytes": 200 << 20}, QUICK),
        ({"likely_seconds": 1801.0, "size_bytes": 1 << 20}, WORK),
        ({"size_bytes": 13 << 20}, QUICK), ({"size_bytes": 14 << 20}, WORK),  # of a version before
    ],
)  # fmt: skip
def test_a_long_recording_is_cut_where_no_short_one_waits(fetched: dict[str, Any], urgency: int) -> None:
    """From half an hour on, as far as is known before, decoding is no urgent work, of which one process is
    kept free."""
    dues = {due.step: due.urgency for due in flow.advance(a_job(fetch=fetched), NOW).dues}
    assert dues[Step("split")] == urgency


def test_a_length_that_is_known_counts_more_than_what_was_likely() -> None:
    """Once a recording was decoded, its own length says whether doing it again takes long."""
    empty = replace(a_plan(1), seconds=60.0)
    job = a_job(fetch={"likely_seconds": 9000.0}, split=empty, **{"transcribe:0": Recognition(text="")})
    assert {due.step: due.urgency for due in flow.advance(job, NOW).dues}[Step("halve:0")] == QUICK


@pytest.mark.parametrize("facts", [{}, {"sniff": {"codec": "mp3"}}])
def test_what_is_done_within_another_step_is_never_due_itself(facts: dict[str, Any]) -> None:
    """A recording that was fetched is split, whether a version before had read what it is or not."""
    assert [due.step for due in flow.advance(a_job(fetch={}, **facts), NOW).dues] == ["expire", "split"]


def test_a_long_call_lets_others_pass() -> None:
    """Of a call's many pieces only the next few are as urgent as other work of the portal."""
    job = a_job(fetch={}, split=a_plan(20))
    dues = [due for due in flow.advance(job, NOW).dues if due.step != "expire"]
    assert [due.urgency for due in dues] == [WORK] * flow.AT_ONCE + [LAST] * (20 - flow.AT_ONCE)
    heard = replace(job, facts={**job.facts, "transcribe:0": to_plain(replace(GOOD, text=GOOD.text * 2))})
    urgency = {due.step: due.urgency for due in flow.advance(heard, NOW).dues}
    assert urgency[f"transcribe:{flow.AT_ONCE}"] == WORK


def test_empty_text_on_sounding_audio_is_asked_again_in_halves_and_then_accepted() -> None:
    """An empty answer leads to halves, and their answers stand in for it, empty or not."""
    empty = Recognition(text="")
    job = a_job(fetch={}, split=a_plan(1), **{"transcribe:0": empty})
    assert [due.step for due in flow.advance(job, NOW).dues] == ["expire", "halve:0"]
    halves = [a_chunk("0a", 0, 30), a_chunk("0b", 30, 60)]
    job = replace(job, facts={**job.facts, "halve:0": [to_plain(half) for half in halves]})
    assert {due.step for due in flow.advance(job, NOW).dues} == {"expire", "transcribe:0a", "transcribe:0b"}
    answers = {"transcribe:0a": to_plain(empty), "transcribe:0b": to_plain(GOOD)}
    job = replace(job, facts={**job.facts, **answers})
    assert [due.step for due in flow.advance(job, NOW).dues] == ["expire", "merge"]
    assert set(flow.parts(job)) == {"0a", "0b"}
    assert flow.progress(job) == (2, 2)


def test_a_failed_score_costs_neither_the_transcript_nor_the_status() -> None:
    """Without a score the job is done all the same once its callback was taken."""
    job = a_job(
        merge={"transcript": TRANSCRIPT, "at": NOW},
        classify={"lead": None, "why": "no answer"},
        callback={"accepted": True, "asked": True},
    )
    following = flow.advance(job, NOW)
    assert following.status == "done"
    assert [kind_of(due.step) for due in following.dues] == ["link", "archive"]


def test_the_reserve_is_a_tenth_of_the_ttl_between_5_and_120_seconds() -> None:
    """10 %, at least 5 s, at most 120 s."""
    job = a_job()
    assert [replace(job, deadline=NOW + ttl).reserve for ttl in (10, 300, 14_400)] == [5.0, 30.0, 120.0]


def test_every_kind_that_the_flow_names_is_in_the_table_and_has_a_function() -> None:
    """The flow's steps and the runner's are the kinds of the table, but for those done within another one."""
    named = set(re.findall(r'_due\(job, f?"([a-z]+)', inspect.getsource(flow)))
    assert named == {name for name, kind in KINDS.items() if not kind.within} == set(EXECUTORS)
    assert {kind.within for kind in KINDS.values()} - {""} <= named
    assert all(callable(function) for function in EXECUTORS.values())


def test_what_nobody_waits_for_is_done_in_the_background() -> None:
    """A score before the callback is upstream; after it, as deal and entry, it is in the background."""
    job = a_job(merge={"transcript": TRANSCRIPT, "at": NOW})
    (classify, _) = flow.advance(job, NOW).dues
    assert (classify.step, classify.queue) == ("classify", UPSTREAM)
    late = replace(job, facts={**job.facts, "callback": {"accepted": True, "asked": True}})
    dues = [(kind_of(due.step), due.queue) for due in flow.advance(late, NOW).dues]
    assert dues == [("classify", BACKGROUND), ("archive", BACKGROUND)]
    scored = replace(late, facts={**late.facts, "classify": {"lead": to_plain(LEAD)}})
    dues = [(kind_of(due.step), due.queue) for due in flow.advance(scored, NOW).dues]
    assert dues == [("link", BACKGROUND), ("archive", BACKGROUND)]


def test_steps_of_text_and_image_are_the_most_urgent() -> None:
    """A person waits for them: they pass outcomes, and outcomes pass the rest."""
    text, audio = (flow.advance(a_job(category), NOW).dues for category in (Category.TEXT, Category.AUDIO))
    assert {due.urgency for due in text} == {A_PERSON_WAITS}
    assert {due.step: due.urgency for due in audio} == {"expire": OUTCOME, "fetch": WORK}


def test_an_answer_is_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a step wrote of its answer counts from then on; only one of an older record is judged."""
    judged: list[str] = []

    def judge(recognition: Recognition, chunk: Chunk) -> str:
        judged.append(chunk.id)
        return "again"

    monkeypatch.setattr(flow, "judge", judge)
    answers = {
        f"transcribe:{number}": to_plain(Recognition(text="x " * 9_000, again=again))
        for number, again in enumerate((False, True, None))
    }
    assert "again" not in answers["transcribe:2"]
    job = a_job(fetch={}, split=to_plain(a_plan(3)), **answers)
    dues = {due.step for due in flow.advance(job, 0.0).dues}
    assert dues == {"expire", "halve:1", "halve:2"}
    assert judged == ["2"]


def test_of_a_plan_the_talk_of_a_stretch_is_read() -> None:
    """Per channel what overlaps or touches it; nothing where the plan does not tell, or there is none."""
    left, right = [Span(start=at, end=at + 1.0) for at in (0.0, 2.0, 4.0)], [Span(start=6.0, end=7.0)]
    plan = replace(a_plan(1), channels=2, talk=(tuple(left), tuple(right)))
    job = a_job(fetch={}, split=to_plain(plan))
    assert flow.talk(job, Span(start=1.0, end=3.5)) == (left[:2], [])
    assert flow.talk(a_job(fetch={}, split=to_plain(a_plan(1))), Span(start=0.0, end=9.0)) == ()
    assert flow.talk(a_job(), Span(start=0.0, end=9.0)) == ()


ENDED = {
    "fetch": {}, "merge": {"transcript": TRANSCRIPT, "at": NOW}, "classify": {"lead": LEAD},
    "callback": {"accepted": True, "asked": True},
}  # fmt: skip


def due_of(job: Job) -> list[str]:
    return [due.step for due in flow.advance(job, NOW).dues]


def test_a_call_is_archived_with_its_outcome_and_again_when_more_is_known() -> None:
    """Each state of what is archived has a step of its own, and none is due twice."""
    job = a_job(**ENDED)
    (first,) = (step for step in due_of(job) if kind_of(step) == "archive")
    archived = replace(job, facts={**job.facts, first: {}})
    assert "archive" not in map(kind_of, due_of(archived))
    later = {
        "link": Timeline(state="unlinked", why="no deal"),
        "keep": {"audio": "kept/a.mp3"},
        "verdict:1": Verdict(at=NOW, who="Olga", why="no", score=10, band="low"),
    }
    names = {first}
    for step, fact in later.items():
        job = replace(job, facts={**job.facts, step: to_plain(fact)})
        names |= {step for step in due_of(job) if kind_of(step) == "archive"}
    assert len(names) == 4


def test_what_follows_an_outcome_is_archived_together() -> None:
    """The deal, the entry and the copy take moments: the row is written once, behind them."""
    job = a_job(**ENDED)
    for at in (NOW, NOW + 5):
        (due,) = (due for due in flow.advance(job, at).dues if kind_of(due.step) == "archive")
        assert due.at == at + flow.ARCHIVE_SECONDS


def test_a_call_is_not_archived_while_its_deal_is_only_found() -> None:
    """What will be written in a moment is no news for the archive."""
    job = a_job(**ENDED)
    found = replace(
        job,
        facts={**job.facts, "link": to_plain(Timeline(state="waiting", entity=Entity(type="deal", id=7)))},
    )
    assert flow.archived(found) == flow.archived(job)


def test_people_hold_against_the_model() -> None:
    """The last score that a person gave is what the call is worth; the model's stays beside it."""
    said = [
        Verdict(at=NOW, who="Olga", why="no", score=10, band="low"),
        Verdict(at=NOW + 1, who="Olga", why="they named none", criterion="budget", met=False),
    ]
    job = a_job(**ENDED, **{f"verdict:{number}": each for number, each in enumerate(said, 1)})
    holds, lead = scores.corrected(job), scores.lead(job)
    assert holds is not None
    assert (holds.score, holds.quality, holds.reason) == (10, "low", LEAD.reason)
    assert lead == LEAD
    assert scores.verdicts(job) == tuple(said)


def test_what_people_correct_in_one_go_is_one_entry() -> None:
    """A correction is due half a minute after the last one, once there is an entry that it corrects."""
    said = Verdict(at=NOW, who="Olga", why="no", score=10, band="low")
    job = a_job(**ENDED, **{"verdict:1": said, "verdict:2": replace(said, at=NOW + 5)})
    assert "correct" not in map(kind_of, due_of(job))
    written = replace(job, facts={**job.facts, "timeline": to_plain(Timeline(state="written"))})
    (due,) = (due for due in flow.advance(written, NOW).dues if kind_of(due.step) == "correct")
    assert (due.step, due.at) == ("correct:2", NOW + 35)

"""The flow: from the facts in a record, which steps are due. Pure: no I/O, no clock of its own.

What the steps are, and their order drawn, stands in the table of kinds. The callback waits for the score a
minute at the most, and never beyond the reserve before the deadline; what nobody waits for any more, a late
score among it, is done in the background. A recording that comes by an event is looked up first (resolve).
`expire` is a step like any other, due when the reserve begins.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.audio.judge import judge
from pipeline.audio.limits import COMPRESSED_BYTES_PER_SECOND
from pipeline.domain.job import About, Category, Due, Failure, Job, JobId, Source, Step, Timeline
from pipeline.domain.kinds import A_PERSON_WAITS, BACKGROUND, KINDS, LAST, MEDIA, QUICK, WORK, kind_of
from pipeline.domain.languages import iso639
from pipeline.domain.plain import from_plain, to_plain
from pipeline.domain.recording import Chunk, Plan, RecognitionOptions, Span
from pipeline.domain.transcript import Recognition, Transcript
from pipeline.steps.scores import corrected, verdicts

CLASSIFY_SECONDS = 60.0
AT_ONCE = 8  # pieces of a call that wait for places; those behind them let other calls of the portal pass
LONG_SECONDS = 1800.0  # decoding it takes seconds, and more
PROBED_SECONDS = 120.0  # a piece that sounds for longer tells its language by itself
CUTTING = ("plan", "cut")  # kinds of facts that there are while a recording is cut: the plan, pieces that are
UNDELIVERED = "undelivered"  # the reason of a job whose outcome nobody took
CORRECT_SECONDS = 30.0  # what a person corrects within it is one entry
ARCHIVE_SECONDS = 1.0  # what becomes known of a call within it is archived together
# what people come back to, and all that follows an outcome: to be done anew where that is
KEPT = ("keep", "about", "archive")
AFTERWARDS = ("link", "timeline", *KEPT)


@dataclass(frozen=True, kw_only=True)
class Next:
    """What is due, how the job stands, and whether nothing is left to do."""

    dues: tuple[Due, ...]
    status: str
    closed: bool


def failure(job: Job) -> Failure | None:
    """Why the job has no result, if so."""
    return from_plain(Failure, job.facts["failure"]) if "failure" in job.facts else None


def error(job: Job) -> Failure | None:
    """Why a job has failed: the failure that its portal heard of, or that nobody took its outcome."""
    sent = job.facts.get("callback")
    if (found := failure(job)) or sent is None or sent["accepted"]:
        return found
    why = sent.get("why") or "each attempt is among the deliveries"
    return Failure(
        slug=UNDELIVERED,
        code=504,
        message=f"The portal did not take the outcome before its deadline: {why}",
        step=Step("callback"),
        hint="The deliveries say what each attempt met; `callscribe jobs retry ID` sends it again.",
    )


def lacks(job: Job) -> tuple[str, ...]:
    """What of a job that is done could not be had: "score", "deal", "entry"; it may be done again."""
    if not job.category.spoken or "callback" not in job.facts or failure(job):
        return ()
    if "classify" in job.facts and corrected(job) is None:
        return ("score",)
    stands = timeline(job)
    if stands.state not in ("unlinked", "failed"):
        return ()
    return ("entry",) if "timeline" in job.facts else ("deal",)


def plan(job: Job) -> Plan | None:
    """How the recording was cut, or is being cut."""
    found = _planned(job)
    return None if found is None else from_plain(Plan, found)


def talk(job: Job, span: Span) -> tuple[list[Span], ...]:
    """Where in a stretch of the recording somebody talks, per channel; nothing where the plan does not tell.

    Of the plan only that is read: it is asked for after each piece, and a long call's is large.
    """
    return tuple(
        [from_plain(Span, each) for each in spans if each["end"] >= span.start and each["start"] <= span.end]
        for spans in (_planned(job) or {}).get("talk", ())
    )


def _planned(job: Job) -> Mapping[str, Any] | None:
    return job.facts["split"] if "split" in job.facts else job.facts.get("plan")


def _is_cut(job: Job, chunk: Mapping[str, Any]) -> bool:
    return "split" in job.facts or f"cut:{chunk['id']}" in job.facts


def transcript(job: Job) -> Transcript | None:
    """Who said what."""
    fact = job.facts.get("merge")
    return from_plain(Transcript, fact["transcript"]) if fact else None


def call(job: Job) -> JobId | None:
    """The call that a text job is about, where its text came of one of ours."""
    found = (job.facts.get("reply") or {}).get("call")
    return JobId(found) if found else None


def timeline(job: Job) -> Timeline:
    """Whether the score stands in the CRM."""
    for step in ("timeline", "link"):
        if fact := job.facts.get(step):
            return from_plain(Timeline, fact)
    if failure(job) or not job.category.spoken:
        return Timeline(state="off")
    return Timeline(state="waiting")


def about(job: Job) -> About | None:
    """Who spoke, as far as the CRM was asked: None where it was not, yet."""
    for step in ("about", "link", "resolve"):
        fact = job.facts.get(step) or {}
        if step == "about" and step in job.facts:
            return from_plain(About, fact)
        if fact.get("about"):
            return from_plain(About, fact["about"])
    return None


def parts(job: Job) -> dict[str, Recognition]:
    """The recogniser's answers so far, by chunk id; halves stand in for the chunk that they came from."""
    return {chunk["id"]: from_plain(Recognition, answer) for chunk, answer in _told(job) if answer}


def pieces(job: Job) -> tuple[Chunk, ...]:
    """The chunks as they were asked for: halves stand in for the chunk that they came from."""
    return tuple(from_plain(Chunk, chunk) for chunk, _ in _told(job))


def of_pieces(job: Job) -> tuple[str, ...]:
    """The facts that are about single pieces of the recording."""
    return tuple(step for step in job.facts if kind_of(step) in ("cut", "transcribe", "halve"))


def progress(job: Job) -> tuple[int, int]:
    """Parts recognised, parts in all."""
    answers = [bool(answer) for _, answer in _told(job)]
    return sum(answers), len(answers)


def recognition_options(job: Job) -> RecognitionOptions | None:
    """How the recording is heard, once that is settled."""
    return from_plain(RecognitionOptions, job.facts["manner"]) if "manner" in job.facts else None


def language(job: Job) -> str | None:
    """One language per job: asked for, else as the first answered chunk was heard."""
    if asked := _asked_language(job):
        return asked
    planned = _planned(job)
    probe = _probe(planned["chunks"]) if planned else None
    fact = job.facts.get(f"transcribe:{probe['id']}") if probe else None
    heard = fact.get("language") if fact else None
    return iso639(heard) if heard else None  # Whisper says "english"


def _asked_language(job: Job) -> str | None:
    settled = recognition_options(job)
    return settled.language if settled else job.request.language


def chunk_of(job: Job, chunk_id: str) -> Chunk:
    """The chunk, or half of one, by its id."""
    return next(from_plain(Chunk, chunk) for chunk, _ in _told(job) if chunk["id"] == chunk_id)


def advance(job: Job, now: float) -> Next:
    """The steps that are due by the facts; a step with a fact, or under a lease, is not started again."""
    dues = tuple(due for due in _dues(job, now) if due.step not in job.facts)
    sent = job.facts.get("callback")
    if sent is not None:
        status = "done" if sent["accepted"] and "failure" not in job.facts else "failed"
    else:
        status = "running" if job.facts or job.attempts else "accepted"
    return Next(dues=dues, status=status, closed=sent is not None and not dues)


def is_due(job: Job, step: str, now: float) -> bool:
    """Whether the step is still to be done by the facts."""
    return any(due.step == step for due in advance(job, now).dues)


def has_outcome(job: Job) -> bool:
    """Whether it is decided what the portal will hear."""
    return any(step in job.facts for step in ("failure", "merge", "reply", "draw"))


def _dues(job: Job, now: float) -> Iterator[Due]:
    if not has_outcome(job):
        yield _due(job, "expire", at=job.deadline - job.reserve)
        yield from _work(job)
        return
    spoken, sent = job.category.spoken and "failure" not in job.facts, "callback" in job.facts
    if spoken and "classify" not in job.facts:
        yield _due(job, "classify", background=sent)
        at = min(job.facts["merge"]["at"] + CLASSIFY_SECONDS, job.deadline - job.reserve)
        yield _due(job, "callback", at=at, expedite="callback" not in job.attempts)
    else:
        yield _due(job, "callback", expedite="callback" not in job.attempts)
    if spoken and sent and "classify" in job.facts:
        yield _due(job, "link")
        if job.facts.get("link", {}).get("state") == "waiting":
            yield _due(job, "timeline")
    if job.category.spoken and sent:
        yield from _afterwards(job, now)


def _afterwards(job: Job, now: float) -> Iterator[Due]:
    """What people come back to: the recording to be heard, the call in the archive, their corrections."""
    if "fetch" in job.facts:
        yield _due(job, "keep")
    stands, said = timeline(job), verdicts(job)
    if stands.state != "waiting" and about(job) is None:
        yield _due(job, "about")
    if said and stands.state == "written":
        yield _due(job, f"correct:{len(said)}", at=said[-1].at + CORRECT_SECONDS)
    yield _due(job, f"archive:{archived(job)}", at=now + ARCHIVE_SECONDS)


def archived(job: Job) -> str:
    """A digest of what the archive tells: the step that writes it is another one whenever it has changed."""
    facts, stands, told = job.facts, timeline(job), about(job)
    state = [
        facts.get("failure"),
        facts["callback"],
        ((facts.get("classify") or {}).get("lead") or {}).get("score"),
        to_plain([stands, told]) if stands.state != "waiting" else None,
        (facts.get("keep") or {}).get("audio"),
        len(verdicts(job)),
    ]
    return hashlib.blake2s(json.dumps(state, sort_keys=True).encode(), digest_size=5).hexdigest()


def _work(job: Job) -> Iterator[Due]:
    facts = job.facts
    if job.category is Category.TEXT:
        yield _due(job, "reply")
    elif job.category is Category.IMAGE:
        yield _due(job, "draw")
    elif job.source is Source.EVENT and "resolve" not in facts:
        yield _due(job, "resolve")
    elif "fetch" not in facts:
        yield _due(job, "fetch")
    elif "split" not in facts:
        yield _due(job, "split")
        if "plan" in facts:
            yield from _recognition(job)
    else:
        yield from _recognition(job)


def _recognition(job: Job) -> Iterator[Due]:
    """By the plain facts: it runs after each chunk, so what is dear was found when the answer came."""
    planned = _planned(job)
    assert planned
    probe = _probe(planned["chunks"])
    if probe and not _asked_language(job) and f"transcribe:{probe['id']}" not in job.facts:
        if _is_cut(job, probe):
            yield _due(job, f"transcribe:{probe['id']}")  # the others wait for the language that it is in
        return
    asked, waiting = 0, "split" not in job.facts
    for chunk, answer in _told(job):
        if not answer:
            waiting = True
            if _is_cut(job, chunk):
                asked += 1
                yield _due(job, f"transcribe:{chunk['id']}", later=asked > AT_ONCE)
        elif _asks_again(chunk, answer) and f"halve:{chunk['id']}" not in job.facts:
            waiting = True
            yield _due(job, f"halve:{chunk['id']}")
    if not waiting:
        yield _due(job, "merge")


def _told(job: Job) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None]]:
    """Each chunk, or its halves, and the answer for it, as the record has them."""
    planned = _planned(job)
    for chunk in planned["chunks"] if planned else ():
        halves = job.facts.get(f"halve:{chunk['id']}") or [None]
        for piece in [chunk] if halves == [None] else halves:
            yield piece, job.facts.get(f"transcribe:{piece['id']}")


def is_piece(chunk: Chunk) -> bool:
    """Whether it is a part of a chunk that was asked for before: it is not asked for a third time."""
    return _is_piece(chunk.id)


def _is_piece(chunk_id: str) -> bool:
    return chunk_id[-1:].isalpha()


def unheard(job: Job, chunk: Chunk) -> tuple[Span, ...]:
    """Where the answer for a chunk leaves speech out."""
    fact = job.facts.get(f"transcribe:{chunk.id}")
    return from_plain(Recognition, fact).unheard if fact else ()


def beside(job: Job, chunk: Chunk) -> bool:
    """Whether it is a stretch that the answer for its chunk left out."""
    whole = job.facts.get(f"transcribe:{chunk.id[:-1]}") if is_piece(chunk) else None
    return bool(whole and whole.get("unheard"))


def _asks_again(chunk: Mapping[str, Any], answer: Mapping[str, Any]) -> bool:
    if _is_piece(chunk["id"]):
        return False
    again = answer.get("again")
    if again is None:  # of a record of before, in which it was not written down
        again = asks_again(from_plain(Recognition, answer), from_plain(Chunk, dict(chunk)))
    return bool(answer.get("unheard")) or bool(again)


def asks_again(recognition: Recognition, chunk: Chunk) -> bool:
    """Whether a chunk's answer cannot be trusted, so that it is asked for once more."""
    return not is_piece(chunk) and judge(recognition, chunk) == "again"


def _probe(chunks: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The chunk by which an unknown language is found: the one that sounds longest. None where it is so long
    that each may tell by itself, and the others would wait long.
    """
    if len(chunks) < 2:
        return None
    found = max(chunks, key=lambda chunk: (chunk["sounding_seconds"], -chunk["span"]["start"]))
    return found if found["sounding_seconds"] <= PROBED_SECONDS else None


def _is_long(job: Job) -> bool:
    """Whether decoding the recording takes long: by its length, once that is known, else by its size."""
    planned, fetched = _planned(job), job.facts.get("fetch") or {}
    likely = fetched.get("likely_seconds") or fetched.get("size_bytes", 0) / COMPRESSED_BYTES_PER_SECOND
    return bool((planned["seconds"] if planned else likely) > LONG_SECONDS)


def _due(
    job: Job,
    step: str,
    *,
    at: float = 0.0,
    expedite: bool = False,
    background: bool = False,
    later: bool = False,
) -> Due:
    """later: all other work of its portal comes first."""
    kind = KINDS[kind_of(step)]
    urgency = kind.urgency if job.category.spoken else A_PERSON_WAITS
    if urgency == QUICK and kind.queue == MEDIA and _is_long(job):
        urgency = WORK
    return Due(
        step=Step(step),
        queue=BACKGROUND if background else kind.queue,
        at=at,
        expedite=expedite,
        urgency=LAST if later else urgency,
    )

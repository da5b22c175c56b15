"""Records, claims and transitions on a real Valkey."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.errors import LeaseLost, StoreUnavailable, UnknownJob, UnreadableRecord
from pipeline.domain.job import Category, Claim, Due, Job, JobId, PortalId, Request
from pipeline.domain.kinds import A_PERSON_WAITS, OUTCOME
from pipeline.steps.retry import MOST_LOST
from pipeline.store import Intake, Quota, Stale, Store, Transition, Wanted, fields_of, prepare
from pipeline.store.records import dumps
from tests.store.jobs import a_job, accept, claim, due


def test_fifty_requests_at_once_make_one_job(store: Store, valkey: str) -> None:
    """The same portal and key: one is new, all others are known."""

    async def all_at_once() -> list[str]:
        intake, job = Intake(valkey), a_job(store)
        try:
            prepared = prepare(job, (due("fetch"),), quota=Quota(100))
            answers = await asyncio.gather(*(intake.accept(prepared) for _ in range(50)))
        finally:
            await intake.close()
        return [verdict.what for verdict in answers]

    verdicts = asyncio.run(all_at_once())
    assert sorted(set(verdicts)) == ["known", "new"]
    assert verdicts.count("new") == 1
    assert store.claim("media", "a", lease_seconds=30) is not None
    assert store.claim("media", "a", lease_seconds=30) is None


def test_what_one_request_meets_in_the_store_is_no_other_ones(store: Store, valkey: str) -> None:
    """Of those that are written together one's key is damaged: it is refused, the rest accepted in order."""

    async def together(jobs: list[Job]) -> list[Any]:
        intake = Intake(valkey)
        try:
            written = (prepare(job, (due("fetch"),), quota=Quota(100)) for job in jobs)
            return await asyncio.gather(*map(intake.accept, written), return_exceptions=True)
        finally:
            await intake.close()

    jobs = [a_job(store, number) for number in range(9)]
    with redis.Redis.from_url(valkey) as raw:
        raw.set(f"cs:job:{jobs[4].id}", "damaged")
    answers = asyncio.run(together(jobs))
    assert isinstance(answers.pop(4), StoreUnavailable)
    assert [answer.what for answer in answers] == ["new"] * 8
    good = [job.id for job in jobs if job is not jobs[4]]
    assert [job for job, _, _ in reversed(store.page())] == good
    moments = [store.load(job).accepted_at for job in good]
    assert sorted(set(moments)) == moments
    assert len([store.claim("media", "a", lease_seconds=30) for _ in range(8)]) == 8


def test_a_record_is_read_as_it_was_written(store: Store) -> None:
    """Nothing of a job changes on its way through the store, but times follow the store's clock."""
    job = a_job(store, facts={"fetch": {"blob": "x", "size_bytes": 3}}, digest="d")
    accept(store, job)
    read = store.load(job.id)
    assert replace(read, accepted_at=job.accepted_at, deadline=job.deadline) == job
    assert read.accepted_at == pytest.approx(job.accepted_at, abs=2)
    assert read.deadline - read.accepted_at == pytest.approx(3600)


ANY = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=()))


@given(st.recursive(ANY, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_whatever_is_written_is_read_as_it_was(value: Any) -> None:
    """Large numbers, NaN and infinities too; of half a surrogate pair a sign stands that it was there."""
    plain = re.sub("[\ud800-\udfff]", "\ufffd", json.dumps(value, ensure_ascii=False))
    assert repr(json.loads(dumps(value))) == repr(json.loads(plain))
    assert dumps(value).encode()


def test_the_clock_of_the_accepting_host_does_not_count(store: Store) -> None:
    """A job accepted by a host whose clock is a day off has its whole ttl by the store's clock."""
    now = store.now()
    job = a_job(store, accepted_at=now - 86_400, deadline=now - 86_400 + 3600)
    accept(store, job, due("expire", "upstream", at=job.deadline - 120))
    read = store.load(job.id)
    assert read.deadline == pytest.approx(now + 3600, abs=2)
    assert store.claim("upstream", "a", lease_seconds=30) is None


def test_a_portal_has_its_own_limit_of_unfinished_jobs(store: Store) -> None:
    """The third job of a portal with a limit of two is refused, another portal's is not."""
    assert [accept(store, a_job(store, n), limit=2) for n in range(3)] == ["new", "new", "full"]
    assert accept(store, a_job(store, 0, "other"), limit=2) == "new"
    assert accept(store, a_job(store, 1), limit=2) == "known"


def test_a_lease_that_ends_goes_to_another_and_the_first_is_fenced_out(store: Store) -> None:
    """The late worker's result is refused, the second worker's taken; the loss is counted."""
    job = a_job(store)
    accept(store, job)
    first = claim(store, lease=0.05)
    deadline = store.now() + 5
    second = None
    while second is None and store.now() < deadline:
        second = store.claim("media", "node:other", lease_seconds=30)
    assert second is not None
    assert (second.attempt, second.lost) == (2, 1)
    read = store.load(job.id)
    with pytest.raises(LeaseLost):
        store.finish(read, Transition(facts={"fetch": 1}, dues=(), status="running"), claim=first)
    assert not store.renew(first, 30)
    store.finish(read, Transition(facts={"fetch": 2}, dues=(), status="running"), claim=second)
    assert store.load(job.id).facts == {"fetch": 2}


def test_a_record_that_moved_on_is_read_again(store: Store) -> None:
    """Two chunks that end at the same time: the second must look at the first's fact before the join."""
    job = a_job(store)
    accept(store, job, due("transcribe:0", "upstream"), due("transcribe:1", "upstream"))
    one, two = claim(store, "upstream"), claim(store, "upstream")
    read = store.load(job.id)
    store.finish(read, Transition(facts={one.step: 1}, dues=(), status="running"), claim=one)
    with pytest.raises(Stale):
        store.finish(read, Transition(facts={two.step: 2}, dues=(), status="running"), claim=two)
    again = store.load(job.id)
    store.finish(
        again, Transition(facts={two.step: 2}, dues=[due("merge", "upstream")], status="running"), claim=two
    )
    assert claim(store, "upstream").step == "merge"


def test_one_portals_thousand_jobs_delay_anothers_by_two_rounds_at_most(store: Store) -> None:
    """The single job of a quiet portal is among the next two claims."""
    for n in range(1000):
        accept(store, a_job(store, n, "greedy"), limit=5000)
    store.limit("media", {PortalId("greedy"): 1000})
    for _ in range(3):
        claim(store)
    accept(store, a_job(store, 0, "quiet"))
    assert "quiet" in [claim(store).portal for _ in range(2)]


def test_a_portal_runs_no_more_steps_than_it_may(store: Store) -> None:
    """The limit of one portal holds; what stays is claimed when a place is free."""
    store.limit("media", {PortalId("acme"): 2})
    for n in range(4):
        accept(store, a_job(store, n))
    held = [claim(store) for _ in range(2)]
    assert store.claim("media", "a", lease_seconds=30) is None
    store.finish(
        store.load(held[0].job), Transition(facts={"fetch": 1}, dues=(), status="running"), claim=held[0]
    )
    assert claim(store).attempt == 1
    assert store.claim("media", "a", lease_seconds=30) is None
    store.limit("media", {PortalId("acme"): 3})  # the settings changed
    assert claim(store).portal == "acme"


def test_text_comes_before_audio_and_outcomes_before_new_work(store: Store) -> None:
    """Within a portal: text and image first, then callbacks, then the rest by deadline."""
    accept(store, a_job(store, 1), due("transcribe:0", "upstream"))
    accept(store, a_job(store, 2), due("callback", "upstream", urgency=OUTCOME))
    accept(store, a_job(store, 3), due("reply", "upstream", urgency=A_PERSON_WAITS))
    assert [claim(store, "upstream").step for _ in range(3)] == ["reply", "callback", "transcribe:0"]


def test_the_last_place_is_kept_for_who_waits(store: Store) -> None:
    """A worker that asks for urgent work alone gets outcomes, text and images, and no other step."""
    accept(store, a_job(store, 1), due("transcribe:0", "upstream"))
    assert store.claim("upstream", "a", lease_seconds=30, urgent_only=True) is None
    accept(store, a_job(store, 2), due("draw", "upstream", urgency=A_PERSON_WAITS))
    accept(store, a_job(store, 3), due("callback", "upstream", urgency=OUTCOME))
    assert [claim(store, "upstream", urgent_only=True).step for _ in range(2)] == ["draw", "callback"]


def test_a_deferred_step_comes_back_when_it_is_due_and_is_not_expedited_by_others(store: Store) -> None:
    """Scheduling a step that waits already leaves its time alone, unless it is to be expedited."""
    job = a_job(store)
    accept(store, job, due("callback", "upstream", at=store.now() + 60), due("fetch"))
    first = claim(store)
    store.finish(
        store.load(job.id),
        Transition(facts={"fetch": 1}, dues=[due("callback", "upstream")], status="running"),
        claim=first,
    )
    assert store.claim("upstream", "a", lease_seconds=30) is None
    expedited = due("callback", "upstream", expedite=True)
    store.finish(store.load(job.id), Transition(facts={}, dues=[expedited], status="running"), claim=None)
    assert claim(store, "upstream").step == "callback"


def test_a_deferral_that_was_no_try_is_not_counted(store: Store) -> None:
    """An uncounted deferral leaves the number of attempts as it was; a counted one does not."""
    accept(store, a_job(store))
    store.defer(claim(store), at=0, uncounted=True)
    again = claim(store)
    assert again.attempt == 1
    store.defer(again, at=0, ambiguous=True)
    third = claim(store)
    assert third.attempt == 2
    assert store.load(third.job).attempts_at("fetch").ambiguous == 1


def test_a_dead_workers_leases_are_freed_at_once(store: Store) -> None:
    """Freed by the owner's name: the step is due again, and the crash is counted."""
    accept(store, a_job(store, 1))
    accept(store, a_job(store, 2))
    claim(store)
    store.claim("media", "elsewhere:task", lease_seconds=30)
    assert store.release("node:", crashed=True) == 1
    again = claim(store)
    assert (again.lost, again.attempt) == (1, 2)


def test_a_process_that_dies_alone_is_blamed_more(store: Store) -> None:
    """Two such crashes are over the limit of a step; two of a whole worker are not."""
    for n in (1, 2):
        accept(store, a_job(store, n))
    lost = []
    for alone in (True, False):
        held = claim(store)
        for _ in range(2):
            store.release("node:", crashed=True, alone=alone)
            held = claim(store)
        lost.append(held.lost >= MOST_LOST)
        store.finish(
            store.load(held.job), Transition(facts={"fetch": 1}, dues=(), status="running"), claim=held
        )
    assert lost == [True, False]


def test_leases_stand_still_while_the_store_is_away(store: Store, valkey: str) -> None:
    """What passes while nobody can look, no worker could have renewed either."""
    accept(store, a_job(store))
    claim(store, lease=1.0)
    with redis.Redis.from_url(valkey) as raw:
        for key, ago in (("cs:looked", 100.0), ("cs:leases", 99.5)):  # as if the last look was long ago
            if key == "cs:looked":
                raw.set(key, store.now() - ago)
            else:
                (member,) = raw.zrange(key, 0, -1)
                raw.zadd(key, {member: store.now() - ago})
    assert store.tick() == {"media": 0, "upstream": 0, "background": 0}
    assert store.claim("media", "node:other", lease_seconds=30) is None
    end = store.now() + 5
    while not store.tick()["media"]:
        assert store.now() < end


def test_what_is_under_way_goes_on_when_the_memory_is_full(store: Store, valkey: str) -> None:
    """New jobs are refused; claims, paid answers and results are kept."""
    accept(store, a_job(store, 1), due("transcribe:0", "upstream"))
    with redis.Redis.from_url(valkey) as raw:
        raw.config_set("maxmemory", 1)
        try:
            with pytest.raises(StoreUnavailable):
                accept(store, a_job(store, 2))
            held = claim(store, "upstream")
            assert store.ledger.reserve("cs:paid:k", held, seconds=1, cap=0).verdict == "go"
            store.ledger.keep("cs:paid:k", held, "{}", seconds=60)
            facts = {"transcribe:0": {}}
            store.finish(
                store.load(held.job),
                Transition(facts=facts, dues=(due("merge"),), status="running"),
                claim=held,
            )
            assert claim(store).step == "merge"
        finally:
            raw.config_set("maxmemory", 0)


def test_an_erased_job_leaves_nothing(store: Store) -> None:
    """No key of the server names the job afterwards, and its claimed step finds nothing."""
    job = a_job(store)
    accept(store, job, due("fetch"), due("expire", "upstream", at=store.now() + 60))
    held = claim(store)
    store.ledger.keep("cs:paid:acme:x", held, "{}", seconds=60)
    assert store.erase(job.id)
    assert not store.erase(job.id)
    with pytest.raises(UnknownJob):
        store.load(job.id)
    with pytest.raises(UnknownJob):
        store.finish(job, Transition(facts={"fetch": 1}, dues=(), status="running"), claim=held)
    dump = redis.Redis.from_url(store_url(store), decode_responses=True)
    names = set(dump.scan_iter("*"))
    members = {m for name in names if dump.type(name) == "zset" for m in dump.zrange(name, 0, -1)}
    assert not [text for text in names | members if job.id in text]
    assert "cs:paid:acme:x" not in names
    dump.close()


def store_url(store: Store) -> str:
    """Where the store is connected."""
    return "unix://" + store._redis.connection_pool.connection_kwargs["path"]


def test_jobs_are_listed_newest_first_and_page_by_page(store: Store) -> None:
    """Each page goes on where the last one ended."""
    made = [a_job(store, n) for n in range(5)]
    for job in made:
        accept(store, job)
    first = store.page(limit=3)
    rest = store.page(before=first[-1][1], limit=3)
    assert [row[0] for row in [*first, *rest]] == [job.id for job in reversed(made)]


def test_a_closed_job_is_finished_and_kept_until_retention(store: Store) -> None:
    """Closing frees the portal's place, forgets the expiry step and gives the record its end."""
    job = a_job(store)
    accept(store, job, due("fetch"), due("expire", "upstream", at=store.now() + 60))
    store.finish(
        store.load(job.id),
        Transition(facts={"callback": {}}, dues=(), status="done", closed=True),
        claim=claim(store),
        retention_seconds=77,
    )
    assert store.unfinished(PortalId("acme")) == 0
    assert store.tick() == {"media": 0, "upstream": 0, "background": 0}
    raw = redis.Redis.from_url(store_url(store))
    assert 0 < raw.ttl(f"cs:job:{job.id}") <= 77
    assert raw.zcard("cs:later") == 0
    raw.close()


def test_a_store_that_is_away_is_said_so_in_time() -> None:
    """No server: StoreUnavailable at once, from both clients."""
    nowhere = "unix:///tmp/callscribe-no-such.sock"
    with pytest.raises(StoreUnavailable):
        Store(nowhere).load(JobId("job_a"))

    async def ask() -> None:
        intake = Intake(nowhere)
        try:
            await intake.ping()
        finally:
            await intake.close()

    with pytest.raises(StoreUnavailable):
        asyncio.run(ask())


def test_a_portals_unfinished_requests_take_no_more_bytes_than_they_may(store: Store) -> None:
    """What would be too much is refused, to that portal alone, until others have ended or are erased."""
    made = [a_job(store, n, request=Request(prompt="x" * 1000)) for n in range(4)]
    size = len(dumps(made[0].request))
    quota = Quota(100, 2 * size)

    def full(job: Job) -> bool:
        return store.accept(job, (due("fetch"),), fields_of(job), quota)[0] == "full"

    assert [full(job) for job in made[:3]] == [False, False, True]
    assert not full(a_job(store, 1, "other", request=Request(prompt="x" * 1000)))
    store.erase(made[0].id)
    assert not full(made[2])
    held = store.claim("media", "a", lease_seconds=30)
    assert held is not None
    while held.portal != "acme":
        held = store.claim("media", "a", lease_seconds=30)
        assert held is not None
    store.finish(
        store.load(held.job),
        Transition(facts={"callback": {}}, dues=(), status="done", closed=True, fields={"request": "{}"}),
        claim=held,
    )
    assert not full(made[3])
    assert full(made[0])
    store.rebuild()
    assert full(made[0])


def test_what_no_step_of_a_recording_reads_is_not_kept(store: Store) -> None:
    """The markers and the data of other steps go before a record is written; those of a text job stay."""
    request = Request(file_url="https://e.example", prompt="hint", markers={"a": "b" * 100}, payload_raw="r")
    audio = a_job(store, 1, request=request)
    text = a_job(store, 2, request=request, category=Category.TEXT)
    for job in (audio, text):
        accept(store, job)
    assert store.load(audio.id).request == Request(file_url="https://e.example", prompt="hint")
    assert store.load(text.id).request == request


def test_workers_are_told_of_no_more_steps_than_may_run(store: Store) -> None:
    """Whoever ends one of them goes on with the next; each queue is told of its own; later is not now."""
    store.limit("media", {PortalId("acme"): 2})
    later = due("expire", "upstream", at=store.now() + 60)
    jobs = [a_job(store, n) for n in range(4)]
    told = [store.accept(job, (due("fetch"), later), fields_of(job), 100)[2:] for job in jobs]
    assert [list(each) for each in told] == [["media"], ["media"], [], []]
    other = a_job(store, 0, "other")
    assert store.accept(other, (due("fetch"),), fields_of(other), 100)[2:] == ["media"]
    held = claim(store)
    split = Transition(
        facts={"fetch": 1}, dues=[due(f"transcribe:{n}", "upstream") for n in range(2)], status="running"
    )
    assert store.finish(store.load(held.job), split, claim=held).news == ("upstream", "upstream")


def test_a_step_that_ends_brings_the_next_claim(store: Store) -> None:
    """What it found, what it used and the next claim are one transition; without its lease there is none."""
    for number in range(2):
        accept(store, a_job(store, number))
    first = claim(store)
    store.breakers.failed("host", after=1)
    found = Transition(facts={"fetch": 1}, dues=(), status="running", used={"jobs_done": 1}, passed=("host",))
    wanted = Wanted("media", "node:task", 30)
    assert store.finish(store.load(first.job), found, claim=first).claim is None  # none was wanted
    with pytest.raises(LeaseLost):
        store.finish(store.load(first.job), found, claim=first, wanted=wanted)
    assert store.usage.of(first.portal) == {"jobs_done": 1}
    assert store.breakers.wait("host") == 0
    accept(store, a_job(store, 2))
    held = claim(store)
    second = store.finish(store.load(held.job), found, claim=held, wanted=wanted).claim
    assert second is not None
    assert {held.job, second.job} == {a_job(store, 1).id, a_job(store, 2).id}
    assert store.claimed(second) == store.load(second.job)
    assert store.claim("media", "node:task", lease_seconds=30) is None
    assert store.finish(store.load(second.job), found, claim=second, wanted=wanted).claim is None


def test_a_claim_brings_the_record_as_it_stands(store: Store) -> None:
    """What a worker reads with its claim is what the store holds; a record that is damaged says so."""
    accept(store, a_job(store))
    held = claim(store)
    assert store.claimed(held) == store.load(held.job)
    store._redis.hset(f"cs:job:{held.job}", "deadline", "soon")
    store.defer(held, at=0)
    with pytest.raises(UnreadableRecord):
        store.claimed(claim(store))


def test_what_is_found_counts_until_a_job_ends(store: Store, valkey: str) -> None:
    """A portal's bytes are those of its unfinished records, with their facts, until these go."""
    quota = Quota(100, 9_010)

    def full(number: int) -> bool:
        job = a_job(store, number)
        return store.accept(job, (due("fetch"),), fields_of(job), quota)[0] == "full"

    def finish(claim: Claim, facts: dict[str, str], *next_steps: Due, forget: Sequence[str] = ()) -> None:
        store.finish(
            store.load(claim.job),
            Transition(facts=facts, dues=next_steps, status="running", forget=forget, closed=not next_steps),
            claim=claim,
        )

    assert not full(0)
    with redis.Redis.from_url(valkey, decode_responses=True) as client:
        taken = int(client.hget("cs:bytes", "acme") or 0)
        finish(claim(store), {"fetch": "x" * 9_000}, due("split"))
        grown = len('"' + "x" * 9_000 + '"')
        assert int(client.hget("cs:bytes", "acme") or 0) == taken + grown
        assert full(1)
        store.rebuild()
        assert full(1)
        finish(claim(store), {"split": "y" * 100}, due("merge"), forget=["fact:fetch"])
        assert not full(1)
        for _ in range(2):
            finish(claim(store), {"callback": "z"})
        assert not client.exists("cs:bytes")

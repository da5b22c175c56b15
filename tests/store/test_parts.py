"""What all workers share: paid answers, breakers, buckets, places."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from pipeline.domain.errors import LeaseLost
from pipeline.domain.job import Claim, PortalId
from pipeline.store import Callee, Store, Transition, known, ledger, usage
from tests.store.jobs import a_job, accept, claim, due


def test_a_call_that_may_have_been_paid_is_counted_when_it_is_made_again(store: Store) -> None:
    """Not the one that was certainly not served."""
    accept(store, a_job(store), due("transcribe:0", "upstream"))
    held = claim(store, "upstream")
    store.ledger.reserve("cs:paid:k", held, seconds=10, cap=0)
    store.ledger.unreserve("cs:paid:k", held, seconds=10)
    store.ledger.reserve("cs:paid:k", held, seconds=10, cap=0)
    assert "repeated_calls" not in store.usage.of(held.portal)
    store.release("node:", crashed=True)
    store.ledger.reserve("cs:paid:k", claim(store, "upstream"), seconds=10, cap=0)
    assert store.usage.of(held.portal) == {"repeated_calls": 1, "reserved_seconds": 20}


def test_paid_answers_are_bought_once_and_shared(store: Store) -> None:
    """While one asks the other waits; then both have the answer; an asker that died is succeeded."""
    for n in (1, 2):
        accept(store, a_job(store, n), due("transcribe:0", "upstream"))
    one, two = claim(store, "upstream"), claim(store, "upstream")
    assert store.ledger.reserve("cs:paid:k", one, seconds=10, cap=0).verdict == "go"
    assert store.ledger.reserve("cs:paid:k", two, seconds=10, cap=0).verdict == "wait"
    store.release("node:", crashed=True)
    two = claim(store, "upstream")
    assert store.ledger.reserve("cs:paid:k", two, seconds=10, cap=0).verdict == "go"
    store.ledger.keep("cs:paid:k", two, '{"a":1}', seconds=60)
    answer = store.ledger.reserve("cs:paid:k", claim(store, "upstream"), seconds=10, cap=0)
    assert (answer.verdict, answer.answer) == ("answer", '{"a":1}')


def test_a_portal_spends_no_more_seconds_a_day_than_it_may(store: Store) -> None:
    """The cap refuses the call that would go beyond it."""
    accept(store, a_job(store), due("transcribe:0", "upstream"))
    held = claim(store, "upstream")
    verdicts = [store.ledger.reserve(f"cs:paid:{n}", held, seconds=40, cap=100).verdict for n in range(3)]
    assert verdicts == ["go", "go", "capped"]


def test_what_was_reserved_before_midnight_is_not_given_back_to_the_new_day(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new day begins with nothing spent, not with seconds to spare."""
    accept(store, a_job(store), due("transcribe:0", "upstream"))
    held = claim(store, "upstream")
    store.ledger.reserve("cs:paid:k", held, seconds=600, cap=1000)
    for part in (ledger, usage):
        monkeypatch.setattr(part, "day", lambda: "2999-01-01")
    store.ledger.unreserve("cs:paid:k", held, seconds=600)
    assert store.usage.of(held.portal).get("reserved_seconds", 0.0) == 0.0


def test_nothing_is_paid_or_kept_for_a_job_that_was_erased(store: Store) -> None:
    """The answer to a call under way is dropped, and no further call is made."""
    job = a_job(store)
    accept(store, job, due("transcribe:0", "upstream"))
    held = claim(store, "upstream")
    assert store.ledger.reserve("cs:paid:k", held, seconds=1, cap=0).verdict == "go"
    store.erase(job.id)
    store.ledger.keep("cs:paid:k", held, '{"a":1}', seconds=60)
    assert store.ledger.peek("cs:paid:k") == [None]
    assert store.ledger.reserve("cs:paid:k", held, seconds=1, cap=0).verdict == "gone"
    assert not store._redis.keys(f"cs:*{job.id}*")


def test_who_is_first_stays_first_unless_somebody_takes_over(store: Store) -> None:
    """One owner of a name; only who knows the owner may follow it."""
    assert store.known.first("entry", "a", seconds=60) == "a"
    assert store.known.first("entry", "b", seconds=60) == "a"
    assert store.known.first("entry", "b", seconds=60, instead_of="c") == "a"
    assert store.known.first("entry", "b", seconds=60, instead_of="a") == "b"
    assert store.known.first("entry", "c", seconds=60, instead_of="a") == "b"


def test_a_breaker_opens_after_failures_and_lets_one_probe_through(store: Store) -> None:
    """Closed at first; open after the third failure; one probe per period; closed by a success."""
    for _ in range(2):
        store.breakers.failed("host", after=3, period=0.05)
    assert store.breakers.wait("host") == 0
    store.breakers.failed("host", after=3, period=0.05)
    assert 0 < store.breakers.wait("host") <= 0.05
    end = store.now() + 5
    while store.breakers.wait("host") > 0:
        assert store.now() < end
    assert store.breakers.wait("host") > 0  # the probe is under way
    store.breakers.passed("host")
    assert store.breakers.wait("host") == 0


def test_a_failure_seen_here_counts_at_once(store: Store) -> None:
    """A breaker that was without a failure a moment ago is asked anew once this process has seen one."""
    assert store.breakers.wait("host") == 0
    store.breakers.failed("host", after=1, period=30)
    assert store.breakers.wait("host") > 0


def test_the_bucket_lets_a_burst_through_and_then_its_rate(store: Store) -> None:
    """Fifty at once, then two a second."""

    def take() -> float:
        return store.limits.turn("rest:acme", rate=2, burst=50)

    assert [take() for _ in range(50)] == [0.0] * 50
    assert 0 < take() <= 0.5


def test_who_waits_for_a_turn_has_it_kept(store: Store) -> None:
    """Each has a time of its own; who asks too early hears the same, whoever did not wait comes last."""

    def ask(who: str) -> float:
        return store.limits.turn("rest:acme", rate=2, burst=1, who=who)

    assert ask("first") == 0.0
    waits = [ask(who) for who in ("a", "b", "c")]
    assert [round(wait * 2) / 2 for wait in waits] == [0.5, 1.0, 1.5]
    assert ask("a") <= waits[0]
    store._redis.zadd("cs:turns:rest:acme", {"a": store.now() - 1})
    assert ask("a") == 0.0
    assert ask("a") > waits[2]


def test_a_lower_burst_leaves_the_rest_to_others(store: Store) -> None:
    """Looks stop at half of the bucket; what follows a turn is counted, and never refused."""
    assert [store.limits.turn("r", rate=0.001, burst=5) > 0 for _ in range(6)] == [False] * 5 + [True]
    assert store.limits.turn("r", rate=0.001, burst=10) == 0.0
    assert [store.limits.turn("r", rate=0.001, burst=10, verb="take") for _ in range(6)] == [0.0] * 6
    assert store.limits.turn("r", rate=0.001, burst=10) > 0


def test_a_bucket_that_the_other_side_calls_full_is_full(store: Store) -> None:
    """Others may fill it too."""
    store.limits.turn("r", rate=2, burst=50, verb="fill")
    assert 0 < store.limits.turn("r", rate=2, burst=50) <= 0.5


def test_places_are_limited_and_given_back(store: Store) -> None:
    """No more than the limit is inside at once, from any thread; who leaves, or has died, makes room."""
    for n in range(12):
        accept(store, a_job(store, n))
    store.limit("media", {PortalId("acme"): 12})
    claims = [claim(store) for _ in range(12)]
    taken: list[Claim] = []

    callee = Callee(name="p", places=3)

    def verdict(one: Claim) -> str:
        return store.ledger.reserve(one.job, one, seconds=0, cap=0, callee=callee).verdict

    def enter(one: Claim) -> None:
        if verdict(one) == "go":
            taken.append(one)

    threads = [threading.Thread(target=enter, args=(one,)) for one in claims]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 3
    store.ledger.leave(callee, taken[0])
    store.release("node:", crashed=True)
    again = [claim(store) for _ in range(4)]
    assert [verdict(one) for one in again] == ["go", "go", "go", "full"]
    store.ledger.keep("p", again[0], "{}", seconds=60, callee=callee)
    assert verdict(again[3]) == "go"


def test_a_call_finds_its_callee_down_before_it_takes_a_place_or_is_reserved(store: Store) -> None:
    """Nothing is counted, taken or said to be under way; an answer that is there needs no callee."""
    accept(store, a_job(store), due("transcribe:0", "upstream"))
    held = claim(store, "upstream")
    store.breakers.failed("account", after=1, period=60.0)
    callee = Callee(name="p", places=1, breakers=("server", "account"))
    found = store.ledger.reserve("cs:paid:k", held, seconds=10, cap=0, callee=callee)
    assert (found.verdict, found.breaker) == ("closed", "account")
    assert 0 < found.seconds <= 60
    assert store.usage.of(held.portal) == {}
    assert not store._redis.exists("cs:slots:p", "cs:paid:k")
    store.ledger.keep("cs:paid:k", held, "{}", seconds=60)
    assert store.ledger.reserve("cs:paid:k", held, seconds=10, cap=0, callee=callee).verdict == "answer"


def test_what_an_answer_took_is_counted_once_however_often_it_is_kept(store: Store) -> None:
    """A write whose answer was lost is made again; the breakers close with it."""
    accept(store, a_job(store), due("transcribe:0", "upstream"))
    held = claim(store, "upstream")
    store.breakers.failed("server", after=1, period=60.0)
    for _ in range(2):
        store.ledger.keep(
            "cs:paid:k", held, "{}", seconds=60, took={"paid_calls": 1, "paid_seconds": 0.5, "nothing": 0},
            model="whisper-1", callee=Callee(breakers=("server",)),
        )  # fmt: skip
    assert store.usage.by_model(held.portal) == {"whisper-1": {"paid_calls": 1, "paid_seconds": 0.5}}
    assert store.breakers.wait("server") == 0


def test_what_servers_can_is_read_once_a_second_and_at_once_after_it_was_learned(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process sees its own learning at once, and another's after a second."""
    clock = [100.0]
    monkeypatch.setattr(known.time, "monotonic", lambda: clock[0])
    assert store.lately.recall("form") is None
    store.known.remember("form", "of another process")
    assert store.lately.recall("form") is None
    clock[0] += known.LATELY_SECONDS
    assert store.lately.recall("form") == "of another process"
    store.lately.remember("form", "its own")
    assert store.lately.recall("form") == store.known.recall("form") == "its own"


def test_an_outcome_that_was_taken_closes_the_breaker_with_its_count(store: Store) -> None:
    """The next outcome to the same host need not wait."""
    store.breakers.failed("callback:portal", after=1, period=60.0)
    store.usage.add(PortalId("acme"), {"jobs_done": 1}, passed="callback:portal")
    assert store.breakers.wait("callback:portal") == 0
    assert store.usage.of(PortalId("acme")) == {"jobs_done": 1}


def test_what_all_share_is_kept_with_the_transition_or_not_at_all(store: Store) -> None:
    """A small fact that comes with a step's end stands when that does, for as long as was said."""
    job = a_job(store)
    accept(store, job, due("merge", "upstream"))
    held = claim(store, "upstream")
    told = Transition(facts={"merge": 1}, dues=(), status="running", known={"said:x": ("job_x", 60)})
    with pytest.raises(LeaseLost):
        store.finish(store.load(job.id), told, claim=replace(held, fence="0"))
    assert store.known.recall("said:x") is None
    store.finish(store.load(job.id), told, claim=held)
    assert store.known.recall("said:x") == "job_x"

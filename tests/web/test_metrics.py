"""What /metrics tells, by Prometheus' rules, of all processes together."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipeline.domain.errors import StoreUnavailable
from pipeline.domain.job import Category, PortalId
from pipeline.domain.kinds import QUEUES, UPSTREAM
from pipeline.run.pulse import Pulse, hand_on
from pipeline.settings.installation import Settings
from pipeline.steps.paid import breakers
from pipeline.store import Store, counters, usage
from pipeline.telemetry import metrics
from pipeline.telemetry.metrics import ALL, TALLY, Metric
from tests.store.jobs import a_job, accept, claim, due
from tests.web.conftest import TOKEN, Client, audio_request, running

PORTAL = PortalId("portal")
Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture(autouse=True)
def nothing_counted() -> Iterator[None]:
    """What other tests of this process counted is not told here."""
    TALLY.take()
    yield
    TALLY.take()


def scraped(client: Client) -> Series:
    """Every series with its value, as Prometheus reads them."""
    text = client.v1("GET", "/metrics").text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def one(series: Series, name: str, **labels: str) -> float:
    """The value of a series."""
    return series[f"callscribe_{name}", frozenset(labels.items())]


def test_what_was_taken_and_refused_is_counted(client: Client, store: Store) -> None:
    """Accepted, repeated and refused requests, and what stands in the store, are told; no secret is."""
    client.engine("audio", audio_request())
    client.engine("audio", audio_request())
    client.engine("audio", b"{}")
    series = scraped(client)
    assert one(series, "jobs_accepted_total", category="audio", portal="portal", source="engine") == 1
    assert one(series, "requests_repeated_total", portal="portal", source="engine") == 1
    assert one(series, "requests_refused_total", slug="bad_request") == 1
    assert one(series, "accept_seconds_count") == 2
    assert one(series, "accept_seconds_bucket", le="+Inf") == 2
    assert one(series, "jobs_unfinished", portal="portal") == 1
    assert one(series, "steps_ready", queue=UPSTREAM) == 1
    assert one(series, "processes", role="api") == 1
    assert one(series, "processes", role="upstream") == 0
    assert one(series, "accepting") == one(series, "audio_storage_up") == one(series, "store_up") == 1
    text = client.v1("GET", "/metrics").text
    assert TOKEN not in text
    assert "secret" not in text


def test_every_metric_is_told_as_it_is_declared(client: Client, store: Store) -> None:
    """All that is declared can be scraped, with its kind, its help and its labels, and nothing else can."""
    for metric in metrics.COUNTED:
        if metric.kind == "histogram":
            metric.observe(0.1, *metric.labels)
        else:
            metric.inc(*metric.labels)
    job = a_job(store, 1, PORTAL)
    accept(store, job, due("transcribe:0", UPSTREAM), due("link", UPSTREAM))
    held = claim(store, UPSTREAM)
    store.defer(held, at=store.now() + 60, first={"held_since": f"{store.now():.3f}"})
    portal = client.app.state.service.portals[PORTAL]
    store.breakers.failed(breakers(portal.transcription, "transcribe")[0], after=1)
    store.processes.beat(
        "upstream-x", {"role": "upstream", "busy": 1, "places": 2, "cpu": 1, "resident": 1, "files": 1}
    )
    told = {
        family.name: family for family in text_string_to_metric_families(client.v1("GET", "/metrics").text)
    }
    assert set(told) == {metric.name for metric in ALL}
    for metric in ALL:
        family = told[metric.name]
        assert (family.type, family.documentation) == (metric.kind, metric.help)
        assert family.samples, metric.name
        assert all(set(sample.labels) - {"le"} == set(metric.labels) for sample in family.samples)


def test_names_follow_prometheus_rules() -> None:
    """Each name is used once, counters do not say total, and what has a unit ends with the base unit."""
    names = [metric.name for metric in ALL]
    assert len(set(names)) == len(names)
    for metric in ALL:
        assert metric.name.startswith("callscribe_")
        assert not metric.name.endswith(("_total", "_count", "_sum", "_bucket", "_ms", "_minutes"))
        assert metric.kind != "histogram" or list(metric.buckets) == sorted(set(metric.buckets))


def test_how_work_stands(client: Client, store: Store) -> None:
    """How long each queue's steps wait, what is overdue, held, and nearest to its deadline are told."""
    now = store.now()
    first, second = (replace(a_job(store, n, PORTAL), deadline=now + 900 * n) for n in (1, 2))
    for job in (first, second):
        accept(store, job, due("transcribe:0", UPSTREAM), due("expire", UPSTREAM, at=now + 1000))
    waits = f"cs:waits:{UPSTREAM}:{PORTAL}"
    store._redis.zincrby(waits, -300, f"{second.id}|transcribe:0")
    series = scraped(client)
    assert one(series, "queue_age_seconds", portal="portal", queue=UPSTREAM) == pytest.approx(300, abs=20)
    assert one(series, "nearest_deadline_seconds", category="audio") == pytest.approx(900, abs=20)
    assert one(series, "overdue_seconds") == 0
    for _ in range(2):
        held = claim(store, UPSTREAM)
        store.defer(held, at=now + 60, first={"held_since": f"{now - 120:.3f}"})
    store._redis.zadd("cs:later", {f"{UPSTREAM}|portal|{first.id}|link": now - 50})
    series = scraped(client)
    assert not any(name == "callscribe_queue_age_seconds" for name, _ in series)
    assert one(series, "overdue_seconds") == pytest.approx(50, abs=20)
    assert one(series, "jobs_held", portal="portal") == 2
    assert one(series, "job_held_seconds", portal="portal") == pytest.approx(120, abs=20)
    for job in (first, second):
        store.erase(job.id)
    series = scraped(client)
    names = {name for name, _ in series}
    assert not {"callscribe_jobs_held", "callscribe_nearest_deadline_seconds"} & names


def test_looking_changes_nothing(client: Client, store: Store) -> None:
    """A scrape is no look for due work: that nobody looks any more can be seen in it."""
    store.tick()
    at = float(store._redis.get("cs:looked"))
    store._redis.set("cs:looked", at - 100)
    assert one(scraped(client), "sweep_age_seconds") == pytest.approx(100, abs=20)
    assert one(scraped(client), "sweep_age_seconds") >= 100


def test_what_another_version_leaves_behind_counts_for_nothing(client: Client, store: Store) -> None:
    """A step or job that a process without these indexes has taken is no waiting one."""
    job = a_job(store, 1, PORTAL)
    accept(store, job, due("sniff", UPSTREAM))
    store._redis.zadd(f"cs:waits:{UPSTREAM}:{PORTAL}", {"job_gone|fetch": 1.0})
    store._redis.zadd("cs:deadlines:audio", {"portal|job_gone": 1.0})
    series = scraped(client)
    assert one(series, "queue_age_seconds", portal="portal", queue=UPSTREAM) < 60
    assert one(series, "nearest_deadline_seconds", category="audio") > 3000
    assert store._redis.zcard("cs:deadlines:audio") == 1


def test_no_counter_restarts_at_midnight(
    client: Client, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was used yesterday is still counted today, each model apart."""
    monkeypatch.setattr(usage, "day", lambda: "2026-11-25")
    store.usage.add(PORTAL, {"paid_calls": 2, "paid_seconds": 30.5}, model="whisper-1")
    monkeypatch.undo()
    store.usage.add(PORTAL, {"paid_calls": 1}, model="whisper-1")
    store.usage.add(PORTAL, {"jobs_done": 1})
    series = scraped(client)
    assert one(series, "paid_calls_total", portal="portal", model="whisper-1") == 3
    assert one(series, "paid_seconds_total", portal="portal", model="whisper-1") == 30.5
    assert one(series, "jobs_done_total", portal="portal", model="") == 1
    assert store.usage.of(PORTAL) == {"paid_calls": 1, "jobs_done": 1}


def test_a_repeated_paid_call_is_counted_by_the_store(client: Client, store: Store) -> None:
    """A call that is reserved again, after its worker left no word of it, counts as repeated."""
    job = a_job(store, 1, PORTAL)
    accept(store, job, due("transcribe:0", UPSTREAM))
    first = claim(store, UPSTREAM)
    store.ledger.reserve("cs:paid:x", first, seconds=5, cap=0)
    store.release("node:", crashed=True)
    store.ledger.reserve("cs:paid:x", claim(store, UPSTREAM), seconds=5, cap=0)
    series = scraped(client)
    assert one(series, "repeated_calls_total", portal="portal", model="") == 1
    assert one(series, "steps_lost_total", step="transcribe") == 1


def test_processes_count_together(client: Client, valkey: str, store: Store) -> None:
    """What other processes have counted is told by each api, once, also after they have left."""
    count = (
        "import sys; from pipeline.store import Store; from pipeline.run.pulse import Pulse\n"
        "from pipeline.telemetry.metrics import STEPS\n"
        "STEPS.inc('fetch', 'done', '')\n"
        "pulse = Pulse(Store(sys.argv[1]), 'upstream'); pulse.start()\n"
        "STEPS.inc('fetch', 'done', ''); pulse.stop()"
    )
    for _ in range(2):
        subprocess.run([sys.executable, "-c", count, valkey], check=True, timeout=60)
    for _ in range(2):
        assert one(scraped(client), "steps_total", step="fetch", outcome="done", reason="") == 4
    assert one(scraped(client), "processes", role="upstream") == 0


def test_two_apis_tell_the_same(make_settings: Callable[..., Settings]) -> None:
    """Whichever of many api processes is asked, counters go up alone."""
    with running(make_settings()) as first, running(make_settings()) as second:
        for number, client in enumerate((first, second, first), 1):
            client.engine("audio", audio_request(callbackUrl=f"https://portal.example/cb?hash=n{number}"))
            for asked in (first, second):
                told = one(
                    scraped(asked), "jobs_accepted_total", category="audio", portal="portal", source="engine"
                )
                assert told == number


def test_what_cannot_be_handed_on_is_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the store is away nothing that was counted is lost, and nothing is counted twice."""

    def away(amounts: object) -> None:
        raise StoreUnavailable("away")

    metrics.REFUSED.inc("x")
    with monkeypatch.context() as patched:
        patched.setattr(store.counters, "add", away)
        with pytest.raises(StoreUnavailable):
            hand_on(store)
    metrics.REFUSED.inc("x")
    hand_on(store)
    hand_on(store)
    assert store.counters.all() == {(metrics.REFUSED.name, "x"): 2.0}


def test_a_store_that_is_away_is_told(make_settings: Callable[..., Settings]) -> None:
    """Without a store /metrics answers 200, says so, and tells what it knows."""
    with running(make_settings(redis_url="redis://127.0.0.1:1/0")) as client:
        series = scraped(client)
    assert one(series, "store_up") == 0
    assert not any(name == "callscribe_steps_ready" for name, _ in series)
    assert one(series, "audio_storage_up") == 1


def test_who_is_silent_is_not_alive(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that says nothing for ALIVE_SECONDS is not counted, and is forgotten in the end."""
    Pulse(store, "upstream", places=4, busy=lambda: 3).beat()
    (told,) = store.processes.alive().values()
    assert (told["role"], told["busy"], told["places"]) == ("upstream", 3, 4)
    assert told["cpu"] > 0
    assert told["resident"] > 1 << 20
    monkeypatch.setattr(counters, "ALIVE_SECONDS", -1.0)
    assert store.processes.alive() == {}
    assert store._redis.hlen("cs:processes") == 1
    monkeypatch.setattr(counters, "FORGOTTEN_SECONDS", -1.0)
    store.processes.alive()
    assert store._redis.hlen("cs:processes") == 0


def test_a_scrape_costs_the_same_however_many_jobs_there_are(store: Store) -> None:
    """The commands of an overview follow the number of portals, never that of jobs."""

    def commands() -> int:
        before = sum(row["calls"] for row in store._redis.info("commandstats").values())
        store.gauges.overview([PORTAL, PortalId("other")])
        return int(sum(row["calls"] for row in store._redis.info("commandstats").values()) - before)

    accept(store, a_job(store, 0, PORTAL), due("fetch", UPSTREAM))
    few = commands()
    for number in range(1, 200):
        accept(store, a_job(store, number, PORTAL), due("fetch", UPSTREAM), limit=1000)
    assert commands() == few


def test_deadlines_are_of_each_category(store: Store) -> None:
    """A text that is nearly due hides no recording that is."""
    now = store.now()
    for number, category in enumerate((Category.AUDIO, Category.TEXT), 1):
        job = replace(a_job(store, number), category=category, deadline=now + 1000 * number)
        accept(store, job, due("x", QUEUES[0]))
    found = store.gauges.nearest()
    assert {c: round(near.deadline - now, -2) for c, near in found.items()} == {
        Category.AUDIO: 1000,
        Category.TEXT: 2000,
    }


@pytest.mark.parametrize("value", [0.0, 0.002, 0.0021, 2.9, 3.0, 99.0])
def test_a_value_falls_into_all_wider_buckets(client: Client, value: float) -> None:
    """Buckets are cumulative, their bound belongs to them, and +Inf holds all."""
    metrics.ACCEPT_SECONDS.observe(value)
    series = scraped(client)
    for bound in metrics.ACCEPT_SECONDS.buckets:
        assert one(series, "accept_seconds_bucket", le=f"{float(bound)}") == float(value <= bound)
    assert one(series, "accept_seconds_bucket", le="+Inf") == 1
    assert one(series, "accept_seconds_sum") == value


def test_labels_are_ours(client: Client) -> None:
    """Nobody makes series by what they send: paths, tokens, slugs and ids of strangers are no labels."""
    before = set(scraped(client))
    for number in range(30):
        client.get(f"/engines/{'y' * 22}{number}/audio", client=f"192.0.2.{number}")
        client.get(f"/nothing/{number}")
        client.v1("GET", f"/v1/jobs/job_{number}")
    made = {dict(labels).get("slug") for _, labels in set(scraped(client)) - before}
    assert made == {"not_found", "unknown_job"}
    allowed = {"portal", "category", "source", "slug", "step", "outcome", "reason", "provider", "path"}
    allowed |= {"status", "taken", "model", "queue", "process", "role", "place", "version", "event", "way"}
    assert {label for metric in ALL for label in metric.labels} <= allowed
    assert all(isinstance(metric, Metric) for metric in ALL)

"""The alert rules and the dashboard: about metrics that there are, in time, and with a way on."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from pipeline.cli import callscribe
from pipeline.domain.job import PortalId
from pipeline.domain.kinds import BACKGROUND, MEDIA, UPSTREAM
from pipeline.run.pulse import Pulse
from pipeline.settings.installation import Settings
from pipeline.steps.paid import breakers
from pipeline.store import Store
from pipeline.telemetry import metrics as m
from pipeline.telemetry.metrics import ALL, TALLY
from tests.store.jobs import a_job, accept, claim, due
from tests.web.conftest import Client, make_settings, running, store
from tests.web.test_metrics import Series, scraped

__all__ = ["make_settings", "store"]

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES: list[dict[str, Any]] = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"][0]["rules"]
DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy" / "grafana" / "callscribe.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [rule["expr"] for rule in RULES] + [t["expr"] for panel in PANELS for t in panel["targets"]]
PORTAL = PortalId("portal")
promtool = shutil.which("promtool")
with_promtool = pytest.mark.skipif(promtool is None, reason="promtool: apt install prometheus")

SERIES = {
    name: metric
    for metric in ALL
    for name in {
        "gauge": [metric.name],
        "counter": [f"{metric.name}_total"],
        "histogram": [f"{metric.name}_{part}" for part in ("bucket", "sum", "count")],
    }[metric.kind]
}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_metric_that_is_named_exists(expression: str) -> None:
    """Names and labels of rules and panels are those that /metrics tells."""
    named = re.findall(r"\bcallscribe_[a-z_]+", expression)
    assert named or expression.startswith("up{")
    assert set(named) <= set(SERIES)
    for name, matchers in re.findall(r"\b(callscribe_[a-z_]+)\{([^}]*)\}", expression):
        labels = set(re.findall(r"([a-z_]+)\s*[!=]", matchers))
        assert labels <= {*SERIES[name].labels, "le"}, (name, labels)
    known = {label for name in named for label in SERIES[name].labels} | {"le", "instance"}
    for labels in re.findall(r"\b(?:by|without) \(([^)]*)\)", expression):
        assert set(labels.split(", ")) <= known, labels


def test_counters_are_never_shown_as_they_stand() -> None:
    """What only grows is asked for by rate or increase, of all processes as one."""
    for expression in EXPRESSIONS:
        for name in re.findall(r"\bcallscribe_[a-z_]+", expression):
            if SERIES[name].kind != "gauge":
                assert re.search(rf"(rate|increase)\({name}", expression), (name, expression)


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_each_alert_names_the_command_that_mends(rule: dict[str, Any]) -> None:
    """Its text says what is lost and names a command of ours, with options that it takes."""
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert set(rule["annotations"]) == {"summary", "mend"}
    assert rule["annotations"]["summary"].endswith(".")
    commands = re.findall(r"`(callscribe [^`]+)`", rule["annotations"]["mend"])
    assert commands
    for line in commands:
        words = line.replace("{{ $labels.role }}", MEDIA).replace("{{ $labels.queue }}", MEDIA).split()[1:]
        group: click.Command = callscribe
        context = click.Context(callscribe)
        while isinstance(group, click.Group) and words:
            found = group.get_command(context, words.pop(0))
            assert found, line
            group = found
        assert not isinstance(group, click.Group), line
        group.make_context(group.name or "", words, resilient_parsing=False).close()
    options = set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", json.dumps(rule["annotations"])))
    assert options | {"CONCURRENCY"} <= {name.upper() for name in Settings.model_fields} | {"CONCURRENCY"}


def test_labels_in_texts_are_those_of_the_expression() -> None:
    """A text names no label that the alert does not have."""
    for rule in RULES:
        used = set(re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"]))) - {"instance"}
        names = re.findall(r"\bcallscribe_[a-z_]+", rule["expr"])
        assert used <= {label for name in names for label in SERIES[name].labels}, rule["alert"]


def test_the_dashboard_is_whole() -> None:
    """Panels have a title, a sentence, a unit and their own place, and ask the data source that is chosen."""
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in PANELS:
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["datasource"]["uid"] == "${datasource}"
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken
        taken |= cells


# -- each fault, made in a real service, fires its alert


def no_worker(client: Client, store: Store) -> None:
    """The workers leave; the api goes on accepting."""
    store._redis.delete("cs:processes")
    Pulse(store, "api").beat()


def nobody_looks(client: Client, store: Store) -> None:
    store._redis.set("cs:looked", store.now() - 120)


def overdue(client: Client, store: Store) -> None:
    job = a_job(store, 1, PORTAL)
    accept(store, job, due("fetch", UPSTREAM, at=store.now() + 9))
    store._redis.zadd("cs:later", {f"{UPSTREAM}|portal|{job.id}|fetch": store.now() - 100})


def waiting(queue: str, seconds: float) -> Callable[[Client, Store], None]:
    def make(client: Client, store: Store) -> None:
        job = a_job(store, 1, PORTAL)
        accept(store, job, due("fetch", queue))
        store._redis.zincrby(f"cs:waits:{queue}:{PORTAL}", -seconds, f"{job.id}|fetch")

    return make


def near(client: Client, store: Store) -> None:
    accept(store, replace(a_job(store, 1, PORTAL), deadline=store.now() + 1200), due("fetch", UPSTREAM))


def held_account(client: Client, store: Store) -> None:
    account = breakers(client.app.state.service.portals[PORTAL].transcription, "transcribe")[0]
    store.breakers.failed(account, after=1, period=60)


def held_job(client: Client, store: Store) -> None:
    accept(store, a_job(store, 1, PORTAL), due("transcribe:0", UPSTREAM))
    store.defer(claim(store, UPSTREAM), at=store.now() + 60, first={"held_since": f"{store.now():.3f}"})


def gone_back(client: Client, store: Store) -> None:
    store._run("back", 1, 86_400)


def full(client: Client, store: Store) -> None:
    client.app.state.service.room._why = "The disk is full: 1 MiB are left."


def refused(client: Client, store: Store) -> None:
    service = client.app.state.service
    service.room._why = "The disk is full."
    answer = client.engine("audio", json.dumps({
        "prompt": {"file": "https://portal.example/x", "fields": []}, "category": "audio", "ttl": 14400,
        "callbackUrl": "https://portal.example/cb?hash=h1", "errorCallbackUrl": "https://portal.example/e?hash=h1",
    }).encode())  # fmt: skip
    assert answer.status_code == 503
    service.room._why = None


def storage_fails(client: Client, store: Store) -> None:
    client.app.state.service.room._storage._why = "No space left."


def failed(reason: str, times: int) -> Callable[[Client, Store], None]:
    return lambda client, store: m.FAILURES.inc("portal", reason, amount=times)


def provider_fails(client: Client, store: Store) -> None:
    m.PROVIDER_ANSWERS.inc("router.example", "/chat/completions", "502", amount=30)
    m.PROVIDER_ANSWERS.inc("router.example", "/chat/completions", "200", amount=10)


def portal_refuses(client: Client, store: Store) -> None:
    m.DELIVERIES.inc("portal", "none", "no", amount=20)
    m.DELIVERIES.inc("portal", "200", "yes", amount=5)


def paid_again(client: Client, store: Store) -> None:
    store.usage.add(PORTAL, {"doubtful_calls": 11})


def workers_die(client: Client, store: Store) -> None:
    m.LOST.inc("sniff", amount=6)


def workers_full(client: Client, store: Store) -> None:
    Pulse(store, "upstream", places=4, busy=lambda: 4).beat()


def store_fills_up(client: Client, store: Store) -> None:
    used = int(store._redis.info("memory")["used_memory"])
    store._redis.config_set("maxmemory", int(used * 1.2))


FAULTS: dict[str, tuple[Callable[[Client, Store], None], int]] = {  # alert -> fault, minutes until it fires
    "CallscribeStoreGoneBack": (gone_back, 1),
    "CallscribeNotAccepting": (full, 1),
    "CallscribeCallsRefused": (refused, 1),
    "CallscribeNoWorker": (no_worker, 2),
    "CallscribeNobodyLooks": (nobody_looks, 2),
    "CallscribeOverdue": (overdue, 2),
    "CallscribeQueueOld": (waiting(UPSTREAM, 400), 4),
    "CallscribeBackgroundOld": (waiting(BACKGROUND, 4000), 8),
    "CallscribeDeadlineNear": (near, 8),
    "CallscribeAccountHeld": (held_account, 2),
    "CallscribeProviderFails": (provider_fails, 8),
    "CallscribeJobsFail": (failed("provider_refused", 5), 1),
    "CallscribeCallLost": (failed("undelivered", 1), 1),
    "CallscribePortalRefuses": (portal_refuses, 8),
    "CallscribePaidAgain": (paid_again, 1),
    "CallscribeWorkersDie": (workers_die, 1),
    "CallscribeWorkersFull": (workers_full, 18),
    "CallscribeStoreFillsUp": (store_fills_up, 8),
    "CallscribeAudioStorageFails": (storage_fails, 2),
}
# what no scrape of a running service can show
OTHERS = {"CallscribeDown", "CallscribeStoreDown", "CallscribeDiskFillsUp"}
BEFORE = 8  # scrapes at rest, 15 s apart
GROWING = ("_total", "_bucket", "_count", "_sum")


@pytest.fixture
def service(make_settings: Callable[..., Settings], store: Store) -> Iterator[Client]:
    """A service at rest, whose workers are alive."""
    with running(make_settings()) as client:
        for role in (MEDIA, UPSTREAM):
            Pulse(store, role, places=4, busy=lambda: 0).beat()
        store.tick()
        m.LOST.inc("sniff", amount=1)  # a series of each, as a service has them that has worked for a while
        m.FAILURES.inc("portal", "provider_refused", amount=1)
        m.PROVIDER_ANSWERS.inc("router.example", "/chat/completions", "502", amount=1)
        m.PROVIDER_ANSWERS.inc("router.example", "/chat/completions", "200", amount=100)
        yield client
        store._redis.config_set("maxmemory", "1gb")
        TALLY.take()


def fires(before: Series, after: Series, tmp_path: Path, *, minutes: int, expected: str | None) -> str:
    """What promtool says against it that by these scrapes `expected` fires; None: that nothing does.

    Counters grow on with each scrape after the fault as they grew by it, as long as it lasts.
    """
    steps = 4 * minutes
    series = []
    for key in sorted({*before, *after}, key=str):
        name, labels = key
        old, new = before.get(key), after.get(key)
        text = ",".join(f"{label}={json.dumps(value)}" for label, value in sorted(labels))
        first = f"{old:g}+0x{BEFORE}" if old is not None else f"_x{BEFORE + 1}"
        grows = new - (old or 0) if new is not None and name.endswith(GROWING) and lasting(expected) else 0
        then = f"{new:.10g}+{grows:.10g}x{steps}" if new is not None else f"_x{steps + 1}"
        series.append(
            {
                "series": f'{name}{{{text + "," if text else ""}job="callscribe",instance="a"}}',
                "values": f"{first} {then}",
            }
        )
    series.append({"series": 'up{job="callscribe",instance="a"}', "values": f"1+0x{BEFORE + steps + 1}"})
    firing = 'count(ALERTS{alertstate="firing"%s})' % (f',alertname="{expected}"' if expected else "")
    at = f"{15 * (BEFORE + steps)}s"
    check = {
        "expr": f"{firing} > bool 0",
        "eval_time": at,
        "exp_samples": [{"labels": "{}", "value": 1}] if expected else [],
    }
    case = {
        "rule_files": [str(PROMETHEUS / "alerts.yml")], "evaluation_interval": "15s",
        "tests": [{"interval": "15s", "input_series": series, "promql_expr_test": [check]}],
    }  # fmt: skip
    path = tmp_path / "case.yml"
    path.write_text(yaml.safe_dump(case))
    ran = subprocess.run([str(promtool), "test", "rules", path], capture_output=True, text=True, timeout=60)
    return "" if ran.returncode == 0 else ran.stdout + ran.stderr


def lasting(alert: str | None) -> bool:
    """Whether the fault goes on: an alert that waits for a while is about such a one."""
    rule = next((rule for rule in RULES if rule["alert"] == alert), {})
    return "for" in rule


@with_promtool
def test_the_rules_are_valid() -> None:
    """Prometheus takes the rules, and the example of a configuration."""
    for args in (["check", "rules", "alerts.yml"], ["check", "config", "--syntax-only", "prometheus.yml"]):
        ran = subprocess.run(
            [str(promtool), *args], cwd=PROMETHEUS, capture_output=True, text=True, timeout=60
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr


@with_promtool
def test_at_rest_nothing_fires(service: Client, tmp_path: Path) -> None:
    """A service that is well alarms nobody."""
    series = scraped(service)
    assert fires(series, series, tmp_path, minutes=20, expected=None) == ""


@with_promtool
@pytest.mark.parametrize("alert", FAULTS)
def test_each_fault_fires_its_alert(service: Client, store: Store, tmp_path: Path, alert: str) -> None:
    """What the service tells of the fault fires the alert within minutes, long before a call's four hours."""
    fault, minutes = FAULTS[alert]
    before = scraped(service)
    fault(service, store)
    assert fires(before, scraped(service), tmp_path, minutes=minutes, expected=alert) == ""


@with_promtool
def test_a_held_job_alone_fires_too(service: Client, store: Store, tmp_path: Path) -> None:
    """Also between two probes, when no breaker is open."""
    before = scraped(service)
    held_job(service, store)
    assert fires(before, scraped(service), tmp_path, minutes=2, expected="CallscribeAccountHeld") == ""


@with_promtool
def test_a_store_that_is_away_fires(
    make_settings: Callable[..., Settings], service: Client, tmp_path: Path
) -> None:
    """And so does an api that is."""
    before = scraped(service)
    with running(make_settings(redis_url="redis://127.0.0.1:1/0")) as away:
        after = scraped(away)
    assert fires(before, after, tmp_path, minutes=2, expected="CallscribeStoreDown") == ""


@with_promtool
def test_a_disk_that_fills_up_fires(service: Client, tmp_path: Path) -> None:
    """Long before it is full."""
    before = scraped(service)
    after = {key: 5e8 if key[0] == "callscribe_disk_free_bytes" else value for key, value in before.items()}
    assert after != before
    assert fires(before, after, tmp_path, minutes=3, expected="CallscribeDiskFillsUp") == ""


def test_no_alert_is_left_out() -> None:
    """Each has its fault here."""
    assert {rule["alert"] for rule in RULES} == {*FAULTS, *OTHERS}

"""GET /metrics: what all processes counted, how work stands, and what this machine has room for."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.core import (
    Metric as Family,
)
from starlette.requests import Request
from starlette.responses import Response

from pipeline.domain.errors import StoreUnavailable
from pipeline.domain.kinds import KINDS
from pipeline.run.pulse import hand_on
from pipeline.settings.portals import Portal
from pipeline.steps.paid import breakers
from pipeline.steps.tools import Tools
from pipeline.store.counters import paged
from pipeline.telemetry import metrics as m
from pipeline.web.ops import our_version
from pipeline.web.room import Room, disks
from pipeline.web.service import service_of

Series = Mapping[tuple[str, ...], float]  # label values -> value
Values = dict[m.Metric, dict[tuple[str, ...], float]]
PORTALS_AT_ONCE = 500


async def metrics(request: Request) -> Response:
    """Prometheus' text form: what all processes counted, and how work stands."""
    service = service_of(request)
    await service.check_key(request)
    told = await service.blocking(exposition, service.tools, service.room, version=our_version())
    return Response(told, media_type=CONTENT_TYPE_LATEST)


def exposition(tools: Tools, room: Room, *, version: str) -> bytes:
    """Prometheus' text form; never raises for a store that is away, which is a metric like another."""
    values: Values = defaultdict(dict)
    values[m.VERSION] = {(version,): 1}
    _room(room, tools, values)
    try:
        hand_on(tools.store)
        counted = tools.store.counters.all()
        _work(tools, values)
        _accounts(tools, values)
        _processes(tools, values)
        values[m.STORE_UP] = {(): 1}
    except StoreUnavailable:
        counted = {}
        values[m.STORE_UP] = {(): 0}
    return bytes(generate_latest(_Families(counted, values, portals=list(tools.portals))))


class _Families:
    """As prometheus_client takes them."""

    def __init__(self, counted: Series, values: Values, *, portals: Sequence[str]) -> None:
        self._counted, self._values, self._portals = counted, values, portals

    def collect(self) -> Iterator[Family]:
        by_name: dict[str, dict[tuple[str, ...], float]] = defaultdict(dict)
        for (name, *labels), amount in self._counted.items():
            by_name[name][tuple(labels)] = amount
        for metric in m.COUNTED:
            for begins in metric.begins:
                for portal in self._portals if "portal" in begins else ("",):
                    filled = tuple(portal if label == "portal" else label for label in begins)
                    by_name[metric.name].setdefault(filled, 0.0)
            if metric.kind == "histogram":
                yield _histogram(metric, by_name[metric.name])
            else:
                yield _family(metric, by_name[metric.name])
        for metric in m.ASKED:
            if metric in self._values:
                yield _family(metric, self._values[metric])


def _family(metric: m.Metric, series: Series) -> Family:
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = kind(metric.name, metric.help, labels=metric.labels)
    for labels, value in sorted(series.items()):
        if len(labels) == len(metric.labels):  # else as another version counts it
            family.add_metric(labels, value)
    return family


def _histogram(metric: m.Metric, series: Series) -> HistogramMetricFamily:
    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    bounds = [m.bound_of(bucket) for bucket in (*metric.buckets, m.INFINITE)]
    for labels in sorted({labels[:-1] for labels in series}):
        if len(labels) != len(metric.labels):
            continue
        total, buckets = 0.0, []
        for bound in bounds:
            total += series.get((*labels, bound), 0.0)
            buckets.append((bound, total))
        family.add_metric(labels, buckets, series.get((*labels, "sum"), 0.0))
    return family


def _room(room: Room, tools: Tools, values: Values) -> None:
    values[m.ACCEPTING] = {(): 0 if room.why else 1}
    values[m.STORAGE_UP] = {(): 0 if room.storage_why else 1}
    for place in disks(tools.settings):
        disk = shutil.disk_usage(place)
        values[m.DISK_FREE][str(place),] = disk.free
        values[m.DISK][str(place),] = disk.total


def _work(tools: Tools, values: Values) -> None:
    stands = tools.store.gauges.overview([portal.id for portal in tools.portals.values()])
    now = stands.now
    values[m.GONE_BACK] = {(): 0 if tools.store.unsettled_since() is None else 1}
    values[m.STORE_BYTES] = {(): stands.memory_bytes}
    values[m.STORE_MOST_BYTES] = {(): stands.memory_limit_bytes}
    if stands.looked is not None:
        values[m.LOOKED] = {(): max(0.0, now - stands.looked)}
    values[m.OVERDUE] = {(): max(0.0, now - stands.due) if stands.due is not None else 0.0}
    values[m.READY] = {(queue,): count for queue, count in stands.ready.items()}
    values[m.WAIT] = {key: max(0.0, now - since) for key, since in stands.waits.items()}
    values[m.UNFINISHED] = {(portal,): jobs for portal, jobs in stands.unfinished.items()}
    values[m.HELD] = {(portal,): held.jobs for portal, held in stands.held.items()}
    values[m.HELD_SECONDS] = {(portal,): now - held.since for portal, held in stands.held.items()}
    values[m.DEADLINE] = {
        (category.value,): nearest.deadline - now for category, nearest in stands.nearest.items()
    }


def _accounts(tools: Tools, values: Values) -> None:
    """Those that are held alone: a refused account is rare, and portals are many."""
    for some in paged(list(tools.portals.values()), PORTALS_AT_ONCE):
        names = {(portal.id, kind): account for portal in some for kind, account in accounts_of(portal)}
        held = tools.store.breakers.open(list(dict.fromkeys(names.values())))
        values[m.ACCOUNT_HELD] |= {key: 1 for key, name in names.items() if name in held}


def accounts_of(portal: Portal) -> Iterable[tuple[str, str]]:
    """Kind of paid step -> the name of the breaker of the account that it is paid from."""
    for kind, step in KINDS.items():
        if not step.paid:
            continue
        provider = {"transcribe": portal.transcription, "draw": portal.image}.get(kind, portal.chat)
        if provider:
            yield kind, breakers(provider, kind)[0]


def _processes(tools: Tools, values: Values) -> None:
    values[m.PROCESSES] = dict.fromkeys((("api",), ("media",), ("upstream",)), 0.0)
    for name, told in tools.store.processes.alive().items():
        role = str(told.get("role"))
        values[m.PROCESSES][role,] = values[m.PROCESSES].get((role,), 0.0) + 1
        named = {m.BUSY: "busy", m.PLACES: "places", m.CPU: "cpu", m.MEMORY: "resident", m.FILES: "files"}
        for metric, field in named.items():
            if field in told:
                values[metric][name, role] = told[field]

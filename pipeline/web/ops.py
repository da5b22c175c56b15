"""What operators' machines ask: is it up, ready, which version, how much."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import GaugeMetricFamily
from starlette.requests import Request
from starlette.responses import Response

from pipeline.domain.errors import StoreUnavailable
from pipeline.telemetry.metrics import REGISTRY, USAGE
from pipeline.web.answers import Json
from pipeline.web.service import Service, service_of


def our_version() -> str:
    """The installed version."""
    try:
        return version("callscribe")
    except PackageNotFoundError:
        return "unknown"


async def health(request: Request) -> Response:
    """The process answers."""
    return Json({"status": "ok"})


async def ready(request: Request) -> Response:
    """The store and the audio storage take writes, and the disk has room."""
    service = service_of(request)
    service.room.check(uploads=True)
    await service.intake.ping()
    return Json({"status": "ready"})


async def which(request: Request) -> Response:
    """The version."""
    return Json({"name": "callscribe", "version": our_version()})


async def metrics(request: Request) -> Response:
    """Prometheus text: counters of this process, and gauges read from the store."""
    service = service_of(request)
    await service.check_key(request)
    own = generate_latest(REGISTRY)
    try:
        shared = await service.blocking(generate_latest, _Gauges(service))
    except StoreUnavailable:
        shared = b"# HELP callscribe_store_up Whether the store answers.\n# TYPE callscribe_store_up gauge\n"
        shared += b"callscribe_store_up 0.0\n"
    return Response(own + shared, media_type=CONTENT_TYPE_LATEST)


class _Gauges:
    """What all processes share, as the store has it at this moment."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> list[GaugeMetricFamily]:
        store = self._service.tools.store
        up = GaugeMetricFamily("callscribe_store_up", "Whether the store answers.", value=1)
        queued = GaugeMetricFamily(
            "callscribe_steps_ready", "Steps that are due and wait for a worker.", labels=["queue"]
        )
        for queue, count in store.tick().items():
            queued.add_metric([queue], count)
        unfinished = GaugeMetricFamily(
            "callscribe_jobs_unfinished",
            "Jobs without an outcome; refused beyond QUEUE_LIMIT.",
            labels=["portal"],
        )
        usage = GaugeMetricFamily(
            "callscribe_usage_today",
            "What all workers counted since midnight UTC: "
            + ", ".join(f"{k}: {v}" for k, v in USAGE.items()),
            labels=["portal", "what"],
        )
        for portal in self._service.portals:
            unfinished.add_metric([portal], store.unfinished(portal))
            for what, amount in sorted(store.usage.of(portal).items()):
                usage.add_metric([portal, what], amount)
        back = GaugeMetricFamily(
            "callscribe_store_gone_back",
            "1 for a day after the store was seen to have gone back: jobs may be missing, or run again.",
            value=0 if store.unsettled_since() is None else 1,
        )
        return [up, back, queued, unfinished, usage]

"""OpenTelemetry traces, one per job across all processes, where the extra `otel` and a collector are set.

The standard variables rule: OTEL_EXPORTER_OTLP_ENDPOINT (or ..._TRACES_ENDPOINT) turns traces on;
OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_EXPORTER_OTLP_HEADERS, OTEL_TRACES_SAMPLER and the others
mean what they mean everywhere (opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables).

A job's trace id is made of its id, so that nothing has to be handed from process to process, a step that runs
twice is twice in the same trace, and who has a job's id finds its trace.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from opentelemetry.sdk.trace import TracerProvider

log = structlog.get_logger()

FLUSH_MILLISECONDS = 2000
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_wanted: ContextVar[tuple[int, int] | None] = ContextVar("ids", default=None)  # of the span that begins next


class Traces:
    """Those of this process, from `begin` to `end`; nothing at all, and at no cost, before and after."""

    def __init__(self) -> None:
        self._provider: TracerProvider | None = None

    def begin(self) -> bool:
        """As the environment says; each process, and each child after a fork, begins its own."""
        self._provider = None
        if not any(os.environ.get(name) for name in _ENDPOINTS) or _is("OTEL_SDK_DISABLED", "true"):
            return False
        if _is("OTEL_TRACES_EXPORTER", "none"):
            return False
        if find_spec("opentelemetry") is None or find_spec("opentelemetry.exporter") is None:
            log.warning("no_traces", hint="An OTLP endpoint is set: pip install 'callscribe[otel]'.")
            return False
        self._provider = _provider()
        return True

    def end(self) -> None:
        """Sends what is left; a collector that hangs is waited for for two seconds."""
        provider, self._provider = self._provider, None
        if provider:
            provider.force_flush(FLUSH_MILLISECONDS)

    def job(self, job: str, *, accepted_at: float, ended_at: float, **told: Any) -> None:
        """The span of a whole job, above those of its steps, once it has its outcome; unix seconds."""
        if not self._provider:
            return
        token = _wanted.set(ids_of(job))
        try:
            from opentelemetry.context import Context

            span = self._provider.get_tracer("callscribe").start_span(
                "job",
                context=Context(),  # above all others, also above the step that is under way
                attributes=_attributes(job=job, **told),
                start_time=int(accepted_at * 1e9),
            )
            span.end(int(ended_at * 1e9))
        finally:
            _wanted.reset(token)

    def step(self, job: str, name: str, **told: Any) -> AbstractContextManager[None]:
        """A span below the job's."""
        return _of_job(self._provider, job, name, told) if self._provider else nullcontext()

    def ended(self, job: str, name: str, *, seconds: float, failed: str = "", **told: Any) -> None:
        """The span of what has just ended, done within another step, and took so long."""
        if self._provider:
            now = time.time()
            with _of_job(self._provider, job, name, told, began_at=now - seconds):
                _tell(failed or None, {})

    def request(self, method: str, host: str) -> AbstractContextManager[None]:
        """A request to somebody else's server, below the step that makes it; without path, query and body."""
        return _request(self._provider, method, host) if self._provider else nullcontext()

    def tell(self, failed: str | None = None, **told: Any) -> None:
        """What became known of the span that lasts; failed: the error's slug."""
        if self._provider:
            _tell(failed, told)


TRACES = Traces()


def ids_of(job: str) -> tuple[int, int]:
    """The trace id of a job, and the id of its topmost span."""
    digest = hashlib.sha256(job.encode()).digest()
    return int.from_bytes(digest[:16]), int.from_bytes(digest[16:24])


def _is(variable: str, value: str) -> bool:
    return os.environ.get(variable, "").strip().lower() == value


def _attributes(**told: Any) -> dict[str, Any]:
    """`portal` becomes callscribe.portal; what OpenTelemetry has a name for (`a.b`) keeps it."""
    named = {name if "." in name else f"callscribe.{name}": value for name, value in told.items()}
    return {name: value for name, value in named.items() if value is not None}


def _provider() -> TracerProvider:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

    class Ids(RandomIdGenerator):
        """Random ones, but for the span of a job."""

        def generate_trace_id(self) -> int:
            wanted = _wanted.get()
            return wanted[0] if wanted else super().generate_trace_id()

        def generate_span_id(self) -> int:
            wanted = _wanted.get()
            return wanted[1] if wanted else super().generate_span_id()

    named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": "callscribe"}
    resource = Resource(named | {"service.instance.id": str(os.getpid())}).merge(Resource.create())
    if named and not os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "").count("service.name="):
        resource = resource.merge(Resource(named))
    provider = TracerProvider(resource=resource, id_generator=Ids(), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


@contextmanager
def _of_job(
    provider: TracerProvider, job: str, name: str, told: dict[str, Any], *, began_at: float | None = None
) -> Iterator[None]:
    from opentelemetry.sdk.trace.sampling import Decision
    from opentelemetry.trace import (
        NonRecordingSpan,
        SpanContext,
        TraceFlags,
        set_span_in_context,
        use_span,
    )

    trace_id, span_id = ids_of(job)
    decision = provider.sampler.should_sample(None, trace_id, "job").decision
    sampled = decision is Decision.RECORD_AND_SAMPLE  # the same in every process, by the trace's id
    flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
    above = NonRecordingSpan(SpanContext(trace_id, span_id, is_remote=True, trace_flags=flags))
    span = provider.get_tracer("callscribe").start_span(
        name,
        context=set_span_in_context(above),
        attributes=_attributes(job=job, **told),
        start_time=None if began_at is None else int(began_at * 1e9),
    )
    with use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False), _told():
        yield


@contextmanager
def _request(provider: TracerProvider, method: str, host: str) -> Iterator[None]:
    from opentelemetry.trace import SpanKind, get_current_span

    if not get_current_span().get_span_context().is_valid:  # of no job
        yield
        return
    with (
        provider.get_tracer("callscribe").start_as_current_span(
            f"{method} {host}",
            kind=SpanKind.CLIENT,
            attributes={"http.request.method": method, "server.address": host},
            record_exception=False,  # its text and trace may hold what nobody has to see
            set_status_on_exception=False,
        ),
        _told(),
    ):
        yield


@contextmanager
def _told() -> Iterator[None]:
    """An error that ends the span is told by its slug."""
    try:
        yield
    except Exception as error:
        _tell(getattr(error, "slug", type(error).__name__), {})
        raise


def _tell(failed: str | None, told: dict[str, Any]) -> None:
    from opentelemetry.trace import Status, StatusCode, get_current_span

    span = get_current_span()
    span.set_attributes(_attributes(**told))
    if failed:
        span.set_status(Status(StatusCode.ERROR, failed))
        span.set_attribute("error.type", failed)

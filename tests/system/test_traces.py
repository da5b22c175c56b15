"""One trace per job across all processes, as a collector gets it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from pipeline.telemetry.traces import ids_of
from tests.system.processes import Portal, Service, sandbox, short_folder, until


class Collector:
    """Takes spans over OTLP/HTTP; `spans`: what came, with the service's name."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.headers.append(dict(self.headers))
                came = ExportTraceServiceRequest.FromString(body)
                for resource in came.resource_spans:
                    named = {a.key: a.value.string_value for a in resource.resource.attributes}
                    for scope in resource.scope_spans:
                        collector.spans += [(named["service.name"], span) for span in scope.spans]
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def portal() -> Iterator[Portal]:
    with sandbox() as running:
        yield running


def told(span: Any) -> dict[str, Any]:
    """The attributes of a span."""
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in span.attributes}


def test_a_call_is_one_trace(collector: Collector, portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans of api, media children and upstream worker hang below one, whose id the job's id gives."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=acme")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
    with short_folder() as folder, Service(folder, portal) as service:
        token, _ = portal.call(service.engines, folder)
        assert portal.outcome(token, tell=service.report)["outcome"] == "success"
        until(lambda: service.job()["timeline"]["state"] == "written", tell=service.report)
        job = service.job()["id"]
        wanted = {"job", "accept", "fetch", "sniff", "split", "transcribe", "merge", "classify", "callback"}
        until(lambda: wanted | {"link", "timeline"} <= {span.name for _, span in collector.spans})
        assert service.up.end() == 0
    trace, top = (number.to_bytes(size) for number, size in zip(ids_of(job), (16, 8), strict=True))
    spans = [span for _, span in collector.spans if span.trace_id == trace]
    assert {name for name, _ in collector.spans} == {"callscribe"}
    (whole,) = [span for span in spans if span.name == "job"]
    assert (whole.span_id, whole.parent_span_id) == (top, b"")
    assert told(whole)["callscribe.outcome"] == "result"
    steps = [span for span in spans if span.parent_span_id == top]
    assert wanted - {"job"} <= {span.name for span in steps}
    assert all(told(span)["callscribe.job"] == job for span in steps)
    below = {span.span_id: span.name for span in steps}
    requests = [span for span in spans if span.parent_span_id in below]
    assert {below[span.parent_span_id] for span in requests} >= {
        "fetch",
        "transcribe",
        "classify",
        "callback",
    }
    assert all(told(span)["http.response.status_code"] in (200, 201) for span in requests)
    assert len({span.span_id for span in spans}) == len(spans)
    assert all(headers["x-tenant"] == "acme" for headers in collector.headers)
    text = " ".join(f"{span.name} {span.status.message} {told(span)}" for span in spans)
    assert not [word for word in ("token", "?", "/rest/", "Bearer", "budget") if word in text]


_BEGIN = """
import sys, time; from pipeline.telemetry.traces import TRACES
begun = TRACES.begin(); start = time.monotonic()
with TRACES.step("job_1", "fetch"), TRACES.request("GET", "x.example"):
    TRACES.tell(outcome="done")
TRACES.job("job_1", accepted_at=1.0, ended_at=2.0); TRACES.end()
print(begun, time.monotonic() - start < 15, "opentelemetry" in sys.modules)
"""


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, "False True False"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "{url}"}, "True True True"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "{url}/v1/traces"}, "True True True"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "{url}", "OTEL_SDK_DISABLED": "true"}, "False True False"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "{url}", "OTEL_TRACES_EXPORTER": "none"}, "False True False"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "{url}", "OTEL_TRACES_SAMPLER": "always_off"}, "True True True"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, "True True True"),
    ],
)
def test_the_standard_variables_rule(collector: Collector, variables: dict[str, str], expected: str) -> None:
    """Traces are begun, left out and sampled as they say; without them nothing is even imported, and a
    collector that is away holds nothing up."""
    given = {name: value.format(url=collector.url) for name, value in variables.items()}
    ran = subprocess.run(
        [sys.executable, "-c", _BEGIN],
        env={"PATH": "/usr/bin", **given},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.stdout.strip() == expected, ran.stderr
    sent = {span.name for _, span in collector.spans}
    is_sent = (
        expected.startswith("True") and "always_off" not in given.values() and collector.url in str(given)
    )
    assert sent == ({"job", "fetch", "GET x.example"} if is_sent else set())

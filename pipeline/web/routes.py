"""The routes that no portal waits for, loaded once the service is ready, or by the first who asks for one."""

from __future__ import annotations

from starlette.routing import Route

from pipeline.web import calls, exposition, images, jobs, openapi
from pipeline.web.console import pages

API = [
    Route("/v1/calls", calls.take, methods=["POST"]),
    Route("/v1/jobs", jobs.listed, methods=["GET"]),
    Route("/v1/jobs/{id}", jobs.shown, methods=["GET"]),
    Route("/v1/jobs/{id}", jobs.erased, methods=["DELETE"]),
    Route("/v1/jobs/{id}/retry", jobs.again, methods=["POST"]),
    Route("/v1/jobs/{id}/transcript.{format}", jobs.exported, methods=["GET"]),
    Route("/images/{name}", images.shown, methods=["GET"]),
    Route("/metrics", exposition.metrics, methods=["GET"]),
    Route("/openapi.json", openapi.document, methods=["GET"]),
]
ROUTES = [*API, *pages.ROUTES]

"""The api does what /openapi.json says: schemathesis asks from the document and judges the answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from pipeline.settings.installation import Settings
from pipeline.store import job_id
from pipeline.web.openapi import described
from pipeline.web.rate_limits import RateLimit
from tests.web.conftest import API_KEY, APPLICATION_TOKEN, PORTAL, TOKEN, WEBHOOK
from tests.web.test_live import numbered, post, serving

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


document = schemathesis.openapi.from_dict(described())


@pytest.fixture
def address(make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A running server that has a job, and limits nobody here."""
    monkeypatch.setattr(RateLimit, "wait", lambda self, address, amount=1.0: 0.0)
    with serving(make_settings(portal_application_token=APPLICATION_TOKEN, bitrix24_webhook=WEBHOOK)) as port:
        assert post(port, numbered(1)).status == 202
        yield f"http://127.0.0.1:{port}"


@document.parametrize()
@hypothesis.settings(
    max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(hypothesis.HealthCheck)
)
def test_every_operation_answers_as_described(case: schemathesis.Case, address: str) -> None:
    """No fault of ours, and no status, type or shape of an answer that the document does not name."""
    known = {"token": TOKEN, "id": job_id("portal", "n1")}  # what no document can tell: secrets and names
    case.path_parameters |= {name: known[name] for name in known.keys() & case.path_parameters.keys()}
    if isinstance(case.body, dict) and "callbackUrl" in case.body:
        case.body["callbackUrl"] = case.body["errorCallbackUrl"] = f"{PORTAL}/cb?hash=n1"
    key = {"X-Api-Key": API_KEY}
    case.call_and_validate(base_url=address, checks=CHECKS, headers=key, timeout=10)


def test_what_generated_clients_need() -> None:
    """Each operation has a name of its own, each answer of JSON a shape, and an upload is a file."""
    names = [
        operation["operationId"]
        for path in described()["paths"].values()
        for method, operation in path.items()
        if method != "parameters"
    ]
    assert len(names) == len(set(names)) >= 18
    assert described()["components"]["schemas"]["UploadedCall"]["properties"]["file"]["format"] == "binary"

"""A worker, or the api, dies at every durable write and external effect, once each."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from pipeline.telemetry import failpoints
from tests.faults.harness import Service

MEDIA = ("claim.after", "step.before_finish", "step.after_finish")
UPSTREAM = (
    "claim.after", "blob.after", "paid.before", "paid.answered", "paid.kept", "step.before_finish",
    "step.after_finish", "callback.before", "callback.after", "timeline.before", "timeline.after",
)  # fmt: skip


def armed(part: str) -> str:
    """Every failpoint, each waiting for its latch; latches have names of their own per kind of part."""
    kind = part.rstrip("0123456789")
    return ",".join(f"{name}=kill@../latches/{kind}-{name}" for name in failpoints.NAMES)


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """A service whose processes die when the test makes a latch."""
    with Service(frees=True) as running:
        running.start(upstream=2, failpoints=armed)
        yield running


def test_every_failpoint_has_its_test() -> None:
    """None was added without a fault here."""
    assert {*MEDIA, *UPSTREAM, "accept.after"} == set(failpoints.NAMES)


@pytest.mark.parametrize("name", MEDIA)
def test_a_media_process_dies(service: Service, name: str) -> None:
    """Its step is done by another, and nothing is left of it."""
    latch = service.latch(f"media-{name}")
    latch.touch()
    service.call()
    service.until(lambda: not latch.exists(), 20, f"{name} is hit")
    service.settle()
    service.check()


@pytest.mark.parametrize("name", UPSTREAM)
def test_an_upstream_worker_dies(service: Service, name: str) -> None:
    """The outcome is taken once, the entry stands once, and only a call in flight is paid again."""
    repaid, doubled = service.repaid(), sum(len(job.callbacks) - 1 for job in service.jobs)
    latch = service.latch(f"upstream-{name}")
    latch.touch()
    if name.startswith("timeline"):  # one job alone, since a worker's death takes all of its steps with it
        service.file()
    else:
        service.call()
    service.until(lambda: not latch.exists(), 20, f"{name} is hit")
    service.settle()
    service.check(
        repaid=repaid + (name == "paid.answered"),
        repeated=doubled + 2 * (name == "callback.after"),
    )


def test_the_api_dies_between_the_write_and_its_answer(service: Service) -> None:
    """The portal sends its request again, and both are one job."""
    latch = service.latch("api-accept.after")
    latch.touch()
    lost = service.call()
    assert lost.answer == {**(lost.answer or {}), "status": None}
    service.until(lambda: _serves(service), 20, "the api is back")
    again = service.sandbox.send("", hash=lost.hash)
    assert again.accepted
    service.jobs.append(service.refused.pop())
    service.settle()
    assert len(again.callbacks) == 1


def _serves(service: Service) -> bool:
    try:
        return httpx.get(f"{service.api_url}/ready", trust_env=False, timeout=1).status_code == 200
    except httpx.HTTPError:
        return False


def test_nothing_is_left_running_or_told(service: Service) -> None:
    """After all of that: no lease, no file, no secret in a log, and every process leaves with 0."""
    service.settle()
    assert not service.files()
    assert not service.told()
    assert [service.leave(name) for name in ("media", "upstream", "upstream1", "api")] == [0, 0, 0, 0]

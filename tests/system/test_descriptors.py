"""A table of open files that is full, in each process of a running service: a call is late, never lost."""

from __future__ import annotations

import resource
import signal
import threading
from collections.abc import Iterator

import pytest

from tests.system.processes import Portal, Service, sandbox, short_folder, until

FULL_SECONDS = 3.0


@pytest.fixture(scope="module")
def portal() -> Iterator[Portal]:
    with sandbox() as running:
        yield running


@pytest.fixture(scope="module")
def service(portal: Portal) -> Iterator[Service]:
    with short_folder() as folder, Service(folder, portal) as running:
        until(lambda: len(running.parts()["decoders"]) == 2)
        until(lambda: 'callscribe_processes{role="upstream"} 1.0' in running.http.get("/metrics").text)
        yield running
        running.http.close()
        assert running.up.end(signal.SIGTERM) == 0


@pytest.mark.parametrize("part", ["upstream", "pool", "decoders", "media", "store", "api"])
def test_no_call_is_lost_while_no_file_can_be_opened(portal: Portal, service: Service, part: str) -> None:
    """Nothing can be opened for some seconds; then the call is finished, by one outcome and one entry."""
    portal.forget()
    limits = {pid: resource.prlimit(pid, resource.RLIMIT_NOFILE) for pid in service.parts()[part]}
    assert limits
    for pid, (_, hard) in limits.items():
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, hard))

    def restore() -> None:
        for pid, limit in limits.items():
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limit)

    again = threading.Timer(FULL_SECONDS, restore)
    again.start()
    try:
        token, words = portal.call(service.engines, service.folder)
        again.join()
    finally:
        again.cancel()
        restore()
    job = portal.outcome(token, tell=service.report)
    assert job["outcome"] == "success", service.report()
    assert words in job["result"][0]
    assert [callback["kind"] for callback in portal.job(token)["callbacks"]] == ["success"]
    until(lambda: service.job()["timeline"]["state"] == "written", tell=service.report)
    assert len(portal.asked("/v1/audio/transcriptions")) == 1

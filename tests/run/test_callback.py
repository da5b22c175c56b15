"""The outcome reaches the portal, whatever it and the workers do meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.domain.job import Category, Delivery, Job, JobId, Request, Source
from pipeline.sandbox.app import Sandbox
from pipeline.settings import portals
from pipeline.steps import outcome_steps, retry
from pipeline.steps.retry import MOST_LOST
from pipeline.steps.tools import Tools
from tests.installation import Open, accept, run

TAKEN = {"status": "success"}
REFUSED = {"status": "error"}


@pytest.fixture
def tools(opened: Open) -> Tools:
    return opened()


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The schedule in hundredths."""
    monkeypatch.setattr(retry, "CALLBACK_GAPS", (0.0, 0.02, 0.05, 0.15, 0.3, 0.6))
    monkeypatch.setattr(outcome_steps, "STANDS_SECONDS", 0.3)


def answered(tools: Tools, sandbox: Sandbox, *, ttl: float = 60.0) -> JobId:
    """A job whose answer only has to be sent."""
    request = Request(prompt="x", callback_url=f"{sandbox.base_url}/hook")
    return accept(tools, request, category=Category.TEXT, ttl=ttl, reply={"text": "the answer"})


def sent(tools: Tools, job: JobId) -> tuple[Job, list[Delivery]]:
    (done,) = run(tools, job, until=lambda job: "callback" in job.facts)
    return done, tools.store.deliveries(job)


@pytest.mark.parametrize("loss", [{"reset": "after"}, {"status": 504}])
def test_a_portal_that_is_not_well_after_a_lost_answer_is_asked_until_it_is(
    tools: Tools, sandbox: Sandbox, loss: dict[str, object]
) -> None:
    """Two refusals are no proof that the first attempt was taken."""
    sandbox.script.add(path="/hook", times=1, **loss)
    sandbox.script.add(path="/hook", times=2, status=200, body=REFUSED)
    sandbox.script.add(path="/hook", times=None, status=200, body=TAKEN)
    done, deliveries = sent(tools, answered(tools, sandbox))
    assert done.status == "done"
    assert [delivery.accepted for delivery in deliveries] == [False, False, False, True]


def test_what_is_refused_for_long_after_a_lost_answer_stands(tools: Tools, sandbox: Sandbox) -> None:
    """The first outcome consumed the portal's job: it finds none any more, and says so for ever."""
    sandbox.script.add(path="/hook", times=1, reset="after")
    sandbox.script.add(path="/hook", times=None, status=200, body=REFUSED)
    done, deliveries = sent(tools, answered(tools, sandbox))
    assert done.status == "done"
    refused = [delivery.at for delivery in deliveries[1:]]
    assert refused[-1] - refused[0] >= 0.25


def test_what_was_never_lost_and_is_refused_does_not_stand(
    tools: Tools, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    """Refusals alone are no delivery, to the last, and the operator is told."""
    sandbox.script.add(path="/hook", times=None, status=200, body=REFUSED)
    done, deliveries = sent(tools, answered(tools, sandbox, ttl=4.5))
    assert done.status == "failed"
    assert len(deliveries) >= 3
    assert not any(delivery.accepted for delivery in deliveries)
    said = capsys.readouterr()
    assert "outcome_not_delivered" in said.out + said.err


def test_a_portal_that_hangs_does_not_hold_the_last_try_up(
    tools: Tools, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silent but for the end, it has its outcome by the last try, three seconds before the deadline."""
    monkeypatch.setattr(outcome_steps, "CALLBACK_SECONDS", 3.0)
    sandbox.script.add(path="/hook", times=2, delay_seconds=20.0, status=200, body=TAKEN)
    sandbox.script.add(path="/hook", times=None, status=200, body=TAKEN)
    job = answered(tools, sandbox, ttl=8.0)
    done, deliveries = sent(tools, job)
    assert done.status == "done"
    assert deliveries[-1].accepted
    assert deliveries[-1].at == pytest.approx(done.deadline - 3.0, abs=1.0)


FAILURE = {"slug": "expired", "code": 500, "message": "no", "step": "reply", "mend": ""}


@pytest.mark.parametrize(
    ("source", "error_url", "heard"),
    [(Source.ENGINE, None, []), (Source.ENGINE, "/error", ["/error"]), (Source.API, None, ["/hook"])],
)
def test_an_error_has_its_own_channel(
    source: Source, error_url: str | None, heard: list[str], tools: Tools, sandbox: Sandbox
) -> None:
    """Where a portal names none, nothing is posted that it would take for a text; clients of /v1 hear it."""
    sandbox.script.add(path="/hook", times=None, status=200, body=TAKEN)
    sandbox.script.add(path="/error", times=None, status=200, body=TAKEN)
    request = Request(
        prompt="x",
        callback_url=f"{sandbox.base_url}/hook",
        error_callback_url=f"{sandbox.base_url}{error_url}" if error_url else None,
    )
    done, _ = sent(tools, accept(tools, request, source, category=Category.TEXT, failure=FAILURE))
    assert done.status == "failed"
    assert [entry["path"] for entry in sandbox.ledger.entries] == heard


def test_an_outcome_outlives_its_workers(tools: Tools, sandbox: Sandbox) -> None:
    """It is sent though as many workers died over it as end any other step."""
    sandbox.script.add(path="/hook", times=None, status=200, body=TAKEN)
    job = answered(tools, sandbox)
    for number in range(MOST_LOST):
        assert tools.store.claim("upstream", f"n{number}:", lease_seconds=30)
        tools.store.release(f"n{number}:", crashed=True)
    done, _ = sent(tools, job)
    assert done.status == "done"


def test_a_portal_that_is_not_known_for_a_moment_loses_nothing(
    opened: Open, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was added, and this process has not read the file again; or it was taken out, and comes back."""
    file = tmp_path / "portals.toml"

    def entry(name: str) -> str:
        return f'[{name}]\nurl = "{sandbox.base_url}"\ntokens = ["{name * 5}"]\n'

    file.write_text(entry("other"))
    tools = opened(portals_file=file, portal_url=None, portal_token=None)
    monkeypatch.setattr(portals, "LOOK_SECONDS", float("inf"))
    file.write_text(entry("other") + entry("portal"))
    sandbox.script.add(path="/hook", times=None, status=200, body=TAKEN)
    request = Request(prompt="x", callback_url=f"{sandbox.base_url}/hook")
    job = accept(tools, request, category=Category.TEXT, reply={"text": "the answer"})
    run(tools, job, until=lambda job: job.attempts_at("callback").begun >= 1)
    assert not tools.store.deliveries(job)
    monkeypatch.setattr(portals, "LOOK_SECONDS", 0.0)
    done, _ = sent(tools, job)
    assert done.status == "done"

"""`callscribe replay`: recorded engine requests once more, and whether they end as they should."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import httpx

from pipeline.cli import CannotStart, WorkFailed, drawing, parts
from pipeline.cli.rehearsal import LOOK_SECONDS, rehearse
from pipeline.cli.sandbox import child as sandbox_child
from pipeline.cli.service import await_answer
from pipeline.cli.supervise import Supervisor
from pipeline.cli.terminal import echo, echo_lines
from pipeline.clients.wire import tls_context, tls_hint
from pipeline.domain.errors import BadRequest
from pipeline.domain.kinds import kind_of
from pipeline.sandbox.fixtures import REQUESTS, names
from pipeline.store import job_id


@dataclass(kw_only=True)
class Run:
    """One request on its way; `job` is the portal's view, `record` ours, where it can be asked for."""

    fixture: str
    hash: str
    sent: float
    job: Mapping[str, Any]
    record: Mapping[str, Any] = field(default_factory=dict)


@dataclass(kw_only=True)
class Desk:
    """Where requests come from and go to. api: ours, for stage times; None when it cannot be asked."""

    sandbox: httpx.Client
    engines_url: str
    api: httpx.Client | None
    portal: str
    supervisor: Supervisor

    def look(self) -> None:
        self.supervisor.tend()
        time.sleep(LOOK_SECONDS)


def _beginning(ctx: click.Context, param: click.Parameter, typed: str) -> list[str]:
    return [name for name in names() if name.startswith(typed)]


@click.command()
@click.argument("fixtures", nargs=-1, metavar="[FIXTURE]...", shell_complete=_beginning)
@click.option("--to", "to_url", help="Engine URL without its category: https://host/engines/TOKEN.")
@click.option("--listen", default="127.0.0.1:8100", show_default=True, help="With --to: the portal's place.")
@click.option("--portal", default="portal", show_default=True, help="With --to: our id of the portal.")
@click.option("--repeat", default=1, show_default=True, type=click.IntRange(1))
@click.option("--concurrency", default=2, show_default=True, type=click.IntRange(1))
@click.option("--patience", default=120.0, show_default=True, help="Seconds to wait for one outcome.")
def replay(
    fixtures: Sequence[str],
    to_url: str | None,
    listen: str,
    portal: str,
    repeat: int,
    concurrency: int,
    patience: float,
) -> None:
    """Sends engine requests of fixtures/requests, by name or path; none: all of them.

    Without --to the whole service is started for it. With --to a sandbox portal is, here, and the service
    there has to trust it (CALLSCRIBE_TRUSTED_HOSTS); CALLSCRIBE_API_KEY brings stage times. Exit 1 when an
    outcome differs from the fixture's expectation.
    """
    known = [read(fixture) for fixture in fixtures or names()]
    with ExitStack() as stack:
        desk = _there(stack, to_url, listen, portal) if to_url else _here(stack)
        runs = list(send_all(desk, known * repeat, concurrency=concurrency, patience=patience))
    rows = []
    for run in runs:
        differs = differences(run)
        took = (run.job["finished_at"] or time.time()) - run.sent
        verdict = "; ".join(differs) if differs else "as expected"
        rows.append([run.fixture, outcome(run), drawing.duration(took), stage_times(run.record), verdict])
    echo_lines(drawing.table(["fixture", "outcome", "time", "stages", "verdict"], rows))
    if wrong := sum(row[-1] != "as expected" for row in rows):
        raise WorkFailed(f"{wrong} of {len(rows)} ended otherwise than expected")


def read(fixture: str) -> dict[str, Any]:
    """A fixture by its name in fixtures/requests, or by its path; raises BadRequest."""
    is_path = fixture.endswith(".json") or "/" in fixture
    path = Path(fixture) if is_path else REQUESTS / f"{fixture}.json"
    if not is_path and not path.is_file():
        raise BadRequest(f"{fixture}: no such fixture; there are {', '.join(names())}")
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadRequest(f"{fixture}: {error.strerror}") from None
    except ValueError:
        raise BadRequest(f"{fixture} is not JSON") from None
    if not isinstance(plain, dict) or not {"category", "body"} <= set(plain):
        raise BadRequest(f"{fixture} is no engine request: it has no category, or no body")
    return {"name": path.stem, **plain}


def send_all(
    desk: Desk, fixtures: Sequence[Mapping[str, Any]], *, concurrency: int, patience: float
) -> Iterator[Run]:
    """Sends all, at most `concurrency` under way, and yields each when it has ended or was given up."""
    waiting, active = list(fixtures), list[Run]()
    while waiting or active:
        while waiting and len(active) < concurrency:
            active.append(_send(desk, waiting.pop(0)))
        desk.look()
        for run in list(active):
            run.job = desk.sandbox.get(f"/_jobs/{run.hash}").json()
            refused = not run.job["accepted"]
            if refused or run.job["outcome"] or time.time() - run.sent > patience:
                active.remove(run)
                run.record = _record(desk, run)
                echo(f"{run.fixture}: {outcome(run)}", err=True)
                yield run


def _send(desk: Desk, fixture: Mapping[str, Any]) -> Run:
    to = f"{desk.engines_url}/{fixture['category']}"
    begun = time.time()
    answer = desk.sandbox.post("/_send", json={"fixture": dict(fixture), "to": to})
    if answer.status_code != 200:
        raise WorkFailed(f"the sandbox does not send {fixture['name']}: {answer.text}")
    job = answer.json()
    return Run(fixture=str(fixture["name"]), hash=job["hash"], sent=begun, job=job)


def _record(desk: Desk, run: Run) -> Mapping[str, Any]:
    if desk.api is None:
        return {}
    end = time.monotonic() + 10.0  # what the portal has taken may not be written down yet
    while True:
        try:
            answer = desk.api.get(f"/v1/jobs/{job_id(desk.portal, run.hash)}")
        except httpx.HTTPError:
            return {}
        record: dict[str, Any] = answer.json() if answer.status_code == 200 else {}
        if not record or record["status"] in ("done", "failed") or time.monotonic() > end:
            return record
        desk.look()


def outcome(run: Run) -> str:
    """What the portal got, in a word or two."""
    if not run.job["accepted"]:
        return f"not accepted ({run.job['answer']['status'] or 'no answer'})"
    if run.job["outcome"] == "error":
        return f"error {run.job['error']['code']}"
    return run.job["outcome"] or "nothing yet"


def differences(run: Run) -> list[str]:
    """In what the outcome differs from the fixture's expectation."""
    expect, job, record = run.job.get("expect") or {}, run.job, run.record
    found = []
    if wanted := expect.get("outcome"):
        got = job["outcome"] if job["accepted"] else "refused"
        if got != wanted:
            said = job["error"]["message"] if job["error"] else ""
            if not job["accepted"]:
                said = str(job["answer"].get("body") or "")[:300]
            return [f"expected {wanted}, got {got}" + (f": {said}" if said else "")]
    if "code" in expect and (job["error"] or {}).get("code") != expect["code"]:
        found.append(f"expected code {expect['code']}")
    said = " ".join(job["result"] or []).lower()
    if missing := [words for words in expect.get("words", []) if words.lower() not in said]:
        found.append(f"not heard: {', '.join(missing)}")
    media, lead = record.get("media") or {}, record.get("lead") or {}
    if media and "seconds" in expect and abs((media["seconds"] or 0) - expect["seconds"]) > 0.1:
        found.append(f"expected {expect['seconds']} s of audio, got {media['seconds']}")
    if media and "codec" in expect and media["codec"] != expect["codec"]:
        found.append(f"expected {expect['codec']}, got {media['codec']}")
    if record and "lead_quality" in expect and lead.get("quality") != expect["lead_quality"]:
        found.append(f"expected a {expect['lead_quality']} lead, got {lead.get('quality')}")
    return found


def stage_times(record: Mapping[str, Any]) -> str:
    """Seconds by stage, in order; a stage's several steps are added up."""
    times: dict[str, float] = {}
    for event in record.get("events", []):
        if event["took"] is not None:
            times[kind_of(event["step"])] = times.get(kind_of(event["step"]), 0.0) + event["took"]
    return " ".join(f"{name} {seconds:.2f}" for name, seconds in times.items()) or "-"


def _here(stack: ExitStack) -> Desk:
    whole = stack.enter_context(rehearse())
    return Desk(
        sandbox=whole.sandbox,
        engines_url=whole.engines_url,
        api=whole.api,
        portal="portal",
        supervisor=whole.supervisor,
    )


def _there(stack: ExitStack, to_url: str, listen: str, portal: str) -> Desk:
    url, (host, _, port) = httpx.URL(to_url.rstrip("/")), listen.rpartition(":")
    if not url.host or "/engines/" not in url.path or not port.isdigit():
        raise click.UsageError("expected --to https://host/engines/TOKEN and --listen HOST:PORT")
    key, ca_file = os.environ.get("CALLSCRIBE_API_KEY"), os.environ.get("CALLSCRIBE_CA_FILE")
    tls = tls_context(Path(ca_file) if ca_file else None)
    listener = stack.enter_context(closing(parts.listen(host or "127.0.0.1", int(port))))
    # the sandbox speaks to that one address alone, by the authority that is named for it
    env = os.environ | ({"SSL_CERT_FILE": ca_file} if ca_file else {})
    supervisor = Supervisor([sandbox_child(listener)], env=env, say=lambda line: echo(line, err=True))
    stack.callback(supervisor.kill)
    supervisor.start()
    sandbox = stack.enter_context(
        httpx.Client(base_url=parts.address_of(listener), timeout=70, trust_env=False)
    )
    await_answer(supervisor, parts.address_of(listener), "/")
    api = None
    if key:
        base = url.copy_with(path=url.path.partition("/engines/")[0])
        headers = {"authorization": f"Bearer {key}"}
        api = stack.enter_context(
            httpx.Client(base_url=base, headers=headers, timeout=10, trust_env=False, verify=tls)
        )
    try:
        answer = httpx.get(f"{url}/audio", timeout=10, trust_env=False, verify=tls)
    except httpx.HTTPError as error:
        failed = CannotStart(f"{url.host} does not answer: {str(error) or type(error).__name__}")
        failed.hint = tls_hint(error) or "Check the address, and that the service there is up."
        raise failed from None
    if answer.status_code != 200:
        echo(f"the engine URL answers {answer.status_code} to GET: is its token right?", err=True)
    return Desk(sandbox=sandbox, engines_url=str(url), api=api, portal=portal, supervisor=supervisor)

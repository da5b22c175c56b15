"""`callscribe demo`: calls through the whole service, on real parts, without configuration."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from pipeline.cli import WorkFailed, drawing
from pipeline.cli.recogniser import Name, chosen, local
from pipeline.cli.rehearsal import Rehearsal, rehearse
from pipeline.cli.terminal import echo, echo_lines
from pipeline.run.views import JobView

PATIENCE_SECONDS = 180.0
MODEL = "base"
ENOUGH_WORDS = 0.6  # of those that are said; digits for number words, and a small model, take their share
ENDED = ("done", "failed")
WRITTEN = ("written", "unlinked", "failed", "off")


@dataclass(frozen=True, kw_only=True)
class Call:
    """A request of fixtures/requests that the demo sends."""

    fixture: str
    about: str


ENGLISH = Call(fixture="sales-call", about="stereo, manager left, client right, no extension")
RUSSIAN = Call(fixture="russian-call", about="Russian, stereo mp3 of a telephone system")


@click.command()
@click.option("--keep", is_flag=True, help="Leave it running until Ctrl-C, and say where to look.")
@click.option("--recogniser", type=click.Choice(["whisper", "pocketsphinx"]),
              help="What hears; else Whisper where it is installed.")  # fmt: skip
def demo(keep: bool, recogniser: Name | None) -> None:
    """Starts everything, sends calls as Bitrix24 would, and shows what becomes of them."""
    begun = time.monotonic()
    name = chosen(recogniser, model=MODEL, say=echo)
    calls = [ENGLISH, RUSSIAN] if name == "whisper" else [ENGLISH]
    if name != "whisper":
        echo("The Russian call is left out.")
    with contextlib.ExitStack() as stack:
        hears = stack.enter_context(local(name, model=MODEL)) if name == "whisper" else None
        beside = f", and Whisper ({MODEL})" if hears else ""
        _title(f"Starting the store, the api, two workers, a sandbox of portal and AI router{beside}")
        whole = stack.enter_context(
            rehearse(say=lambda line: echo(f"  {line}"), hears=hears, rubric="default")
        )
        echo(f"  ready at {whole.api_url} after {time.monotonic() - begun:.1f} s")
        _title("The portal registers our engines")
        for category in whole.register():
            echo(f"  ai.engine.register {category}: its GET of our address answered 200")
        known: list[str] = []
        for call in calls:
            known.append(shown(whole, call, known))
        echo()
        echo(f"All of it in {time.monotonic() - begun:.1f} s.")
        if keep:
            _keep(whole, known)


def shown(whole: Rehearsal, call: Call, before: Sequence[str]) -> str:
    """Sends the call and shows what comes of it; the job's id. before: known ones. Raises WorkFailed."""
    _title(f"The portal sends a call ({call.fixture}: {call.about})")
    sent = whole.send(call.fixture)
    answer = sent["answer"]
    echo(f"  answered {answer['status']} {answer['body']} in {answer['seconds'] * 1000:.0f} ms")
    if not sent["accepted"]:
        raise WorkFailed("the request was not accepted")
    job = follow(whole, before)
    portal = whole.sandbox.get(f"/_jobs/{sent['hash']}").json()
    entries = [
        entry for entry in whole.sandbox.get("/_state").json()["timeline"]
        if job["id"] in str(entry["text"])
    ]  # fmt: skip
    report(job, portal, entries)
    if problems := unmet(job, portal, entries):
        raise WorkFailed("; ".join(problems) + f"\n{whole.last_words()}")
    key: str = job["id"]
    return key


def follow(whole: Rehearsal, before: Sequence[str]) -> dict[str, Any]:
    """Shows the steps of the newest job as they happen; the job at its end. Raises WorkFailed."""
    end, told, job_id = time.monotonic() + PATIENCE_SECONDS, 0, ""
    _title("What happens to it")
    while time.monotonic() < end:
        whole.look()
        if not job_id:
            listed = whole.api.get("/v1/jobs", params={"limit": 1}).json()["jobs"]
            if not listed or listed[0]["id"] in before:
                continue
            job_id = listed[0]["id"]
        answer = whole.api.get(f"/v1/jobs/{job_id}")
        if answer.status_code != 200:
            continue
        job: dict[str, Any] = answer.json()
        for event in job["events"][told:]:
            took = f"  {drawing.duration(event['took'])}" if event["took"] is not None else ""
            why = f"  {event['why']}" if event.get("why") else ""
            echo(f"  {event['at'][11:23]}  {event['step']:<14} {event['what']}{took}{why}")
        told = len(job["events"])
        if job["status"] in ENDED and (job["error"] or job["timeline"]["state"] in WRITTEN):
            return job
    raise WorkFailed(f"the job did not end in {PATIENCE_SECONDS:.0f} s\n{whole.last_words()}")


def report(job: Mapping[str, Any], portal: Mapping[str, Any], entries: list[Mapping[str, Any]]) -> None:
    """The transcript by speaker, the score, the callback as the portal received it, the timeline entry."""
    _title("The transcript")
    if transcript := JobView.model_validate(job).transcript:
        for line in drawing.turns(transcript):
            echo(f"  {line}")
    _title("The lead")
    if lead := job["lead"]:
        echo(f"  {lead['quality']} ({lead['score']}/100): {lead['reason']}")
    _title("What the portal received at its callback URL")
    for callback in portal["callbacks"]:
        body = json.dumps(callback["body"], ensure_ascii=False, indent=2)
        echo_lines(f"  {line}" for line in body.splitlines())
        echo(f"  the portal answered {json.dumps(callback['reply'])}")
    _title("The timeline of the deal")
    for entry in entries:
        echo(f"  {entry['title']}")
        echo_lines(f"  | {line}" for line in str(entry["text"]).splitlines())
    echo(f"  state: {job['timeline']['state']}")


def unmet(job: Mapping[str, Any], portal: Mapping[str, Any], entries: list[Mapping[str, Any]]) -> list[str]:
    """What the demo promises and the run did not keep."""
    problems = []
    if job["error"]:
        problems.append(f"the job failed: {job['error']['message']}")
    if portal["outcome"] != "success" or len(portal["callbacks"]) != 1:
        problems.append(f"the portal received {len(portal['callbacks'])} callbacks, none or not one success")
    speakers = {segment["speaker"] for segment in (job["transcript"] or {}).get("segments", [])}
    if speakers != {"manager", "client"}:
        problems.append("the transcript does not tell manager and client apart")
    said = _words((portal.get("expect") or {}).get("said", ""))
    missing = said - _words((job["transcript"] or {}).get("text") or "")
    if len(missing) > (1 - ENOUGH_WORDS) * len(said):
        problems.append(f"not heard: {', '.join(sorted(missing))}")
    if not job["lead"]:
        problems.append("there is no lead score")
    if len(entries) != 1:
        problems.append(f"the timeline has {len(entries)} entries instead of one")
    return problems


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower().replace("ё", "е")))


def _keep(whole: Rehearsal, jobs: Sequence[str]) -> None:
    echo()
    echo(f"Still running: {whole.api_url}/ (the key: {whole.api_key})")
    echo(f"The sandbox: {whole.sandbox.base_url}; Ctrl-C ends everything.")
    for job in jobs:
        echo(f"The call: {whole.api_url}/calls/{job}", bold=True)
    try:
        while True:
            whole.look()
    except KeyboardInterrupt:
        echo()
        echo("Ending.")


def _title(text: str) -> None:
    echo()
    echo(text, bold=True)

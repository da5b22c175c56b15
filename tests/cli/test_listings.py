"""What every listing has in common: JSON on request, nothing made by a look, outputs that end early."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli import attached
from pipeline.cli.jobs import Wanted
from pipeline.domain.job import (
    Category,
    Entity,
    Failure,
    Job,
    JobId,
    PortalId,
    Request,
    Source,
    Step,
    Timeline,
)
from pipeline.domain.lead import Lead
from pipeline.domain.plain import to_plain
from pipeline.run.views import JobRow, job_row
from pipeline.settings.installation import load
from pipeline.steps import flow
from pipeline.store import Store, fields_of, job_id
from tests.cli.conftest import Run

LISTINGS = (
    ["jobs", "list"],
    ["usage"],
    ["portals"],
    ["portals", "list"],
    ["config"],
    ["config", "--explain"],
)
BARE = {name: value for name, value in os.environ.items() if not name.startswith("CALLSCRIBE_")}


@pytest.mark.parametrize("listing", LISTINGS, ids=" ".join)
def test_a_listing_is_one_json_document_on_request(run: Run, listing: list[str]) -> None:
    """With --json stdout is an object with one list in it, also where the list is empty."""
    done = run(*listing, "--json")
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert [value for value in document.values() if isinstance(value, list)]


@pytest.mark.parametrize(
    "command", [*LISTINGS, ["doctor"], ["jobs", "show", "job_x"], ["calls", "list"]], ids=" ".join
)
def test_a_look_into_a_foreign_folder_makes_nothing(run: Run, command: list[str]) -> None:
    """Who looks in the wrong folder leaves no file there."""
    run(*command)
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize(
    "command",
    [["jobs", "list"], ["usage"], ["doctor"], ["jobs", "show", "job_x"], ["calls", "list"]],
    ids=" ".join,
)
def test_a_look_into_a_foreign_folder_says_where_it_looked(run: Run, command: list[str]) -> None:
    """The DATA_DIR is named in full, and so is its setting."""
    done = run(*command)
    assert f"{Path.cwd().resolve()}/var (CALLSCRIBE_DATA_DIR)" in done.out + done.err


def put(store: Store, name: str, facts: dict[str, Any], **fields: str) -> JobId:
    """A job with facts and fields, as workers would have left it."""
    now = store.now()
    made = Job(
        id=job_id("portal", name),
        portal=PortalId("portal"),
        category=Category.AUDIO,
        source=Source.ENGINE,
        accepted_at=now,
        deadline=now + 14_400,
        request=Request(file_url="https://acme.example/r"),
        facts=to_plain(facts),
    )
    status = flow.advance(made, now).status
    store.accept(made, (), fields_of(made) | {"status": status} | fields, 10)
    return made.id


@pytest.fixture
def kept(run: Run) -> dict[str, JobId]:
    """A store with a scored call, one without its deal, one that is held, and one that failed."""
    Path("var/store").mkdir(parents=True, mode=0o700)
    delivered = {"callback": {"accepted": True, "asked": True}}
    scored = {"classify": {"lead": Lead(quality="high", score=88, reason="r")}} | delivered
    weak = {"classify": {"lead": Lead(quality="low", score=12, reason="r")}} | delivered
    written = Timeline(state="written", entity=Entity(type="deal", id=7))
    failure = Failure(
        slug="not_audio", code=415, message="no", step=Step("sniff"), hint="`callscribe jobs retry ID`"
    )
    with attached.opened_store(load()) as store:
        return {
            "scored": put(store, "scored", scored | {"timeline": written}),
            "unlinked": put(store, "unlinked", weak | {"link": Timeline(state="unlinked", why="none")}),
            "held": put(store, "held", {}, held_since="1900000000"),
            "failed": put(store, "failed", {"failure": failure} | delivered),
        }


@pytest.mark.parametrize(
    ("args", "names"),
    [
        ([], {"scored", "unlinked", "held", "failed"}),
        (["--reason", "not_audio"], {"failed"}),
        (["--quality", "high"], {"scored"}),
        (["--least", "12"], {"scored", "unlinked"}),
        (["--least", "13"], {"scored"}),
        (["--most", "87"], {"unlinked"}),
        (["--deal", "7"], {"scored"}),
        (["--deal", "deal:7"], {"scored"}),
        (["--deal", "lead:7"], set()),
        (["--held"], {"held"}),
        (["--lacks", "deal"], {"unlinked"}),
        (["--category", "text"], set()),
        (["--portal", "other"], set()),
        (["--status", "failed"], {"failed"}),
    ],
)  # fmt: skip
def test_jobs_are_found_by_reason_score_deal_and_held_state(
    run: Run, kept: dict[str, JobId], args: list[str], names: set[str]
) -> None:
    """Each filter leaves those jobs that are so, as JSON and as a table alike."""
    wanted = {kept[name] for name in names}
    assert {row["id"] for row in json.loads(run("jobs", "list", "--json", *args).out)["jobs"]} == wanted
    assert {line.split()[0] for line in run("jobs", "list", *args).out.splitlines()[1:]} == wanted


def test_a_list_tells_reason_score_deal_and_held_state(run: Run, kept: dict[str, JobId]) -> None:
    """What is to be filtered by stands in the table, and in the JSON as /v1/jobs has it."""
    lines = {line.split()[0]: " ".join(line.split()[4:]) for line in run("jobs", "list").out.splitlines()}
    assert lines[kept["scored"]] == "done high 88 deal 7"
    assert lines[kept["unlinked"]] == "done, no deal low 12 -"
    assert lines[kept["held"]].startswith("accepted, held since 2030-03-17T")
    assert lines[kept["failed"]] == "failed, not_audio - -"
    rows = json.loads(run("jobs", "list", "--json").out)["jobs"]
    assert {frozenset(row) for row in rows} == {frozenset(JobRow.model_fields)}


def test_a_mend_is_to_be_typed_as_it_stands(run: Run, kept: dict[str, JobId]) -> None:
    """The job's own id stands in the command that a mend names."""
    assert f"`callscribe jobs retry {kept['failed']}`" in run("jobs", "show", kept["failed"]).out


def test_a_list_filters_as_it_shows() -> None:
    """A job that cannot be read is listed by what is known of it, and breaks no filter."""
    row = job_row((JobId("job_x"), 1.0, {"category": "video", "status": "failed"}))
    assert Wanted(status="failed")(row)
    assert not Wanted(least=0)(row)


@pytest.mark.parametrize("listing", [["jobs", "list"], ["--help"]], ids=" ".join)
def test_an_output_that_is_full_is_told(short_path: Path, listing: list[str]) -> None:
    """On /dev/full it is one sentence and exit 1, without a traceback."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "pipeline", *listing],
            cwd=short_path, env=BARE, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60,
        )  # fmt: skip
    assert done.returncode == 1
    assert "callscribe: No space left on device" in done.stderr.splitlines()
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize("listing", [["config", "--all"], ["--help"], ["nope"]], ids=" ".join)
def test_a_reader_that_has_left_is_no_error_to_tell(short_path: Path, listing: list[str]) -> None:
    """Into a pipe that nobody reads, stdout or both, nothing is said, and nothing crashes."""
    read, write = os.pipe()
    os.close(read)
    both = listing == ["nope"]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pipeline", *listing],
            cwd=short_path, env=BARE, stdout=write, stderr=write if both else subprocess.PIPE, text=True,
            timeout=60,
        )  # fmt: skip
    finally:
        os.close(write)
    assert done.returncode == (2 if both else 1)
    assert both or "rror" not in done.stderr


def test_closed_outputs_are_no_crash(short_path: Path) -> None:
    """Started with stdout and stderr closed, a command does its work."""
    command = f"{sys.executable} -m pipeline config >&- 2>&-"
    assert subprocess.run(command, shell=True, cwd=short_path, env=BARE, timeout=60).returncode == 0


@pytest.mark.parametrize(
    ("settings", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True)]
)
def test_colours_are_for_terminals_and_can_be_switched_off(
    short_path: Path, settings: dict[str, str], coloured: bool
) -> None:
    """On a terminal `doctor` colours its marks, unless NO_COLOR is set to something."""
    ours, theirs = pty.openpty()
    env = {name: value for name, value in BARE.items() if name != "NO_COLOR"} | settings
    subprocess.run(
        [sys.executable, "-m", "pipeline", "doctor"],
        cwd=short_path, env=env, stdout=theirs, stderr=subprocess.DEVNULL, timeout=60,
    )  # fmt: skip
    os.close(theirs)
    said = b""
    try:
        while part := os.read(ours, 65536):
            said += part
    except OSError:  # the terminal's other end is closed
        pass
    os.close(ours)
    assert b"media libraries" in said
    assert (b"\x1b[" in said) is coloured


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not here")
@pytest.mark.parametrize(
    ("typed", "offered"),
    [("jo", "jobs"), ("jobs ret", "retry"), ("jobs list --he", "--held"), ("replay sales", "sales-call")],
)
def test_bash_completes_commands_options_and_fixtures(short_path: Path, typed: str, offered: str) -> None:
    """What `_CALLSCRIBE_COMPLETE=bash_source callscribe` prints makes bash offer what may follow."""
    folder = short_path / "bin"
    folder.mkdir()
    program = folder / "callscribe"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m pipeline "$@"\n')
    program.chmod(0o755)
    words = ["callscribe", *typed.split()]
    script = (
        'eval "$(_CALLSCRIBE_COMPLETE=bash_source callscribe)" || exit 9; '
        f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; "
        "_callscribe_completion callscribe; printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    env = BARE | {"PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        ["bash", "-c", script], cwd=short_path, env=env, capture_output=True, text=True, timeout=60
    )
    assert offered in done.stdout.split(), done.stderr

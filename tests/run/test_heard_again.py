"""What a recogniser leaves out, or makes of the hint, is asked for once more by itself, and paid once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.domain.job import Job, Request, Source
from pipeline.sandbox.app import Sandbox
from pipeline.steps import flow
from pipeline.steps.tools import Tools
from tests.audio.signals import Said, placed, write
from tests.installation import Open, accept, run
from tests.transport.listener import Listener

FIRST = "hello this is about the telephone system that we spoke of last week on the phone"
REST = "and we would like to have it before the end of the month if that is possible please"
HINT = "Vector, Kilometrika, PaySphere, Northwind"


@pytest.fixture
def tools(opened: Open) -> Tools:
    return opened(
        transcription_model="first-model", transcription_fallbacks="other-model", glossary=HINT,
        link_patience_seconds=0,
    )  # fmt: skip


def answer(text: str, start: float, end: float, **given: Any) -> dict[str, Any]:
    segment = {"id": 0, "start": start, "end": end, "text": text, **given}
    return {"text": text, "language": "english", "segments": [segment]}


@pytest.fixture
def heard(tools: Tools, sandbox: Sandbox, tmp_path: Path) -> Any:
    """Runs a mono recording of 20 s of speech up to its transcript, the recogniser answering so."""
    words = [Said(31 * number % 900 + 7, 0.2 + 0.55 * number) for number in range(36)]
    sound = write(tmp_path / "a", placed(8000, 20, words), rate=8000).read_bytes()
    server = Listener(lambda c, _: c.answer(sound))

    def work(*answers: dict[str, Any]) -> tuple[Job, list[dict[str, Any]]]:
        sandbox.script.clear()
        for each in answers:
            sandbox.script.add(path="*/transcriptions", body=each, times=1)
        sandbox.script.add(path="*/transcriptions", body={"text": "", "segments": []}, times=None)
        job = accept(tools, Request(file_url=f"{server.url}/a", language="en"), source=Source.API)
        (done,) = run(tools, job, until=lambda job: "merge" in job.facts or "failure" in job.facts)
        return done, [entry["fields"] for entry in sandbox.ledger.find("*/transcriptions")]

    yield work
    server.close()


def told(done: Job) -> Any:
    found = flow.transcript(done)
    assert found is not None, flow.failure(done)
    return found


def test_the_end_that_was_left_out(heard: Any) -> None:
    """Half of a recording without words is asked for by itself, of the other model, and takes its place."""
    done, asked = heard(answer(FIRST, 0.2, 10.0), answer(REST, 0.3, 9.0))
    transcript = told(done)
    assert transcript.text == f"{FIRST} {REST}"
    assert transcript.segments[-1].start == pytest.approx(11.0, abs=1.0)
    assert not transcript.empty_spans
    assert [fields["model"] for fields in asked] == ["first-model", "other-model"]
    assert "prompt" in asked[0]
    assert not {"prompt", "language"} & set(asked[1])  # another language may be why


def test_what_has_no_words_twice_is_empty(heard: Any) -> None:
    """It is asked for once more and no more; the transcript says where words are missing."""
    done, asked = heard(answer(FIRST, 0.2, 10.0))
    transcript = told(done)
    assert len(asked) == 2
    (empty,) = transcript.empty_spans
    assert (empty.start, empty.end) == pytest.approx((11.0, 20.0), abs=0.6)
    assert transcript.quality == "fair"


def test_all_that_was_said_is_asked_for_once(heard: Any) -> None:
    """An answer that covers all speech is taken as it is."""
    done, asked = heard(answer(f"{FIRST} {REST}", 0.2, 19.8))
    assert told(done).quality == "good"
    assert len(asked) == 1


@pytest.mark.parametrize(
    "text",
    [
        HINT,
        "Vector. Kilometrika. PaySphere. Northwind.",
        "Vectors, Kilometrika, PaySpheres and Northwind",
        "Northwind.",
        "Vector, Kilometrika, PaySphere, Northwind, Vector, Kilometrika",
    ],
)
def test_a_hint_that_comes_back(heard: Any, text: str) -> None:
    """An answer made of the hint's words is asked for once more without the hint, and that one counts."""
    done, asked = heard(answer(text, 0.2, 19.8), answer(f"{FIRST} {REST}", 0.2, 19.8))
    assert told(done).text == f"{FIRST} {REST}"
    assert ["prompt" in fields for fields in asked] == [True, False]


def test_words_of_the_hint_that_were_said(heard: Any) -> None:
    """What a recogniser hears without any hint is what was said, be it words of the glossary."""
    said = "Vector, Kilometrika and PaySphere"
    done, asked = heard(answer(said, 0.2, 19.8), answer(said, 0.2, 19.8))
    assert told(done).text == said
    assert len(asked) == 2
    done, asked = heard(answer(f"{FIRST} Vector {REST}", 0.2, 19.8))
    assert "Vector" in told(done).text

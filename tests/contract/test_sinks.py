"""What outsiders say is plain text wherever it ends, and no writer goes round the function of its sink."""

from __future__ import annotations

import ast
import io
import json
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from pipeline.bitrix24.attach import attach
from pipeline.bitrix24.timeline import Entry, timeline
from pipeline.cli.terminal import echo
from pipeline.contract.sinks import to_cell, to_terminal
from pipeline.contract.subtitles import FORMATS, export
from pipeline.domain.job import (
    Category,
    Delivery,
    Entity,
    Event,
    Failure,
    Job,
    JobId,
    PortalId,
    Request,
    Source,
    Step,
)
from pipeline.domain.lead import Criterion, Lead
from pipeline.domain.plain import to_plain
from pipeline.domain.printable import printable, unmarked
from pipeline.domain.transcript import Segment, Transcript
from pipeline.run.views import job_view
from pipeline.steps.outcome_steps import body_of
from pipeline.telemetry.logs import configure

PIPELINE = Path(__file__).parents[2] / "pipeline"
# Default_Ignorable_Code_Point of DerivedCoreProperties.txt, but for those that their category tells
IGNORABLE = [
    0x34F, *range(0x115F, 0x1161), *range(0x17B4, 0x17B6), *range(0x180B, 0x1810), *range(0x2060, 0x2070),
    0x3164, *range(0xFE00, 0xFE10), 0xFFA0, *range(0xFFF0, 0xFFF9), *range(0xE0000, 0xE1000),
]  # fmt: skip
UNSEEN = {chr(number) for number in IGNORABLE} | {chr(plane << 16 | 0xFFFE) for plane in range(17)}
INVISIBLE = "".join(
    letter
    for letter in map(chr, range(0x110000))
    if (unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp") and letter != "\n") or letter in UNSEEN
)
POISON = (
    "we need [b]forty[/b] [USER=1]Boss[/USER] [URL=https://evil.example/a?b=1]here[/URL] [img]x[/img] @ivan "
    "<script src=//evil.example>1</script> &lt;b&gt; www.evil.example javascript:alert(1) data:text/html,x "
    "tel:+79990001122 http:evil.example "
    "\x1b]0;title\x07\x1b[31mred\x9b2J \u202eright\u202c \u2066iso\u2069 z\u200be\ufeffro\u00ad\ud800 end"
)
MARKUP = (
    "tel:",
    "http:",
    "[b]",
    "[/",
    "[u",
    "[i",
    "<",
    "://",
    "www.",
    "javascript:",
    "data:",
    "@ivan",
    "&lt;",
)
SEGMENTS = (
    Segment(start=0.0, end=2.0, speaker="manager", text=POISON),
    Segment(start=2.0, end=4.0, speaker="client", text="[Client] " + INVISIBLE),
)
TRANSCRIPT = Transcript(text=f"[Manager] {POISON}\n[Client] yes", language="en", segments=SEGMENTS)
LEAD = Lead(
    quality="high",
    score=90,
    reason=POISON,
    criteria=(Criterion(name="need", met=True, weight=1.0, quote=POISON, at=0.0, explanation=POISON),),
)
JOB = JobId("job_abcdefghijklmnopqrstuvwxyz")


def visible(text: str) -> bool:
    """Whether all of it can be seen: but for line breaks no control, format, half or ignorable letter."""
    return not set(text) & set(INVISIBLE)


def strings(value: Any) -> Iterator[str]:
    """All strings in it, those of JSON in a string included."""
    if isinstance(value, str):
        if value.startswith('{"'):
            yield from strings(json.loads(value))
        else:
            yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from strings(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from strings(each)


def check_plain(text: str) -> None:
    assert visible(text)
    assert not [mark for mark in MARKUP if mark in text.lower()], text
    assert "evil" not in text.replace("(link)", "")
    assert "forty" in text, "what is said stays"


def a_job(category: Category, **facts: Any) -> Job:
    return Job(
        id=JOB, portal=PortalId("acme"), category=category, source=Source.ENGINE, accepted_at=0.0,
        deadline=9.0, request=Request(), facts=facts,
    )  # fmt: skip


class Book:
    """A journal that keeps what would go to the CRM."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def write(
        self, entity: Entity, title: str, text: str, attachment: tuple[str, bytes] | None = None
    ) -> None:
        self.texts += [text, attachment[1].decode() if attachment else ""]

    def last_lines(self, entity: Entity) -> Iterator[str]:
        return iter(())


def test_an_entry_and_its_file_are_plain() -> None:
    """Whatever model and caller say, the timeline gets text without markup; so is the file beside it."""
    book = Book()
    timeline(
        Entity(type="deal", id=1), Entry(lead=LEAD, transcript=TRANSCRIPT, job=JOB, attach=True), writer=book
    )
    for text in book.texts:
        check_plain(text)
    assert book.texts[0].endswith(f"callscribe {JOB}")
    assert book.texts[1].startswith("[Manager] we need")


def test_the_telephony_gets_plain_text() -> None:
    """Each message of the call's own record is plain."""

    class Rest:
        def call(self, method: str, params: dict[str, Any]) -> None:
            self.messages = [message["MESSAGE"] for message in params["MESSAGES"]]

    rest = Rest()
    assert attach("call-1", TRANSCRIPT, rest=rest)  # type: ignore[arg-type]
    check_plain(rest.messages[0])
    assert all(map(visible, rest.messages))


@pytest.mark.parametrize("category", [Category.AUDIO, Category.CALL])
def test_callbacks_of_recordings_are_plain(category: Category, monkeypatch: pytest.MonkeyPatch) -> None:
    """Transcript and reason, also where they travel as JSON in a string; labels of speakers stay."""
    monkeypatch.setattr("pipeline.steps.flow.transcript", lambda job: TRANSCRIPT)
    monkeypatch.setattr("pipeline.steps.scores.lead", lambda job: LEAD)
    body = body_of(a_job(category), None)
    said = list(strings(body))
    assert all(map(visible, said))
    for text in said:
        if "forty" in text:
            check_plain(text)
    assert sum("forty" in text for text in said) == 2
    if category is Category.AUDIO:
        assert body["result"][0].startswith("[Manager] we need")


def test_other_callbacks_are_visible() -> None:
    """A text engine's answer keeps its markup, and nothing that cannot be seen; errors are plain."""
    reply = body_of(a_job(Category.TEXT, reply={"text": POISON}), None)["result"][0]
    assert visible(reply)
    assert "[b]forty[/b]" in reply
    asked = '{"summary": ["<b>"], "url": "https://acme.example"}'
    assert body_of(a_job(Category.TEXT, reply={"text": asked}), None)["result"] == [asked]
    failure = Failure(slug="x", code=400, message=POISON, step=Step("fetch"))
    check_plain(body_of(a_job(Category.AUDIO), failure)["message"])


def test_a_job_as_clients_read_it_is_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """`/v1` and `--json`: transcript, score, what happened, and what portals answered."""
    monkeypatch.setattr("pipeline.steps.flow.transcript", lambda job: TRANSCRIPT)
    monkeypatch.setattr("pipeline.steps.scores.lead", lambda job: LEAD)
    job = a_job(Category.AUDIO)
    event = Event(at=1.0, step=Step("fetch"), what="failed", why=POISON)
    delivery = Delivery(at=1.0, kind="success", status=200, answer=POISON, accepted=False)
    said = list(strings(job_view(job, [event], [delivery]).model_dump(mode="json")))
    assert all(map(visible, said))
    poisoned = [text for text in said if "forty" in text]
    assert len(poisoned) == 7
    for text in poisoned:
        check_plain(text)


@pytest.mark.parametrize("kind", FORMATS)
def test_exports_are_plain(kind: str) -> None:
    """Text, SubRip, WebVTT and JSON hold no markup but their own."""
    text = export(TRANSCRIPT, kind)
    own = text.replace("<v Manager>", "").replace("<v Client>", "").replace("-->", "")
    check_plain(own)


def test_a_log_and_a_terminal_are_visible() -> None:
    """No escape sequence of an outsider is written to a terminal, by commands or by the log."""
    assert visible(to_terminal(POISON))
    stream = io.StringIO()
    configure("text", stream=stream)
    try:
        structlog.get_logger().info("said", why=POISON, all={INVISIBLE: INVISIBLE})
    finally:
        configure()
    assert visible(stream.getvalue())
    assert "forty" in stream.getvalue()


def test_what_people_write_stays() -> None:
    """Letters of all scripts, emoji, lines and ordinary signs are no markup."""
    said = "[Manager] Цена: 5 000 ₽ (50 %), «да»; a@b.example, data: no\n[Client] 你好 🙂 #1 * _ ` [phone]"
    assert unmarked(said) == printable(said) == said
    assert printable("a\r\nb\tc\u2028d\u00a0e") == "a\nb c\nd e"
    assert unmarked(unmarked(POISON)) == unmarked(POISON)
    assert to_plain(INVISIBLE) == INVISIBLE
    assert printable(INVISIBLE).strip() == ""


def calls(name: str) -> list[tuple[str, ast.Call]]:
    """Calls of a function or method of this name in the package: the module and the call."""
    found = []
    for path in sorted(PIPELINE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = node.func
                if name == (called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")):
                    found.append((str(path.relative_to(PIPELINE)), node))
    return found


@pytest.mark.parametrize(
    "link",
    ["https://a.example", "//a.example", "WWW.a.example", "HTTP:a.example", "ftp:a", "mailto:a@b", "x+y://z",
     "javascript:alert", "java\u017fcript:alert", "SM\u017f:5", "callto:a", "Tel:+7", "data:a/b"],
)  # fmt: skip
def test_a_link_is_found_in_a_text_that_has_no_other_sign(link: str) -> None:
    """Whatever letters its scheme is written in."""
    assert unmarked(f"see {link} there") == "see (link) there"


@pytest.mark.parametrize("text", ["at 10:30", "a / b", "data: so many", "www. x", "and/or", "tel: ask him"])
def test_what_only_looks_like_a_link_stays(text: str) -> None:
    """Times, and words that a scheme is named by."""
    assert unmarked(text) == text


@pytest.mark.parametrize(
    ("name", "home", "is_it"),
    [
        ("write", "bitrix24/timeline.py", lambda call: "entity" in ast.unparse(call)),
        ("call", "bitrix24/attach.py", lambda call: "attachTranscription" in ast.unparse(call)),
        ("deliver", "steps/outcome_steps.py", lambda call: True),
        ("echo", "cli/terminal.py", lambda call: ast.unparse(call.func) == "click.echo"),
        ("secho", "", lambda call: True),
    ],
)
def test_no_writer_goes_round_its_sink(name: str, home: str, is_it: Callable[[ast.Call], bool]) -> None:
    """Entries, the telephony's record, callbacks and terminals are each written to in one place."""
    places = {module for module, call in calls(name) if is_it(call) and not module.startswith("sandbox/")}
    assert places == ({home} if home else set())


def test_each_sink_has_its_writers() -> None:
    """The functions of the sinks are used where those writers are."""
    used = {
        name: {module for module, _ in calls(name)}
        for name in ("to_crm", "to_callback", "to_file", "to_reader", "to_archive")
    }
    assert used["to_crm"] == {"bitrix24/timeline.py", "bitrix24/attach.py"}
    compare = {"steps/search.py", "steps/said.py"}  # what comes back with what was sent
    assert used["to_callback"] - compare == {"steps/outcome_steps.py", "contract/sinks.py"}
    assert used["to_reader"] == {"run/views.py", "web/console/twins.py", "cli/calls.py"}
    assert used["to_archive"] == {"steps/archived.py"}
    assert used["to_file"] == {"contract/subtitles.py"}


def test_a_cell_is_no_formula_wherever_spreadsheets_cut_it() -> None:
    """At its begin, behind a semicolon, where Russian Excel cuts, on a new line, and in wide letters."""
    for text in ("=1", " =1", "a;=1", "a; @b", "a\n+1", "\t-1", "＝1", "\u3164=1", "a;\ufe0f=1"):
        assert "'" in to_cell(text), text
    assert to_cell("-") == "'-"
    for kept in ("a = b", "3-4; 5", "a@b.ru", "x;y", 7, -7, 1.5):
        assert to_cell(kept) == str(kept)


def test_an_emoji_keeps_its_looks() -> None:
    """The selector that makes a heart a picture stays behind it; alone, or after letters, it goes."""
    assert printable("\u2764\ufe0f 1\ufe0f\u20e3 a\ufe0f\ufe0f") == "\u2764\ufe0f 1\ufe0f\u20e3 a"


def test_no_line_of_an_outsider_passes_for_one_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    """What a portal or a model says stays on the line that tells of it."""
    echo("FAIL  webhook: no\nok    webhook: answers\u2028ok    all\x85ok    yes")
    assert capsys.readouterr().out == "FAIL  webhook: no ok    webhook: answers ok    all ok    yes\n"

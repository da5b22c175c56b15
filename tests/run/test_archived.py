"""A record as a call of the archive. Pure."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.archive.calls import Gap
from pipeline.domain.job import About, Entity, Timeline
from pipeline.domain.lead import Lead
from pipeline.domain.plain import to_plain
from pipeline.domain.recording import Span
from pipeline.domain.transcript import Segment, Transcript
from pipeline.settings.installation import load
from pipeline.settings.portals import Portal, load_portals
from pipeline.settings.prices import Price
from pipeline.steps.archived import call_of
from tests.flow.test_flow import a_job, a_plan

TALK = ((Span(start=0, end=3),), (Span(start=4, end=5),))
SENT = {"accepted": True, "asked": True}
DEAL = Entity(type="deal", id=7)


def portal(**settings: Any) -> Portal:
    """A portal with these settings."""
    made = load(_env_file=None, portal_url="https://acme.example", portal_token="t" * 24, **settings)
    return next(iter(load_portals(made).values()))


def facts(**more: Any) -> dict[str, Any]:
    """A call of two channels, scored and written to its deal."""
    turns = (
        Segment(start=0, end=3, speaker="client", text="hi\x00 \u202eyou\ud800"),
        Segment(start=4, end=5, speaker="manager", text="hello"),
    )
    plan = to_plain(a_plan(1)) | {"channels": 2, "talk": to_plain(TALK)}
    return {
        "fetch": {}, "split": plan, "transcribe:0": {"text": "", "paid_seconds": 60.0, "model": "w"},
        "merge": {"transcript": Transcript(text="hi", language="en", segments=turns), "at": 1.0},
        "classify": {
            "lead": Lead(quality="low", score=3, reason="no"), "model": "c",
            "usage": {"prompt_tokens": 1_000_000, "completion_tokens": 5},
        },
        "callback": SENT, "link": Timeline(state="waiting", entity=DEAL),
        "timeline": Timeline(state="written", entity=DEAL),
        "about": About(entity=DEAL, title="Chairs", started_at=5.0, client="A\nB"),
        **more,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("channels", "talk", "speakers"),
    [
        ("manager,client", (3.0, 1.0), ("manager", "client")),
        ("client,manager", (1.0, 3.0), ("client", "manager")),
        ("", (3.0, 1.0), ()),
    ],
)
def test_the_managers_talk_stands_first(
    channels: str, talk: tuple[float, ...], speakers: tuple[str, ...]
) -> None:
    """Whichever channel is theirs; lanes are told by channel."""
    call = call_of(a_job(**facts()), portal(channels=channels), {})
    assert (call.talk, call.speakers) == (talk, speakers)


def test_what_was_used_is_priced_by_model() -> None:
    """Minutes of the recogniser, tokens of the chat model; nothing is said without prices."""
    prices = {"w": Price(minute=0.5), "c": Price(million_prompt_tokens=2)}
    assert call_of(a_job(**facts()), None, prices).cost == 2.5
    assert call_of(a_job(**facts()), None, {}).cost is None


def test_no_letter_that_a_database_or_page_chokes_on_is_archived() -> None:
    """Control characters, half letters and what turns text around stay out."""
    call = call_of(a_job(**facts()), portal(), {})
    assert call.segments[0].text == "hi you"
    assert call.started_at == 5.0
    assert (call.entity_title, call.entity_url) == ("Chairs", "https://acme.example/crm/deal/details/7/")


@pytest.mark.parametrize(
    ("more", "gaps"),
    [
        ({}, ()),
        ({"classify": {"lead": None, "why": "no answer"}, "timeline": Timeline(state="failed", why="no")},
         (Gap(kind="unscored", why="no answer"),)),
        ({"link": Timeline(state="unlinked", why="two equal calls"), "timeline": None},
         (Gap(kind="unlinked", why="two equal calls"),)),
        ({"timeline": Timeline(state="failed", why="denied")}, (Gap(kind="unwritten", why="denied"),)),
        ({"callback": {"accepted": False, "asked": True, "why": "500"}},
         (Gap(kind="undelivered", why="The portal did not take the outcome before its deadline: 500"),)),
    ],
)  # fmt: skip
def test_what_a_call_lacks_is_told_once(more: dict[str, Any], gaps: tuple[Gap, ...]) -> None:
    """And nothing that is only not settled yet."""
    some = {step: fact for step, fact in facts(**more).items() if fact is not None}
    assert call_of(a_job(**some), portal(), {}).gaps == gaps
    early = {step: some[step] for step in ("fetch", "merge", "split", "callback")}
    assert [gap.kind for gap in call_of(a_job(**early), portal(), {}).gaps if gap.kind != "undelivered"] == []

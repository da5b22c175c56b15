"""The score in words for people."""

from __future__ import annotations

from pipeline.domain.lead import Criterion, Lead
from pipeline.scoring.talk_facts import talk_facts
from pipeline.scoring.wording import PHRASES, lead_lines

from .calls import segment, transcript

LEAD = Lead(
    quality="high",
    score=80,
    reason="Ready to buy.",
    criteria=(
        Criterion(name="Budget", met=True, weight=1, quote="twelve thousand", at=75.2),
        Criterion(name="Time", met=False, weight=1, explanation="no date was named"),
    ),
)


def test_every_language_has_every_phrase() -> None:
    """A phrase that one language knows, all know."""
    assert len({frozenset(phrases) for phrases in PHRASES.values()}) == 1


def test_lines_for_the_timeline() -> None:
    """Reason, criteria with quote and time, and how the call went, each on its line."""
    facts = talk_facts(
        transcript(
            segment(0, 3, "manager", "a b c"),
            segment(2, 5, "client", "d e f"),
            segment(10, 12, "client", "g"),
        )
    )
    assert lead_lines(LEAD, "en", facts) == [
        "Ready to buy.",
        '+ Budget: yes - "twelve thousand" (01:15)',
        "- Time: no - no date was named",
        "Talk share: client 62%, manager 38%",
        "Silence: 00:05 (longest 00:05)",
        "Interruptions: client 1, manager 0",
    ]
    russian = lead_lines(LEAD, "ru", facts)
    assert "+ Budget: да - «twelve thousand» (01:15)" in russian
    assert "Доля речи: клиент 62%, менеджер 38%" in russian

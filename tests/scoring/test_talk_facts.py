"""Talk share, silence and interruptions come from the segments alone."""

from __future__ import annotations

import pytest

from pipeline.scoring.talk_facts import talk_facts

from .calls import segment, transcript


def test_shares_and_silences() -> None:
    """Shares are of all that was spoken; pauses of two seconds or more are silence, also at both ends."""
    facts = talk_facts(
        transcript(
            segment(3, 9, "manager", "one two three"),
            segment(10, 12, "client", "four five"),
            segment(17, 19, "manager", "six"),
        ),
        seconds=25,
    )
    assert facts is not None
    assert facts.seconds == 25
    assert (facts.silence_seconds, facts.longest_silence_seconds) == (3 + 5 + 6, 6)
    assert facts.talk_share == {"client": pytest.approx(0.2), "manager": pytest.approx(0.8)}
    assert not any(facts.interruptions.values())


def test_interruptions() -> None:
    """Cutting in with words counts once for the one who cuts in; agreeing and short overlaps do not."""
    facts = talk_facts(
        transcript(
            segment(0, 10, "manager", "a long explanation"),
            segment(2, 2.5, "client", "I see."),
            segment(8, 12, "client", "no wait a moment please"),
            segment(11, 13, "client", "I have a question"),
            segment(12.8, 15, "manager", "yes of course ask"),
        )
    )
    assert facts is not None
    assert facts.interruptions == {"client": 1, "manager": 0}


def test_nothing_is_claimed_where_nothing_is_known() -> None:
    """No segments, approximate order or no lengths: no facts; one voice: no shares."""
    assert talk_facts(transcript(text="words")) is None
    assert talk_facts(transcript(segment(0, 1, "client", "a"), order="approximate")) is None
    assert talk_facts(transcript(segment(1, 1, None, "a"))) is None
    mono = talk_facts(transcript(segment(0, 5, None, "a"), segment(9, 10, None, "b")))
    assert mono is not None
    assert (mono.talk_share, mono.interruptions, mono.silence_seconds) == ({}, {}, 4)

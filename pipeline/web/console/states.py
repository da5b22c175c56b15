"""How a call stands, in words, and what of it a role may see."""

from __future__ import annotations

from pipeline.archive.calls import Call, Gap
from pipeline.contract.redact import mask_phone
from pipeline.domain.labels import speaker_word
from pipeline.web.console.drawing import UNKNOWN
from pipeline.web.console.view import View
from pipeline.web.console.words import Words

_GAPS = {
    "failed": "failed: {why}",
    "undelivered": "not delivered: {why}",
    "unscored": "no score: {why}",
    "unlinked": "not linked: {why}",
    "unwritten": "not in the timeline: {why}",
    "partial": "partial: {why}",
}
_BARE = {
    "failed": "failed",
    "undelivered": "not delivered",
    "unscored": "no score",
    "unlinked": "not linked",
    "unwritten": "not in the timeline",
    "partial": "partial",
}


def gap_words(gap: Gap, words: Words) -> str:
    """What is lacking and why: "not linked: two equal calls"."""
    return words(_GAPS[gap.kind], why=words.why(gap.why)) if gap.why else words(_BARE[gap.kind])


def state_words(call: Call, words: Words) -> list[str]:
    """What a call lacks, in words; nothing where all is well."""
    said = [gap_words(gap, words) for gap in call.gaps]
    if call.state != "done" and not any(gap.kind in ("failed", "undelivered") for gap in call.gaps):
        said.insert(
            0, words(_GAPS[call.state], why=words.why(call.error)) if call.error else words(_BARE[call.state])
        )
    return said


def phone_for(view: View, call: Call) -> str | None:
    """The phone as this reader may see it; else its ends alone."""
    return call.phone if sees_phones(view) else mask_phone(call.phone)


def sees_phones(view: View) -> bool:
    """Whether this reader sees phones whole, and finds calls by them."""
    least = view.service.settings.phones_for
    return least != "nobody" and view.person is not None and view.person.may(least)


def talkers(call: Call, words: Words) -> tuple[str, ...]:
    """Whose seconds `talk` holds: the manager's and the client's, or each channel's."""
    who = {segment.speaker for segment in call.segments} | set(call.speakers)
    if {"manager", "client"} & who:
        return tuple(speaker_word(each, words.language) for each in ("manager", "client"))
    return tuple(speaker_word(who, words.language) for who in UNKNOWN[: len(call.talk)])

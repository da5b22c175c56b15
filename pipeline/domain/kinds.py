"""The table of step kinds: what a step is, for whatever runs, orders or shows it.

    intake -> fetch -> sniff -> split -> transcribe x n -> merge -> classify* -> callback
                                                              -> link* -> timeline* -> about*
                                                              -> keep*
                                                              -> archive*
    (sniff and split are done in one go; an event: resolve first; a piece heard badly: halve;
     a person's verdict: correct*; text: reply -> callback; image: draw -> callback)
    a refusal or failure up to merge (or in reply, draw) -> error callback; nothing by the reserve: expire

A starred step never costs the portal its transcript.
"""

from __future__ import annotations

from dataclasses import dataclass

MEDIA = "media"  # native code on untrusted bytes: processes
UPSTREAM = "upstream"  # what a portal waits for, while others' servers take their time: threads
BACKGROUND = "background"  # what nobody waits for: places of its own, so that it holds nothing up

QUEUES = (MEDIA, UPSTREAM, BACKGROUND)

# The lower, the sooner within a portal; then by deadline. What is below URGENT_BELOW may pass the portal's
# limit, and has the last free place of a worker kept for it.
A_PERSON_WAITS, OUTCOME, WORK, AFTERWARDS = range(4)
LAST = AFTERWARDS  # the far end of a long call, which must not keep short ones waiting
QUICK = OUTCOME  # decoding a recording that is not long: long ones never hold all of a worker's processes
URGENT_BELOW = WORK


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What a kind of step is.

    queue: whose workers run it. run: "module.function" in the room of steps. within: the kind of step that
    does it first, in one go; such a step is never due by itself. starred: its failure is
    recorded, retried and shown, and ends nothing. paid: it makes calls that cost money. hears: it takes the
    recording. doing: for people, what is being done while it is under way.
    """

    queue: str
    run: str = ""
    within: str = ""
    urgency: int = WORK
    starred: bool = False
    paid: bool = False
    hears: bool = False
    doing: str = ""


KINDS: dict[str, Kind] = {
    "resolve": Kind(queue=UPSTREAM, run="crm_steps.resolve", doing="waiting for the recording"),
    # upstream, since it waits for somebody else's host: two slow ones must not hold all decoding
    "fetch": Kind(queue=UPSTREAM, run="audio_steps.fetch", doing="downloading the recording"),
    "sniff": Kind(queue=MEDIA, within="split", urgency=QUICK, hears=True, doing="reading the recording"),
    "split": Kind(
        queue=MEDIA, run="audio_steps.split", urgency=QUICK, hears=True, doing="reading the recording"
    ),
    "halve": Kind(
        queue=MEDIA, run="audio_steps.halve", urgency=QUICK, hears=True, doing="cutting the recording"
    ),
    "transcribe": Kind(
        queue=UPSTREAM,
        run="provider_steps.transcribe",
        paid=True,
        hears=True,
        doing="waiting for the recogniser",
    ),
    "merge": Kind(queue=UPSTREAM, run="audio_steps.merge", doing="putting the transcript together"),
    "classify": Kind(
        queue=UPSTREAM, run="provider_steps.classify", paid=True, starred=True, doing="scoring the call"
    ),
    "reply": Kind(queue=UPSTREAM, run="text_steps.reply", paid=True, doing="waiting for the chat model"),
    "draw": Kind(queue=UPSTREAM, run="provider_steps.draw", paid=True, doing="waiting for the image model"),
    "callback": Kind(
        queue=UPSTREAM, run="outcome_steps.callback", urgency=OUTCOME, doing="sending the outcome"
    ),
    "expire": Kind(queue=UPSTREAM, run="outcome_steps.expire", urgency=OUTCOME, doing="running out of time"),
    # timeline is more urgent than link: an entry is seen by people, a look may find nothing
    "timeline": Kind(
        queue=BACKGROUND, run="crm_steps.timeline", starred=True, doing="writing to the timeline"
    ),
    "link": Kind(
        queue=BACKGROUND, run="crm_steps.link", urgency=AFTERWARDS, starred=True, doing="finding the deal"
    ),
    "about": Kind(
        queue=BACKGROUND, run="crm_steps.about", urgency=AFTERWARDS, starred=True, doing="asking who spoke"
    ),
    "correct": Kind(
        queue=BACKGROUND, run="crm_steps.correct", starred=True, doing="writing a correction to the timeline"
    ),
    "archive": Kind(
        queue=BACKGROUND, run="archive_steps.archive", urgency=AFTERWARDS, starred=True, doing="archiving it"
    ),
    "keep": Kind(
        queue=MEDIA, run="archive_steps.keep", urgency=AFTERWARDS, starred=True, doing="making a copy to hear"
    ),
}

# those that have urgent steps
URGENT_QUEUES = frozenset(kind.queue for kind in KINDS.values() if kind.urgency < URGENT_BELOW)


def kind_of(step: str) -> str:
    """ "transcribe:3" -> "transcribe"."""
    return step.partition(":")[0]

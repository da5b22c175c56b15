"""timeline: write the score where sales ops read it, once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.contract.redact import redact as redacted
from pipeline.contract.sinks import to_crm
from pipeline.domain.errors import BadAnswer, PortalRefused, ProviderRefused
from pipeline.domain.job import Entity, JobId, Timeline
from pipeline.domain.labels import band_word
from pipeline.domain.lead import Lead
from pipeline.domain.transcript import Transcript
from pipeline.scoring.talk_facts import talk_facts
from pipeline.scoring.wording import lead_lines

TITLES = {"en": "AI classification: {} ({}/100)", "ru": "AI-классификация: {} ({}/100)"}
BY_PERSON = {"en": "Call scored {} ({}/100) by {}", "ru": "Оценка звонка: {} ({}/100), {}"}
CORRECTED = {
    "en": ("AI classification corrected to {} ({}/100) by {}", "Before: {} ({}/100)."),
    "ru": ("AI-классификация исправлена: {} ({}/100), {}", "Было: {} ({}/100)."),
}
MAX_LETTERS = 6000  # of an entry


class Journal(Protocol):
    """Where entries are written and read back: VibeCode, LogMessages or Comments."""

    def write(
        self, entity: Entity, title: str, text: str, attachment: tuple[str, bytes] | None = None
    ) -> None:
        """Writes an entry."""

    def last_lines(self, entity: Entity) -> Iterator[str]:
        """The last line of each entry there."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What is written: a call's score, and how it is worded.

    language: ISO 639-1. seconds: length of the recording. redact: mask phones, cards and e-mails.
    attach: with the transcript as a file, where the writer takes files. person: who gave the score, None: the
    model.
    """

    lead: Lead
    person: str | None = None
    transcript: Transcript
    job: JobId
    language: str = "en"
    seconds: float | None = None
    redact: bool = False
    attach: bool = False


def timeline(
    entity: Entity,
    what: Entry,
    *,
    writer: Journal,
    readers: Sequence[Journal] = (),
    again: bool = False,
    activity_id: int | None = None,
) -> Timeline:
    """Writes the entry, or finds that it stands: "written"; "failed" when it never will, and `why`.

    again: an earlier write may have been served, so our job id is looked for first, by `writer` and
    `readers`; where none of them can read, nothing is written, since twice is worse than not. Leave half a
    minute to a write whose answer was lost.
    Raises errors that are transient: try again, with `again`.
    """

    title, text = worded(what)
    attachment = None
    if what.attach:
        whole = redacted(what.transcript.text) if what.redact else what.transcript.text
        attachment = (f"{what.job}.txt", to_crm(whole).encode())
    why = _once(entity, title, text, what.job, attachment, journals=(writer, *readers), again=again)
    return Timeline(state="failed" if why else "written", entity=entity, activity_id=activity_id, why=why)


@dataclass(frozen=True, kw_only=True)
class Correction:
    """What a person made of a score: before and after, who and why; number: the how manieth of the job."""

    before: Lead
    after: Lead
    who: str
    why: str
    job: JobId
    number: int
    language: str = "en"
    redact: bool = False


def correction(
    entity: Entity,
    what: Correction,
    *,
    writer: Journal,
    readers: Sequence[Journal] = (),
    again: bool = False,
) -> str | None:
    """Writes an entry of its own for a person's correction, once; why not, where it never will be.

    The parameters, and what it raises, are those of `timeline`.
    """
    heading, before = CORRECTED.get(what.language, CORRECTED["en"])
    band = band_word(what.after.quality, what.language)
    title = heading.format(band, what.after.score, _name(what.who))
    was = before.format(band_word(what.before.quality, what.language), what.before.score)
    why = " ".join(what.why.split())[:MAX_LETTERS]
    mark = f"{what.job} #{what.number}"
    text = f"{redacted(why) if what.redact else why}\n{was}\ncallscribe {mark}"
    return _once(entity, title, text.lstrip(), mark, journals=(writer, *readers), again=again)


def _name(who: str) -> str:
    return " ".join(who.split())[:100]


def _once(
    entity: Entity,
    title: str,
    text: str,
    mark: str,
    attachment: tuple[str, bytes] | None = None,
    *,
    journals: Sequence[Journal],
    again: bool,
) -> str | None:
    """Writes to the first of the journals, unless it stands; why it never will, else None."""
    if again:
        standing = find_entry(entity, mark, journals=journals)
        if standing is None:
            return "an earlier attempt may have written the entry, and entries cannot be read back"
        if standing:
            return None
    try:
        journals[0].write(entity, to_crm(title), to_crm(text), attachment)
    except (PortalRefused, ProviderRefused) as error:
        return error.message
    return None


def find_entry(entity: Entity, mark: str, *, journals: Sequence[Journal]) -> bool | None:
    """Whether our entry stands there, by the mark in its last line (our job id, and the number of a
    correction); None when no journal can be read.
    """
    readable = False
    for journal in journals:
        try:
            if any(mark in line for line in journal.last_lines(entity)):
                return True
            readable = True
        except (PortalRefused, ProviderRefused, BadAnswer):
            continue
    return False if readable else None


def worded(what: Entry) -> tuple[str, str]:
    """Title and text: the score; its reason, criteria with quotes, how the call went; our job id last."""
    facts = talk_facts(what.transcript, seconds=what.seconds)
    lines = lead_lines(what.lead, what.language, facts)  # the reason names what makes the transcript doubtful
    text = "\n".join(" ".join(line.split()) for line in lines if line.strip())
    if what.redact:
        text = redacted(text)
    if len(text) > MAX_LETTERS:
        text = text[: MAX_LETTERS - 1] + "…"
    titles = BY_PERSON if what.person else TITLES
    band, by = band_word(what.lead.quality, what.language), _name(what.person or "")
    title = titles.get(what.language, titles["en"]).format(band, what.lead.score, by)
    return title, f"{text}\ncallscribe {what.job}"

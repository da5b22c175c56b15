"""The score in words for people, in the portal's language (English where it is not spoken here)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pipeline.domain.labels import clock, speaker_word
from pipeline.domain.lead import Lead
from pipeline.domain.transcript import Speaker, Transcript
from pipeline.scoring.quotes import Place
from pipeline.scoring.talk_facts import TalkFacts

MOST_PLACES = 5
PHRASES = {
    "en": {
        "poor": "The transcript is of low quality: take the score with care.",
        "partial": "Parts of the recording are missing from the transcript.",
        "empty": "No words were recognised where somebody speaks at {}.",
        "unproven": "the words that should show it are not in the transcript",
        "about_scores": "the words that should show it speak of the score",
        "proves_another": "the same words show another criterion already",
        "spoke": "{who} spoke about the score: {quote}. Until a person has looked, it is medium at most.",
        "caller": "The caller",
        "shown": "Shown by the caller's words: {names}.",
        "none_shown": "No criterion is shown by what was said.",
        "rejected": "Named by the model, but not shown: {names}.",
        "met": "yes",
        "unmet": "no",
        "talk_share": "Talk share",
        "silence": "Silence",
        "longest": "longest",
        "interruptions": "Interruptions",
    },
    "ru": {
        "poor": "Качество расшифровки низкое: относитесь к оценке с осторожностью.",
        "partial": "В расшифровке не хватает частей записи.",
        "empty": "Там, где кто-то говорит, слова не распознаны: {}.",
        "unproven": "слов, которые это подтверждают, в расшифровке нет",
        "about_scores": "слова, которые должны это подтвердить, говорят об оценке",
        "proves_another": "те же слова уже подтверждают другой критерий",
        "spoke": "{who}: слова об оценке - {quote}. Пока человек не проверит, оценка не выше средней.",
        "caller": "Звонящий",
        "shown": "Подтверждено словами: {names}.",
        "none_shown": "Сказанное не подтверждает ни одного критерия.",
        "rejected": "Названо моделью, но не подтверждено: {names}.",
        "met": "да",
        "unmet": "нет",
        "talk_share": "Доля речи",
        "silence": "Молчание",
        "longest": "самое долгое",
        "interruptions": "Перебивания",
    },
}


def phrase(name: str, language: str) -> str:
    """One phrase of PHRASES."""
    return PHRASES.get(language, PHRASES["en"])[name]


def caveats(transcript: Transcript, language: str) -> list[str]:
    """Why the words of this transcript are to be doubted; empty when they are not."""
    doubts = []
    if transcript.quality == "poor":
        doubts.append(phrase("poor", language))
    if transcript.partial or transcript.missing:
        doubts.append(phrase("partial", language))
    if transcript.empty_spans:
        places = [f"{clock(span.start)}-{clock(span.end)}" for span in transcript.empty_spans]
        told = ", ".join(places[:MOST_PLACES]) + (" ..." if len(places) > MOST_PLACES else "")
        doubts.append(phrase("empty", language).format(told))
    return doubts


def spoke_about_the_score(said: str, place: Place, language: str) -> str:
    """That somebody on the phone spoke to whoever scores the call, with the words and where they are."""
    quote = f"«{said}»" if language == "ru" else f'"{said}"'
    if place.at is not None:
        quote += f" ({clock(place.at)})"
    who = speaker_word(place.speaker, language) if place.speaker else phrase("caller", language)
    return phrase("spoke", language).format(who=who, quote=quote)


def summary(shown: Sequence[str], rejected: Sequence[str], language: str) -> list[str]:
    """What of a model's verdict is left when some of its evidence was rejected, in sentences of our own."""
    first = (
        phrase("shown", language).format(names=", ".join(shown)) if shown else phrase("none_shown", language)
    )
    return [first, phrase("rejected", language).format(names=", ".join(rejected))]


def lead_lines(lead: Lead, language: str, facts: TalkFacts | None = None) -> list[str]:
    """The reason, each criterion with its quote and time, and how the call went: lines of plain text."""
    lines = [lead.reason]
    for criterion in lead.criteria:
        verdict = phrase("met" if criterion.met else "unmet", language)
        line = f"{'+' if criterion.met else '-'} {criterion.name}: {verdict}"
        if criterion.quote:
            line += f" - «{criterion.quote}»" if language == "ru" else f' - "{criterion.quote}"'
        if criterion.quote and criterion.at is not None:
            line += f" ({clock(criterion.at)})"
        elif criterion.explanation:
            line += f" - {criterion.explanation}"
        lines.append(line)
    return [*lines, *fact_lines(facts, language)] if facts else lines


def fact_lines(facts: TalkFacts, language: str) -> list[str]:
    """Talk share, silence and interruptions as lines of plain text; nothing where nothing is known."""
    lines = []
    if facts.talk_share:
        shares = ((who, f"{share:.0%}") for who, share in facts.talk_share.items())
        lines.append(f"{phrase('talk_share', language)}: {_listed(shares, language)}")
    if facts.silence_seconds:
        longest = f"{phrase('longest', language)} {clock(facts.longest_silence_seconds)}"
        lines.append(f"{phrase('silence', language)}: {clock(facts.silence_seconds)} ({longest})")
    if any(facts.interruptions.values()):
        counts = ((who, str(count)) for who, count in facts.interruptions.items())
        lines.append(f"{phrase('interruptions', language)}: {_listed(counts, language)}")
    return lines


def _listed(values: Iterable[tuple[Speaker, str]], language: str) -> str:
    return ", ".join(f"{speaker_word(who, language).lower()} {value}" for who, value in values)

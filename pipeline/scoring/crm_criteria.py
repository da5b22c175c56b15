"""Which criterion a model means: it numbers, shortens, reorders and rewords them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.domain.errors import BadAnswer
from pipeline.scoring.answers import truth

ALIKE = 0.5  # of the words of both
CLEARLY = 0.15  # more alike than the next
STEM = 5  # letters of a word that tell it, in languages with endings

_MARK = re.compile(r"^\s*(?:критерий|criterion|пункт|item|№|#)?\s*(\d{1,3})?\s*[.):\-–—]?\s*", re.IGNORECASE)
_NUMBERED = re.compile(r"^\s*(?:критерий|criterion|пункт|item|№|#)?\s*(\d{1,3})\s*(?:[.):]|$)", re.IGNORECASE)

Item = Mapping[str, Any]


def matched(criteria: Sequence[str], items: Sequence[Item]) -> list[Item | None]:
    """For each criterion the item that judges it, or None; what judges none of them is left out.

    By its words, its number, words that are much the same, else by its place, where there are as many items
    as criteria and no other one has moved. Raises BadAnswer where one criterion is judged in two ways.
    """
    found: list[list[int]] = [[] for _ in criteria]
    left: list[int] = []
    exact = {key: at for at, name in reversed(list(enumerate(criteria))) for key in (_key(name), _bare(name))}
    for number, item in enumerate(items):
        at = exact.get(_key(item["criterion"]), exact.get(_bare(item["criterion"])))
        if at is None:
            left.append(number)
        else:
            found[at].append(number)
    stems = [_stems(name) for name in criteria]
    first = 0 if any(str(item["number"]) == "0" for item in items) else 1
    for number in list(left):
        at = _told(items[number], first, len(criteria))
        if at is not None and not found[at] and _fits(items[number], at, stems):
            found[at].append(number)
            left.remove(number)
    _by_words(stems, items, found, left)
    if len(items) == len(criteria) and all(number == at for at, each in enumerate(found) for number in each):
        for number in left:
            if not found[number]:
                found[number].append(number)
    for name, numbers in zip(criteria, found, strict=True):
        if len({truth(items[number]["status"]) for number in numbers}) > 1:
            raise BadAnswer(f'"{name}" is judged twice, and not alike: each criterion once.')
    return [items[numbers[0]] if numbers else None for numbers in found]


def _by_words(
    stems: Sequence[set[str]], items: Sequence[Item], found: list[list[int]], left: list[int]
) -> None:
    """Pairs that are more alike than either is with any other one."""
    open_ones = [at for at, numbers in enumerate(found) if not numbers]
    for number in list(left):
        said = _stems(items[number]["criterion"])
        ranked = sorted(((_alike(said, stems[at]), -at) for at in open_ones if not found[at]), reverse=True)
        if ranked and ranked[0][0] >= ALIKE and (len(ranked) < 2 or ranked[0][0] - ranked[1][0] >= CLEARLY):
            found[-ranked[0][1]].append(number)
            left.remove(number)


def _told(item: Item, first: int, most: int) -> int | None:
    """The place that an item's number names, where they count from `first`."""
    number = item["number"]
    if number is None and (told := _NUMBERED.match(item["criterion"])):
        number = told[1]
    digits = re.sub(r"\D", "", str(number))[:4] if number is not None else ""
    return int(digits) - first if digits and first <= int(digits) < most + first else None


def _fits(item: Item, at: int, stems: Sequence[set[str]]) -> bool:
    """Whether the words of a numbered item do not speak for another criterion."""
    said = _stems(item["criterion"])
    own = _alike(said, stems[at])
    return not said or all(_alike(said, other) <= own for other in stems)


def _alike(one: set[str], other: set[str]) -> float:
    common = len(one & other)
    return common / min(len(one), len(other)) / 2 + common / len(one | other) / 2 if common else 0.0


def _stems(text: str) -> set[str]:
    words = re.findall(r"\w+", _bare(text)[:400])
    return {word[:STEM] for word in words if len(word) > 2 or word.isdecimal()}


def _key(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold().replace("ё", "е")))


def _bare(text: str) -> str:
    return _key(_MARK.sub("", text, count=1))

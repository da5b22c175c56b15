"""What is known of a portal's recent calls: one book that all calls which look for their deal share.

Each call's activity is listed once and its stored transcript read until there is one; of the transcript only
a digest is kept. A look is a few requests, and goes on where the one before has stopped.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline.bitrix24 import crm
from pipeline.bitrix24.rest import MAX_BATCH, Bitrix24, From, NoTurn, Params
from pipeline.domain.errors import BadAnswer, PortalRefused, Upstream

MOST_CALLS = 3000  # that are known and compared
MOST_REQUESTS = 4  # a look
PAGE, PAGES = 50, 4  # calls on a page of the REST; pages that one request asks for
AT_ONCE = 10  # calls that are listed and read in the same request: the newest
OVERLAP_SECONDS = 60.0  # activities do not become visible in the order of their ids
AHEAD_OF_NEED_SECONDS = 7200.0
HOT_SECONDS = 120.0  # a call as young as this is read at each look


def digest_of(text: str) -> str:
    """What makes two transcripts the same: their words, whatever white space is between them."""
    raw = hashlib.sha256(" ".join(text.split()).encode()).digest()
    return base64.urlsafe_b64encode(raw[:18]).decode()


@dataclass(frozen=True, kw_only=True)
class Known:
    """A call of the CRM. Moments are unix seconds: created_at by the portal's clock, read_at by ours."""

    id: int
    created_at: float | None = None
    has_file: bool = False  # a recording, whose size the portal may tell
    digest: str | None = None  # of its stored transcript; None while there is none
    read_at: float | None = None
    denied: str | None = None  # why its transcript may not be read

    def stale(self, now: float) -> bool:
        """Whether it is worth reading again: young calls at each look, others ever more seldom."""
        if self.read_at is None:
            return True
        age = self.read_at - (self.created_at if self.created_at is not None else self.read_at)
        return age < HOT_SECONDS or now - self.read_at > age / 2


class CallBook:
    """Calls by their activity's id, and how far they are known.

    since: all calls created from then on are listed (None: none are). gap: a stretch that is still to be
    listed, as (below this id, created from then on). looked_at: when it was brought up to date, or should
    have been. changed, dropped and outdated: ids, and digests, that a store has not been told of.
    """

    def __init__(
        self,
        calls: Iterable[Known] = (),
        *,
        since: float | None = None,
        gap: tuple[int, float] | None = None,
        looked_at: float | None = None,
    ) -> None:
        self.calls = {call.id: call for call in calls}
        self.since, self.gap, self.looked_at = since, gap, looked_at
        self.changed: set[int] = set()
        self.dropped: set[int] = set()
        self.outdated: set[str] = set()

    def between(self, since: float, until: float) -> list[Known]:
        """The calls created in that time, both ends included; one without a time counts."""
        return [c for c in self.calls.values() if c.created_at is None or since <= c.created_at <= until]

    def crowded(self, since: float) -> bool:
        """Whether there may be more calls since then than are known."""
        return len(self.calls) >= MOST_CALLS and (self.since is None or self.since > since)

    def lists(self, since: float) -> bool:
        """Whether every call since then is listed, or as many as there may be."""
        return self.gap is None and self.since is not None and (self.since <= since or self.crowded(since))

    def wanted(
        self,
        now: float,
        since: float,
        until: float,
        *,
        unread_since: float | None = None,
        changed_since: float | None = None,
        surely: bool = False,
    ) -> list[int]:
        """Whose transcripts are still to be read, of the calls of that time: first those that never were.

        unread_since: a call without a transcript counts as it stands since then. changed_since: one that
        has a transcript may have another since then; it is read again once it is stale, or `surely`.
        """

        def wants(call: Known) -> bool:
            if call.read_at is None:
                return True
            if call.read_at >= now:
                return False
            if call.digest is None:
                return call.stale(now) or (unread_since is not None and call.read_at < unread_since)
            may_differ = changed_since is not None and call.read_at < changed_since
            return may_differ and (surely or call.stale(now))

        wanted = [call for call in self.between(since, until) if wants(call)]
        wanted.sort(key=lambda call: (call.read_at or 0.0, -call.id))
        return [call.id for call in wanted]

    def put(self, call: Known) -> None:
        """Takes a call in, or what is new about it."""
        if (before := self.calls.get(call.id)) and before.digest and before.digest != call.digest:
            self.outdated.add(before.digest)
        self.calls[call.id] = call
        self.changed.add(call.id)

    def drop(self, identifier: int) -> None:
        """Forgets a call."""
        if call := self.calls.pop(identifier, None):
            self.changed.discard(identifier)
            self.dropped.add(identifier)
            if call.digest:
                self.outdated.add(call.digest)

    def _trim(self) -> None:
        for identifier in sorted(self.calls)[: max(len(self.calls) - MOST_CALLS, 0)]:
            created = self.calls[identifier].created_at
            if created is not None and self.since is not None:
                self.since = max(self.since, created)
            self.drop(identifier)


def look(
    book: CallBook,
    *,
    rest: Bitrix24,
    now: float,
    since: float,
    until: float,
    unread_since: float | None = None,
    changed_since: float | None = None,
    surely: bool = False,
) -> None:
    """Brings the book up to date, by MOST_REQUESTS at the most; the other parameters as of `CallBook.wanted`.

    Keeps what it has read when its turns run out; raises NoTurn when there was none, and PortalUnavailable,
    PortalRefused, BadAnswer for what the portal answers.
    """
    how = {"unread_since": unread_since, "changed_since": changed_since, "surely": surely}
    for number in range(MOST_REQUESTS):
        lists = list(_lists(book, since, newest=number == 0))
        room = MAX_BATCH - len(lists) - (AT_ONCE if lists else 0)
        wanted = book.wanted(now, since, until, **how)[:room]  # type: ignore[arg-type]
        if not lists and not wanted:
            return
        commands: list[tuple[str, Params]] = [command for _, command in lists]
        at_once = range(AT_ONCE if lists else 0)
        commands += [(crm.TRANSCRIPT, {"activityId": From(0, index, "ID")}) for index in at_once]
        commands += [(crm.TRANSCRIPT, {"activityId": identifier}) for identifier in wanted]
        before = book.looked_at
        book.looked_at = now  # whatever comes of it: a portal that is not well is not asked by each in turn
        try:
            answers = rest.batch(commands)
        except NoTurn:
            book.looked_at = before
            if number == 0:
                raise
            return
        listed = _take_lists(book, [kind for kind, _ in lists], answers[: len(lists)])[: len(at_once)]
        texts = answers[len(lists) :]
        _take_texts(book, listed, texts[: len(listed)], now)
        _take_texts(book, wanted, texts[len(at_once) :], now)


def _lists(book: CallBook, since: float, *, newest: bool) -> Iterator[tuple[str, tuple[str, Params]]]:
    """What is still to be listed: what is new, then what lies further back."""
    if newest and book.since is not None:
        made = [call.created_at for call in book.calls.values() if call.created_at is not None]
        mark = max(max(made, default=book.since) - OVERLAP_SECONDS, book.since)
        yield "newest", _list(mark)
    if book.gap is None and (book.since is None or book.since > since) and not book.crowded(since):
        reach = since - AHEAD_OF_NEED_SECONDS  # the next call was accepted a little earlier
        book.gap = (min(book.calls, default=0), reach)
    if book.gap is not None:
        below, reach = book.gap
        for page in range(PAGES):
            yield "gap", _list(reach, below=below, start=page * PAGE)


def _list(since: float, *, below: int = 0, start: int = 0) -> tuple[str, Params]:
    conditions: dict[str, Any] = {
        "TYPE_ID": crm.CALL_TYPE,
        "PROVIDER_ID": crm.CALL_PROVIDER,
        ">=CREATED": crm.iso(since),
    }
    if below:
        conditions["<ID"] = below
    return "crm.activity.list", {
        "filter": conditions, "order": {"ID": "DESC"}, "select": crm.SELECT, "start": start,
    }  # fmt: skip


def _take_lists(book: CallBook, kinds: Sequence[str], answers: Sequence[Any | Upstream]) -> list[int]:
    """Enters what was listed; the ids that the first list gave."""
    first: list[int] = []
    known, ended = set(book.calls), False
    for number, (kind, answer) in enumerate(zip(kinds, answers, strict=True)):
        if ended and kind == "gap":
            break  # it lies beyond the end
        if isinstance(answer, Upstream):
            raise answer
        if not isinstance(answer, list):
            raise BadAnswer("crm.activity.list: expected a list.")
        ids = []
        for item in answer:
            found = crm.read_activity(item)
            ids.append(found.id)
            if found.is_call:
                _enter(book, found)
        first = ids if number == 0 else first
        if kind == "newest":
            if len(ids) >= PAGE and ids[-1] not in known:
                reach = min(book.since or 0.0, book.gap[1] if book.gap else float("inf"))
                book.gap, ended = (ids[-1], reach), True  # more came than a page holds
        elif book.gap is not None:
            below, reach = book.gap
            book.gap = (min([*ids, *([below] if below else [])], default=0), reach)
            if len(ids) < PAGE or len(book.calls) >= MOST_CALLS:
                book.since, book.gap, ended = _reached(book, reach, len(ids) < PAGE), None, True
    book._trim()
    return first


def _reached(book: CallBook, reach: float, all_of_it: bool) -> float:
    if all_of_it:
        return reach
    return min((c.created_at for c in book.calls.values() if c.created_at is not None), default=reach)


def _enter(book: CallBook, found: crm.Activity) -> None:
    known = book.calls.get(found.id) or Known(id=found.id)
    entry = replace(known, created_at=found.created_at, has_file=bool(found.file_ids))
    if entry != book.calls.get(found.id):
        book.put(entry)


def _take_texts(book: CallBook, ids: Sequence[int], answers: Sequence[Any | Upstream], now: float) -> None:
    """Enters what was read. Raises what keeps a call from being read now, when all others are entered."""
    failed: Upstream | None = None
    for identifier, answer in zip(ids, answers, strict=True):
        call = book.calls.get(identifier)
        text = crm.transcript(answer)
        if call is None or (isinstance(text, NoTurn) and call.read_at is None):
            continue
        if isinstance(text, PortalRefused):
            book.put(replace(call, read_at=now, denied=text.message))
        elif isinstance(text, Upstream):
            failed = text
        else:
            book.put(replace(call, read_at=now, denied=None, digest=digest_of(text) if text else None))
    if failed is not None:
        raise failed


def read_known(plain: Mapping[str, Any], identifier: int) -> Known:
    """The inverse of `plain_known`."""
    return Known(
        id=identifier, created_at=plain.get("c"), has_file=bool(plain.get("f")), digest=plain.get("d"),
        read_at=plain.get("r"), denied=plain.get("x"),
    )  # fmt: skip


def plain_known(call: Known) -> dict[str, Any]:
    """As it is kept, in few letters: there are thousands."""
    plain = {
        "c": call.created_at, "f": int(call.has_file), "d": call.digest, "r": call.read_at,
        "x": call.denied,
    }  # fmt: skip
    return {key: value for key, value in plain.items() if value}

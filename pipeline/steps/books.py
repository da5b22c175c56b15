"""The book of a portal's calls in the store, where all workers share it."""

from __future__ import annotations

import json

from pipeline.bitrix24.callbook import CallBook, plain_known, read_known
from pipeline.bitrix24.link import pause_seconds
from pipeline.domain.job import PortalId
from pipeline.store import Store
from pipeline.store.records import dumps

SECONDS = 2 * 86_400  # it is made anew when nobody has looked for so long
HEAD = "head"  # how far it reaches
TEXT = "text:"  # and a digest: the calls of that transcript


def load(portal: PortalId, store: Store) -> CallBook:
    """As it stands; an empty one where there is none."""
    fields = store.known.read_shelf(_name(portal))
    head = json.loads(fields.pop(HEAD, "{}"))
    calls = [
        read_known(json.loads(text), int(name)) for name, text in fields.items() if not name.startswith(TEXT)
    ]
    gap = head.get("gap")
    return CallBook(
        calls, since=head.get("since"), gap=(gap[0], gap[1]) if gap else None, looked_at=head.get("at")
    )


def save(portal: PortalId, book: CallBook, store: Store, *, looked: bool) -> None:
    """What has changed of it. looked: by who was the only one to look, and knows how far it reaches."""
    changed = [book.calls[identifier] for identifier in book.changed]
    kept = {str(call.id): dumps(plain_known(call)) for call in changed}
    kept |= {TEXT + call.digest: "" for call in changed if call.digest}
    if looked:
        kept[HEAD] = dumps({"since": book.since, "gap": book.gap, "at": book.looked_at})
    gone = [str(identifier) for identifier in book.dropped]
    if book.outdated:
        held = {call.digest for call in book.calls.values()}
        gone += [TEXT + digest for digest in book.outdated - held]
    if kept or gone:
        store.known.write_shelf(_name(portal), kept, gone, seconds=SECONDS)


def is_worthwhile(portal: PortalId, digest: str, store: Store, *, now: float, waited: float) -> bool:
    """Whether the book is to be opened for a call that has waited so long: its text stands there, or might.

    Costs one small read, since hundreds of calls may wait.
    """
    fields = store.known.read_shelf(_name(portal), HEAD, TEXT + digest)
    if TEXT + digest in fields:
        return True
    looked_at = json.loads(fields.get(HEAD, "{}")).get("at")
    return looked_at is None or now - looked_at >= pause_seconds(waited)


def _name(portal: PortalId) -> str:
    return f"calls:{portal}"

"""What `callscribe doctor` says of the store at hand, also where none is served yet. It makes no folder."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.bitrix24.checks import Check
from pipeline.cli import attached
from pipeline.domain.errors import CallscribeError
from pipeline.health.stands import durability, processes, work
from pipeline.settings.installation import Settings
from pipeline.settings.portals import Portal


def store_checks(settings: Settings, portals: Sequence[Portal]) -> Iterator[Check]:
    """In the order of a call's way; none raises."""
    kind = "Redis" if settings.redis_url else "embedded store"
    runs = settings.redis_url is not None or attached.is_served(settings)
    try:
        with attached.opened_store(settings) as store:
            yield durability(kind, store, f" (at {attached.place(settings)})")
            yield processes(store) if runs else _not_running(settings)
            yield from work(store, portals)
    except attached.NoStore as error:
        yield _first_store(settings, kind, error)
        yield _not_running(settings)
    except CallscribeError as error:
        yield Check(name=kind, state="failed", says=error.message, hint=error.hint)


def _first_store(settings: Settings, kind: str, error: attached.NoStore) -> Check:
    """None is there yet: whether one could be is tried in a folder that goes again."""
    with tempfile.TemporaryDirectory(prefix="callscribe-", dir=attached.short_folder()) as folder:
        (Path(folder) / "store").mkdir()
        try:
            with attached.opened_store(settings.model_copy(update={"data_dir": Path(folder)})) as store:
                return durability(kind, store, f" (one was tried elsewhere: {error.message} yet)")
        except CallscribeError as failed:
            return Check(name=kind, state="failed", says=failed.message, hint=failed.hint)


def _not_running(settings: Settings) -> Check:
    hint = "Start it with `callscribe up`, in this folder."
    return Check(
        name="service", state="unknown", says=f"none runs on {settings.data_dir.resolve()}", hint=hint
    )

"""How a process knows that the store has gone back: to a replica that lagged, or to a copy of before.

The store counts up with each claim and each look (`cs:fence`), under a name of its own (`cs:epoch`). What a
process has seen of both is kept outside as well, in DATA_DIR. A number that is not above what was seen before
it was asked for was given twice.
"""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

NAME = "store.mark"


@dataclass(frozen=True, kw_only=True)
class Mark:
    """Which store, and how far it was."""

    epoch: str = ""
    number: int = 0


@dataclass
class Watermark:
    """The highest mark that this process has seen. Thread-safe."""

    mark: Mark = field(default_factory=Mark)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def expect(self, mark: Mark) -> None:
        """What was seen before this process began."""
        with self._lock:
            self.mark = mark

    def is_back(self, before: Mark, number: int, epoch: str = "") -> bool:
        """Whether an answer shows a store that has gone back. before: the mark when it was asked for."""
        with self._lock:
            other = bool(epoch and before.epoch and epoch != before.epoch)
            back = other or number <= before.number
            known = epoch or self.mark.epoch
            self.mark = Mark(epoch=known, number=number if back else max(self.mark.number, number))
            return back


def read_mark(data_dir: Path) -> Mark:
    """The mark that is kept in DATA_DIR; none where it cannot be read."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        plain = json.loads((data_dir / NAME).read_text(encoding="utf-8"))
        return Mark(epoch=str(plain["epoch"]), number=int(plain["number"]))
    return Mark()


def keep_mark(data_dir: Path, mark: Mark) -> None:
    """Keeps it there; a folder that cannot be written costs the outside memory alone."""
    with suppress(OSError):
        new = data_dir / f".{NAME}"
        new.write_text(json.dumps({"epoch": mark.epoch, "number": mark.number}), encoding="utf-8")
        new.replace(data_dir / NAME)

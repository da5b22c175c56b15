"""Sessions of browsers: who is signed in."""

from __future__ import annotations

from typing import cast

from pipeline.store.connect import Server, guarded


class Sessions:
    """Open for a time, or until they are ended; by a name that nobody can guess."""

    def __init__(self, server: Server) -> None:
        self._server = server

    @guarded
    def open(self, name: str, *, seconds: int, who: str = "") -> None:
        """Keeps a session for so long. who: as the person calls herself."""
        self._server.redis.set(f"cs:session:{name}", f"1{who}", ex=seconds)

    @guarded
    def who(self, name: str) -> str | None:
        """Who it is that has it open, "" for who gave no name; None: it is not open."""
        found = cast("str | None", self._server.redis.get(f"cs:session:{name}"))
        return found[1:] if found else None

    @guarded
    def end(self, name: str) -> None:
        """Ends it."""
        self._server.redis.delete(f"cs:session:{name}")

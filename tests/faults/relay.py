"""A TCP relay in front of the store's unix socket, to be cut, or to swallow all like a dead network."""

from __future__ import annotations

import select
import socket
import threading
from contextlib import suppress
from pathlib import Path


class Relay:
    """`url` leads to the store. `hole()`: bytes and new connections vanish without a word; `cut()`: all
    connections break; `heal()`: what was swallowed stays lost, new connections work."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._server = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.url = f"redis://127.0.0.1:{self._server.getsockname()[1]}"
        self._swallows = False
        self._pairs: list[tuple[socket.socket, socket.socket | None]] = []
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, name="relay", daemon=True).start()

    def hole(self) -> None:
        self._swallows = True

    def heal(self) -> None:
        """The network is back; connections of the time before are dead for good, as after a long cut."""
        self.cut()
        self._swallows = False

    def cut(self) -> None:
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                if end:
                    with suppress(OSError):
                        end.shutdown(socket.SHUT_RDWR)
                    end.close()

    def close(self) -> None:
        self._server.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            if self._swallows:
                with self._lock:
                    self._pairs.append((client, None))
                continue
            store = socket.socket(socket.AF_UNIX)
            try:
                store.connect(str(self._target))
            except OSError:
                client.close()
                store.close()
                continue
            with self._lock:
                self._pairs.append((client, store))
            threading.Thread(target=self._carry, args=(client, store), daemon=True).start()

    def _carry(self, client: socket.socket, store: socket.socket) -> None:
        try:
            while True:
                for end in select.select([client, store], [], [])[0]:
                    data = end.recv(1 << 16)
                    if not data:
                        raise OSError
                    if not self._swallows:
                        (store if end is client else client).sendall(data)
        except (OSError, ValueError):
            for end in (client, store):
                with suppress(OSError):
                    end.close()

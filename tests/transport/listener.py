"""A TCP server on a free loopback port whose every answer is scripted to the byte."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

TLS = Path(__file__).with_name("tls")  # an authority and a server (calls.example), for tests alone


class Connection:
    """One accepted connection; a script reads requests from it and sends what it likes."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = b""

    def request(self) -> bytes:
        """The next request, head and body; empty when the client is gone."""
        while b"\r\n\r\n" not in self._buffer:
            if not self._more():
                return b""
        head, _, rest = self._buffer.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        size = int(length[1]) if length else 0
        while len(rest) < size:
            if not self._more():
                return b""
            rest = self._buffer.partition(b"\r\n\r\n")[2]
        self._buffer = rest[size:]
        return head + b"\r\n\r\n" + rest[:size]

    def _more(self) -> bool:
        data = self._sock.recv(65536)
        self._buffer += data
        return bool(data)

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def answer(self, body: bytes = b"", *, status: int = 200, headers: str = "") -> None:
        self.send(f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body)

    def wait_closed(self) -> None:
        """Until the client hangs up."""
        while self._sock.recv(65536):
            pass


Script = Callable[[Connection, bytes], None]


class Listener:
    """Runs `script(connection, request)` for every request; remembers requests, connections and SNI names."""

    def __init__(self, script: Script, *, tls: bool = False, host: str = "127.0.0.1") -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.names: list[str | None] = []
        self._script = script
        self._socket = socket.create_server((host, 0))
        self.port: int = self._socket.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://{host}:{self.port}"
        self._tls = _server_tls(self.names) if tls else None
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._open: list[socket.socket] = []
        self._threads[0].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._socket.accept()
                self.connections += 1
                self._open.append(sock)
                thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.closing(sock):
            if self._tls:
                sock = self._tls.wrap_socket(sock, server_side=True)
                self._open.append(sock)
            connection = Connection(sock)
            with contextlib.closing(sock):
                while request := connection.request():
                    self.requests.append(request)
                    self._script(connection, request)

    def close(self) -> None:
        for sock in (self._socket, *self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self._threads:
            thread.join(5)


def _server_tls(names: list[str | None]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "server.pem")
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    return context

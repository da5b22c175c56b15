"""Run by test_network_guard.py inside network and mount namespaces: `python -m tests.prove.network`.

Forbidden addresses live here on the loopback device, with listeners on every one, and names are answered by a
name server of ours on port 53, so that a request that gets past the guard arrives somewhere and is noticed.
Nothing can leave the machine: no other device exists in here. Prints one JSON object of what was seen.
"""

from __future__ import annotations

import ctypes
import fcntl
import ipaddress
import json
import os
import socket
import ssl
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from pipeline.clients.deliver import deliver
from pipeline.clients.transport import Transport
from pipeline.domain.errors import CallscribeError
from tests.transport.listener import TLS

PUBLIC = "93.184.215.14"
MARK = "93.184.215.15"
ASSIGNED = [
    PUBLIC, MARK, "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "169.254.170.2",
    "100.64.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192", "192.0.2.1", "192.88.99.1", "198.18.0.1",
    "198.51.100.1", "203.0.113.1", "fd00:ec2::254", "fc00::1", "fec0::1", "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1", "2002:7f00:1::1",
    "2001::1", "2001:db8::1", "100::1",
]  # fmt: skip
REACHED_ANYWAY = [
    "127.0.0.1",
    "127.1.2.3",
    "0.0.0.0",
    "::1",
    "::",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
]
UNREACHABLE = ["224.0.0.1", "255.255.255.255", "240.0.0.1", "ff02::1", "::127.0.0.1"]
ODD = [
    "127.1",
    "0x7f.1",
    "2130706433",
    "0177.0.0.1",
    "017700000001",
    "0x7f000001",
    "0",
    "localhost",
    "localhost.",
]


class in6_ifreq(ctypes.Structure):
    _fields_ = (("address", ctypes.c_ubyte * 16), ("prefix", ctypes.c_uint32), ("index", ctypes.c_int))


def own_network() -> None:
    """Brings the loopback device up and gives it the addresses."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(
            sock, 0x8914, struct.pack("16sh14x", b"lo", 0x1 | 0x8 | 0x40)
        )  # SIOCSIFFLAGS: up, running
        for number, address in enumerate(ASSIGNED):
            if ":" not in address:
                request = struct.pack(
                    "16sHH4s8x", f"lo:{number}".encode(), socket.AF_INET, 0, socket.inet_aton(address)
                )
                fcntl.ioctl(sock, 0x8916, request)  # SIOCSIFADDR
    Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("0")
    Path("/proc/sys/net/ipv6/conf/lo/disable_ipv6").write_text("0")
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        for address in ASSIGNED:
            if ":" in address:
                packed = (ctypes.c_ubyte * 16)(*socket.inet_pton(socket.AF_INET6, address))
                fcntl.ioctl(sock, 0x8916, bytes(in6_ifreq(packed, 128, socket.if_nametoindex("lo"))))


def own_names() -> None:
    """Points the system's resolver to 127.0.0.1, for this mount namespace alone."""
    libc = ctypes.CDLL(None, use_errno=True)

    def mount(source: str, target: str, flags: int) -> None:
        if libc.mount(source.encode(), target.encode(), None, flags, None):
            raise OSError(ctypes.get_errno(), f"mount {target}")

    mount("none", "/", 0x4000 | 0x40000)  # MS_REC | MS_PRIVATE
    with tempfile.NamedTemporaryFile("w") as file:
        file.write("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
        file.flush()
        os.chmod(file.name, 0o644)  # noqa: PTH101
        mount(file.name, str(Path("/etc/resolv.conf").resolve()), 0x1000)  # MS_BIND


class Names(threading.Thread):
    """A name server: each name answers with its addresses in turn, all at once where they are a list."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.turns: dict[str, list[list[str]]] = {}
        self.asked: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 53))
        self.start()

    def run(self) -> None:
        while True:
            query, sender = self._socket.recvfrom(512)
            labels, at = [], 12
            while query[at]:
                labels.append(query[at + 1 : at + 1 + query[at]].decode())
                at += 1 + query[at]
            name, kind = ".".join(labels).lower(), struct.unpack_from("!H", query, at + 1)[0]
            turns = self.turns.get(name, [])
            if kind == 1:
                self.asked.append(name)
            answers = [
                packed
                for address in (turns[0] if turns else [])
                if len(packed := ipaddress.ip_address(address).packed) == (4 if kind == 1 else 16)
            ]
            if (
                kind == 28 and len(turns) > 1
            ):  # both kinds were asked for: the next look-up gets the next turn
                turns.pop(0)
            head = query[:2] + struct.pack("!HHHHH", 0x8180, 1, len(answers), 0, 0)
            records = b"".join(
                struct.pack("!HHHIH", 0xC00C, kind, 1, 0, len(packed)) + packed for packed in answers
            )
            self._socket.sendto(head + query[12 : at + 5] + records, sender)


class Everywhere:
    """Listeners on every address, https on `port` and http on `plain`; remembers where it was reached."""

    def __init__(self) -> None:
        self.reached: list[str] = []
        self.location: str | None = None
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(TLS / "server.pem")
        self._sockets = [socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)]
        self.port: int = self._sockets[0].getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            sock, _ = self._sockets[0].accept()
            self.reached.append(sock.getsockname()[0].removeprefix("::ffff:"))
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            with self._tls.wrap_socket(sock, server_side=True) as secure:
                secure.recv(65536)
                head = (
                    f"HTTP/1.1 302 Found\r\nLocation: {self.location}" if self.location else "HTTP/1.1 200 OK"
                )
                secure.sendall(head.encode() + b"\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
        except OSError:
            sock.close()


def reach(address: str, port: int) -> bool:
    """Whether a plain connection to the address arrives: else its refusal would prove nothing."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with closing(socket.socket(family, socket.SOCK_STREAM)) as sock:
        sock.settimeout(2)
        return sock.connect_ex((address, port)) == 0


@contextmanager
def quiet(everywhere: Everywhere) -> Iterator[list[str]]:
    """Yields the list of places that were reached meanwhile, filled at the end."""
    before = len(everywhere.reached)
    seen: list[str] = []
    yield seen
    reach(MARK, everywhere.port)  # accepted in order: once this one is seen, all before it were
    while everywhere.reached[-1:] != [MARK]:
        time.sleep(0.001)
    seen.extend(everywhere.reached[before:-1])
    everywhere.reached.append("")


def main() -> None:
    own_network()
    own_names()
    names, everywhere = Names(), Everywhere()
    port = everywhere.port
    to = Path(tempfile.mkdtemp()) / "recording"
    transport = Transport(ca_file=TLS / "authority.pem")
    report: dict[str, object] = {}

    def attempt(url: str) -> str:
        try:
            got = transport.download(url, to, max_bytes=1000, timeout_seconds=10)
        except CallscribeError as error:
            return error.slug
        return f"{got.size_bytes} bytes"

    def bracketed(address: str) -> str:
        return f"[{address}]" if ":" in address else address

    private = [address for address in ASSIGNED if address not in (PUBLIC, MARK)] + REACHED_ANYWAY
    report["unreached"] = [address for address in [PUBLIC, *private] if not reach(address, port)]

    names.turns["calls.example"] = [[PUBLIC]]
    report["public"] = attempt(f"https://calls.example:{port}/a")
    report["wrong_name"] = attempt(f"https://{PUBLIC}:{port}/a")

    refusals: dict[str, str] = {}
    with quiet(everywhere) as seen:
        for number, address in enumerate(private + UNREACHABLE):
            for scheme in ("https", "http"):
                refusals[f"{scheme} {address}"] = attempt(f"{scheme}://{bracketed(address)}:{port}/")
            if address not in ("::ffff:127.0.0.1", "::ffff:169.254.169.254"):  # resolvers hide the mapping
                names.turns[f"n{number}.example"] = [[address]]
                refusals[f"name {address}"] = attempt(f"https://n{number}.example:{port}/")
                names.turns[f"m{number}.example"] = [[PUBLIC, address]]
                refusals[f"mixed {address}"] = attempt(f"https://m{number}.example:{port}/")
            callback = deliver(
                f"https://{bracketed(address)}:{port}/", {}, transport=transport, at=0, kind="success"
            )
            refusals[f"callback {address}"] = "accepted" if callback.accepted else "forbidden_url"
        for host in ODD:
            refusals[f"odd {host}"] = attempt(f"https://{host}:{port}/")
    report["reached"] = seen

    names.turns["calls.example"] = [[PUBLIC]]
    hops: list[str] = []
    for address in private + UNREACHABLE:
        for location in (f"https://{bracketed(address)}:{port}/", f"http://{bracketed(address)}:{port}/"):
            everywhere.location = location
            with quiet(everywhere) as seen:
                refusals[f"redirect {location}"] = attempt(f"https://calls.example:{port}/")
            hops.extend(seen)
    everywhere.location = None
    report["reached_by_redirect"] = sorted(set(hops))
    report["refusals"] = refusals

    names.asked.clear()
    names.turns["calls.example"] = [[PUBLIC], ["127.0.0.1"]]
    with quiet(everywhere) as seen:
        report["rebinding"] = [attempt(f"https://calls.example:{port}/") for _ in range(2)]
    report["reached_by_rebinding"] = seen
    report["asked"] = names.asked
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main()

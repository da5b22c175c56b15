"""A call of an hour from the portal's request to its callback, beside the best that its provider allows:
`python -m bench.long_call [--stereo] [--seconds 3600] [--rounds 3]`.

The provider takes half a second and 2 % of the audio for a piece, eight pieces at a time, and half a second
for the score. The ideal sends it eight equal pieces at once, without any work of its own, and asks for the
score as soon as all are heard: measured in turn with the service, against the same provider, on one machine.
"""

from __future__ import annotations

import argparse
import http.server
import json
import os
import random
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from bench.prepare import recording
from bench.report import Row

FIXED_SECONDS, SHARE, CHAT_SECONDS = 0.5, 0.02, 0.5
PLACES = 8
MP3_BYTES = 2000  # a second of 16 kbit/s
TOKEN = "a-token-of-22-characters-or-more"
LEAD = {"quality": "high", "score": 88, "reason": "a budget was named"}


class World(http.server.ThreadingHTTPServer):
    """The portal, with one recording, and the provider; `pieces`: when each came, when it was answered, and
    how many seconds it holds."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, path: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.path = path
        self.pieces: list[tuple[float, float, float]] = []
        self.called = threading.Event()
        self.error = ""
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    server: World
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self._answer(self.server.path.read_bytes())

    def do_POST(self) -> None:
        came = time.monotonic()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.endswith("/audio/transcriptions"):
            seconds = _seconds(body)
            time.sleep(FIXED_SECONDS + SHARE * seconds)
            self._answer(json.dumps(_heard(seconds)).encode())
            self.server.pieces.append((came, time.monotonic(), seconds))
        elif self.path.endswith("/chat/completions"):
            time.sleep(CHAT_SECONDS)
            self._answer(json.dumps(_chat()).encode())
        else:
            if "callbackError" in self.path:
                self.server.error = body.decode("utf-8", "replace")[:300]
            self.server.called.set()
            self._answer(b'{"status": "success", "data": null, "errors": []}')


def _seconds(body: bytes) -> float:
    """Of the recording in a form."""
    if (at := body.find(b"fLaC")) >= 0:
        rate, samples = struct.unpack(
            ">IQ", b"\0" + body[at + 18 : at + 21] + b"\0\0\0" + body[at + 21 : at + 26]
        )
        return (samples & (1 << 36) - 1) / (rate >> 4)
    return len(body) / MP3_BYTES


def _heard(seconds: float) -> dict[str, Any]:
    """Words all over it, no two alike."""
    chance = random.Random(round(seconds * 100))
    words = ["".join(chance.choices("aeioklmnprst", k=5)) for _ in range(max(1, round(2.5 * seconds)))]
    step = 10
    segments = [
        {
            "id": number,
            "start": seconds * at / len(words),
            "end": seconds * min(at + step, len(words)) / len(words),
            "text": " ".join(words[at : at + step]),
        }
        for number, at in enumerate(range(0, len(words), step))
    ]
    return {"text": " ".join(words), "language": "english", "duration": seconds, "segments": segments}


def _chat() -> dict[str, Any]:
    message = {"role": "assistant", "content": json.dumps(LEAD)}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [choice],
        "usage": usage,
    }


def ideal(world: World) -> float:
    """Seconds of equal pieces at once, then the score."""
    data = world.path.read_bytes()
    size = len(data) // PLACES
    begun = time.monotonic()
    with httpx.Client(base_url=f"{world.url}/v1", timeout=300, trust_env=False) as client:

        def piece(number: int) -> None:
            part = data[number * size : (number + 1) * size]
            client.post("/audio/transcriptions", files={"file": ("piece.mp3", part)}).raise_for_status()

        with ThreadPoolExecutor(PLACES) as pool:
            list(pool.map(piece, range(PLACES)))
        client.post("/chat/completions", json={"messages": []}).raise_for_status()
    return time.monotonic() - begun


class Up:
    """`callscribe up` in a folder of its own."""

    def __init__(self, world: World, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url, self._world = f"http://127.0.0.1:{port}", world
        given = {
            "DATA_DIR": str(folder / "data"), "PORTAL_URL": world.url, "PORTAL_TOKEN": TOKEN,
            "PUBLIC_URL": self.url, "ROUTER_URL": f"{world.url}/v1", "ROUTER_KEY": "key", "CHAT_MODEL": "m",
            "TRUSTED_HOSTS": "127.0.0.1", "TIMELINE": "off", "API_KEY": "api-key", "KEEP_AUDIO_DAYS": "0",
        }  # fmt: skip
        clean = {name: value for name, value in os.environ.items() if not name.startswith("CALLSCRIBE_")}
        self._log = (folder / "log").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pipeline", "up", "--host", "127.0.0.1", "--port", str(port)],
            env=clean | {f"CALLSCRIBE_{name}": value for name, value in given.items()},
            stdout=self._log,
            stderr=subprocess.STDOUT,
            cwd=folder,
        )
        end = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/ready", timeout=5).close()
                return
            except OSError:
                if time.monotonic() > end or self._process.poll() is not None:
                    raise
                time.sleep(0.2)

    def call(self, number: int) -> tuple[float, list[tuple[float, float, float]]]:
        """Seconds from the request to its callback, and the provider's pieces, counted from the request."""
        world = self._world
        world.called.clear()
        world.pieces.clear()
        action = f"{world.url}/bitrix/services/main/ajax.php?action=ai.controller.integration.thirdparty"
        request = {
            "prompt": {"file": f"{world.url}/upload/{number}", "fields": [], "fileExtension": ""},
            "payload_raw": "", "payload_provider": "audio", "payload_role": None, "payload_prompt_text": None,
            "payload_markers": {"language": "en"}, "context": [], "auth": None, "category": "audio",
            "ttl": 14400,
            "callbackUrl": f"{action}.callbackSuccess&hash={number}",
            "errorCallbackUrl": f"{action}.callbackError&hash={number}",
        }  # fmt: skip
        begun = time.monotonic()
        answer = httpx.post(f"{self.url}/engines/{TOKEN}/audio", json=request, trust_env=False)
        assert answer.status_code == 202, answer.text
        assert world.called.wait(600), "no callback came"
        took = time.monotonic() - begun
        assert not world.error, world.error
        pieces = sorted((came - begun, told - begun, seconds) for came, told, seconds in world.pieces)
        return took, pieces

    def end(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=60)
        self._log.close()


@dataclass(frozen=True)
class Round:
    """Seconds of a call and of the ideal; the provider's pieces, counted from the request."""

    took: float
    best: float
    pieces: list[tuple[float, float, float]]


def _told(pieces: list[tuple[float, float, float]]) -> str:
    at_once = max(sum(one[0] <= at < one[1] for one in pieces) for at, _, _ in pieces)
    lengths = [seconds for _, _, seconds in pieces]
    return (
        f"{len(pieces)} pieces of {sum(lengths):.0f} s, {max(lengths):.0f} s at the most, up to {at_once} "
        f"at a time; sent after {pieces[0][0]:.2f} to {pieces[-1][0]:.2f} s, all heard after "
        f"{max(told for _, told, _ in pieces):.2f} s"
    )


@contextmanager
def rounds(seconds: int, count: int, *, stereo: bool) -> Iterator[Iterator[Round]]:
    """That many calls through a service of its own, each beside the ideal."""
    with tempfile.TemporaryDirectory(prefix="callscribe-long-") as name:
        folder = Path(name)
        path = recording(folder, seconds, stereo=stereo)
        world = World(path)
        plain = recording(folder, seconds, stereo=False) if stereo else path
        up = Up(world, folder)
        try:
            up.call(0)  # what is asked for the first time learns how the provider answers
            yield (_round(world, up, path, plain, number) for number in range(1, count + 1))
        finally:
            up.end()


def _round(world: World, up: Up, path: Path, plain: Path, number: int) -> Round:
    world.path = plain
    best = ideal(world)
    world.path = path
    path.write_bytes(path.read_bytes() + b"\0")  # another one: nothing is paid for
    took, pieces = up.call(number)
    return Round(took, best, pieces)


def measure(quick: bool) -> list[Row]:
    """Seconds of a call of an hour from the request to its callback, beside the ideal."""
    with rounds(3600, 1 if quick else 3, stereo=False) as found:
        done = list(found)
    return [
        Row(
            what=f"a call of an hour, {FIXED_SECONDS} s + {SHARE:.0%} a piece at a provider, {PLACES} places",
            unit="s",
            ours=[each.took for each in done],
            beside={"eight equal pieces at once, then the score": [each.best for each in done]},
            wanted="<= 1.15 of it",
        )
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--stereo", action="store_true", help="two sides of 44.1 kHz wav instead of mono mp3")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    ratios = []
    with rounds(given.seconds, given.rounds, stereo=given.stereo) as found:
        for each in found:
            ratios.append(each.took / each.best)
            print(
                f"whole {each.took:.2f} s, ideal {each.best:.2f} s: {ratios[-1]:.2f}; {_told(each.pieces)}",
                flush=True,
            )
    print(f"median {statistics.median(ratios):.2f} of {given.rounds} rounds, on {os.cpu_count()} cores")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Real processes of ours, seen from outside: nothing here imports the service."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx

from tests.faults import recordings

ROOT = Path(__file__).parents[2]
TOKEN, KEY = "system-test-token-0123456789", "system-test-key"

T = TypeVar("T")


def environment(**settings: str) -> dict[str, str]:
    """The environment of a child: none of the caller's settings, these instead."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("CALLSCRIBE_")}
    return env | {f"CALLSCRIBE_{name.upper()}": value for name, value in settings.items()}


def command(*args: str) -> list[str]:
    return [sys.executable, "-m", "pipeline", *args]


def until(look: Callable[[], T], *, seconds: float = 60.0, tell: Callable[[], str] = str) -> T:
    """What `look` answers once that is something; AssertionError with what `tell` says when it stays nothing.

    The time is for machines that are busy with much else: nothing waits as long where all is well.
    """
    end = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > end:
            raise AssertionError(f"nothing within {seconds} s\n{tell()}")
        time.sleep(0.02)
    return found


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder whose path is short enough for a unix socket, as pytest's own are not."""
    folder = Path(tempfile.mkdtemp(prefix="cs-", dir="/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def descendants(pid: int) -> dict[int, str]:
    """Process id -> command line of all that come from `pid`, which is not among them."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z":
            parents[int(stat.parent.name)] = int(fields[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    lines = {}
    for child in found - {pid}:
        try:
            lines[child] = Path(f"/proc/{child}/cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
    return lines


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def heeds_interrupts() -> None:
    """As at a terminal: whoever runs the tests with `&` has them, and all they start, ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Process:
    """A command of ours; `line` waits for a line of its output that holds some words.

    program: an installed `callscribe`, instead of the one of this environment.
    """

    def __init__(self, *args: str, env: dict[str, str], cwd: Path, program: Path | None = None) -> None:
        words = [str(program), *args] if program else command(*args)
        self._log = (cwd / f"{args[0]}.log").open("a+", encoding="utf-8")
        self._from = self._log.tell()
        self.process = subprocess.Popen(
            words,
            env=env,
            cwd=cwd,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            preexec_fn=heeds_interrupts,
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def output(self) -> str:
        path = Path(self._log.name)
        return path.read_text(encoding="utf-8", errors="replace")[self._from :]

    def line(self, words: str, *, seconds: float = 60.0) -> str:
        def look() -> str:
            assert self.process.poll() is None, self.output
            return next((line for line in self.output.splitlines() if words in line), "")

        return until(look, seconds=seconds)

    def end(self, number: signal.Signals = signal.SIGTERM, *, seconds: float = 60.0) -> int:
        """Its exit code after the signal."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(seconds)
        self._log.close()
        return code


class Portal:
    """The sandbox as a process, told what to do over HTTP."""

    def __init__(self, folder: Path) -> None:
        self.running = Process("sandbox", "--port", "0", env=environment(), cwd=folder)
        self._calls = 0
        self.url = self.running.line("listens at").split("listens at ")[1].split(";")[0]
        self.http = httpx.Client(base_url=self.url, timeout=60, trust_env=False)
        self.settings = {
            line.partition("=")[0].strip().removeprefix("CALLSCRIBE_").lower(): line.partition("=")[2]
            for line in self.running.output.splitlines()
            if line.strip().startswith("CALLSCRIBE_")
        }
        until(self._serves)

    def _serves(self) -> bool:
        try:
            return self.http.get("/").status_code == 200
        except httpx.HTTPError:
            return False

    def script(self, **rule: Any) -> None:
        assert self.http.post("/_script", json={"times": None, **rule}).status_code == 200

    def forget(self) -> None:
        """No rule is in force any more, and nothing was sent yet."""
        self.http.delete("/_script")
        self.http.delete("/_ledger")

    def send(self, fixture: str, engines: str) -> str:
        """Sends a request of fixtures/requests; the job's hash. AssertionError when it is not accepted."""
        category = {"text": "text", "image": "image", "video-call": "call"}.get(fixture, "audio")
        sent = self.http.post("/_send", json={"fixture": fixture, "to": f"{engines}/{category}"}).json()
        assert sent["accepted"], sent
        return str(sent["hash"])

    def call(self, engines: str, folder: Path, *, heard_after_seconds: float = 0.0) -> tuple[str, str]:
        """Sends a call that no other is like; its hash, and the words that recognition will hear in it.

        heard_after_seconds: how long the first answer takes.
        """
        self._calls += 1
        words = f"our budget is ten thousand dollars it is urgent and this is call {self._calls}"
        if heard_after_seconds:
            slow = {"delay_seconds": heard_after_seconds, "times": 1}
            self.script(path="/v1/audio/transcriptions", text=words, **slow)
        self.script(path="/v1/audio/transcriptions", text=words)
        recording = folder / f"call-{self._calls}"
        recordings.write(recording, seconds=3.0, seed=self._calls)
        fixture = json.loads((ROOT / "fixtures" / "requests" / "weak-lead.json").read_text())
        fixture |= {"name": recording.name, "recording": str(recording), "expect": None}
        fixture["crm"] = {"owner": ["deal", 100 + self._calls]}
        answer = self.http.post("/_send", json={"fixture": fixture, "to": f"{engines}/audio"})
        sent = answer.json()
        assert sent["accepted"], sent
        return str(sent["hash"]), words

    def job(self, token: str) -> dict[str, Any]:
        plain: dict[str, Any] = self.http.get(f"/_jobs/{token}").json()
        return plain

    def outcome(self, token: str, *, tell: Callable[[], str] = str) -> dict[str, Any]:
        """The job once it has an outcome."""
        return until(lambda: job if (job := self.job(token))["outcome"] else None, tell=tell) or {}

    def asked(self, path: str) -> list[dict[str, Any]]:
        """The requests that came to paths of this form."""
        found: list[dict[str, Any]] = self.http.get("/_ledger", params={"path": path}).json()["requests"]
        return found


class Service:
    """`callscribe up` over a data folder."""

    def __init__(self, folder: Path, portal: Portal, **settings: str) -> None:
        self.folder = folder
        own = {"portal_token": TOKEN, "api_key": KEY, "data_dir": str(folder / "data")}
        self.env = environment(**(portal.settings | own | settings))
        self.start()

    def start(self) -> None:
        self.up = Process("up", "--port", "0", env=self.env, cwd=self.folder)
        try:
            self.url = self.up.line("callscribe is ready at").split("ready at ")[1].strip()
        except AssertionError:
            self.up.end(signal.SIGKILL)
            raise
        self.engines = f"{self.url}/engines/{TOKEN}"
        headers = {"authorization": f"Bearer {KEY}"}
        self.http = httpx.Client(base_url=self.url, headers=headers, timeout=60, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Whatever became of the test, nothing goes on running."""
        self.http.close()
        self.up.end(signal.SIGKILL)

    def parts(self) -> dict[str, list[int]]:
        """Process ids by part: store, api, media, upstream, pool (media's children), decoders (theirs)."""
        lines = descendants(self.up.pid)
        parents = {}
        for pid in lines:
            with suppress(OSError):  # it has just ended
                parents[pid] = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])

        def below(over: list[int], words: str = "") -> list[int]:
            return sorted(pid for pid, parent in parents.items() if parent in over and words in lines[pid])

        up = [self.up.pid]
        words = {
            "store": "-server",
            "api": "pipeline api",
            "media": "--queues media",
            "upstream": "--queues upstream",
        }
        found = {part: below(up, said) for part, said in words.items()}
        found["pool"] = below(found["media"])  # a child's number may be lower than its parent's
        found["decoders"] = below(found["pool"])
        return found

    def report(self) -> str:
        """What a failed test should show: the newest job's events, the processes, the last of the logs."""
        return "\n".join(
            [*(str(event) for event in self.job()["events"]), str(self.parts()), self.up.output[-4000:]]
        )

    def job(self) -> dict[str, Any]:
        """The newest job."""
        listed = self.http.get("/v1/jobs", params={"limit": 1}).json()["jobs"]
        plain: dict[str, Any] = self.http.get(f"/v1/jobs/{listed[0]['id']}").json()
        return plain


@contextmanager
def sandbox() -> Iterator[Portal]:
    """A sandbox portal, gone at the end."""
    with short_folder() as folder:
        portal = Portal(folder)
        try:
            yield portal
        finally:
            portal.http.close()
            portal.running.end()

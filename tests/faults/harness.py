"""The whole service in processes of its own beside a sandbox in this one, made to be hurt.

    with Service(tmp_path) as service:
        service.start()
        service.call()                       # as a portal does
        service.kill("upstream")             # starts again by itself, as under a supervisor
        service.settle()
        service.check()                      # the guarantees, by the sandbox's ledger and the store's keys

Nothing of ours is replaced: a real Valkey, the api under uvicorn, Celery workers; only leases and pauses are
short, and the router's recognition is scripted, so that hundreds of jobs take seconds.
"""

from __future__ import annotations

import itertools
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import redis

from pipeline.archive.archive import Archive
from pipeline.cli import parts
from pipeline.cli.sandbox import settings_for
from pipeline.domain.errors import StoreUnavailable
from pipeline.domain.job import PortalId
from pipeline.sandbox.app import KEY, WEBHOOK, Sandbox
from pipeline.sandbox.portal import Job
from pipeline.sandbox.script import Rule
from pipeline.settings.installation import load
from pipeline.steps import flow, scores
from pipeline.store import Store, embedded
from tests.faults import recordings
from tests.faults.part import QUICK, Part
from tests.faults.relay import Relay
from tests.faults.telephony import Call, Talk, Telephony
from tests.system.processes import until

ROOT = Path(__file__).resolve().parents[2]
HEARD = "we need the phone system before the first of march and the budget is there"
DYING_SECONDS = 10.0  # a killed process is there until the kernel has taken its memory back
HEARING = "/v1/audio/transcriptions"
OF_ONE_PORTAL = ("PORTAL_URL", "PORTAL_TOKEN", "BITRIX24_WEBHOOK", "TIMELINE")


class Service:
    """Its processes, its sandbox and its ledger.

    host: the address of the sandbox, where it is another than loopback.
    telephony: further portals, whose calls are in their CRM.
    relayed: the store is reached through `relay`. frees: leases of a dead worker are freed at once, as a
    supervisor does; otherwise they end by themselves, as those of a lost host.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        relayed: bool = False,
        frees: bool = False,
        data_dir: Path | None = None,
        telephony: Sequence[Telephony] = (),
        **settings: str,
    ) -> None:
        self.frees = frees
        self.telephony = telephony
        self.folder = Path(tempfile.mkdtemp(prefix="cs-", dir="/tmp"))
        self.data = data_dir or self.folder / "data"
        self.sandbox = Sandbox(host=host)
        self.token = secrets.token_urlsafe(24)
        self.api_key = secrets.token_urlsafe(24)
        self.jobs: list[Job] = []
        self.refused: list[Job] = []
        self.filed: dict[str, int] = {}  # jobs of /v1/calls, and the deal where their score belongs
        self.parts: dict[str, Part] = {}
        self._numbers = itertools.count(1)  # there is no deal 0
        self._senders = ThreadPoolExecutor(16)
        self.socket = self.data / "redis.sock"
        self.relay = Relay(self.socket) if relayed else None
        for name in ("data", "tmp", "log", "latches", "recordings", "here"):
            (self.folder / name).mkdir(mode=0o700)
        self._listener = parts.listen("127.0.0.1", 0)
        self.api_url = parts.address_of(self._listener)
        self.own = {
            **settings_for(self.sandbox.base_url),
            **{f"CALLSCRIBE_{name}": value for name, value in QUICK.items()},
            "CALLSCRIBE_DATA_DIR": str(self.data),
            "CALLSCRIBE_PUBLIC_URL": self.api_url,
            "CALLSCRIBE_PORTAL_TOKEN": self.token,
            "CALLSCRIBE_API_KEY": self.api_key,
            **({"CALLSCRIBE_REDIS_URL": self.relay.url} if self.relay else {}),
            **({"CALLSCRIBE_STORAGE_URL": (self.data / "audio").as_uri()} if self.relay else {}),
            **{f"CALLSCRIBE_{name}": value for name, value in settings.items()},
        }
        if telephony:
            self.own |= self._several(telephony)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CALLSCRIBE_")}
        self.env = kept | self.own | {"TMPDIR": str(self.folder / "tmp"), "PYTHONPATH": str(ROOT)}
        plain = {name.removeprefix("CALLSCRIBE_").lower(): value for name, value in self.own.items() if value}
        self.settings = load(_env_file=None, **plain)
        self.store = Store(f"unix://{self.socket}", timeout_seconds=30)
        self.redis = redis.Redis(unix_socket_path=str(self.socket), decode_responses=True)

    def _several(self, telephony: Sequence[Telephony]) -> dict[str, str]:
        """Settings of an installation with further portals, whose calls are in their CRM."""
        own = {"url": f'"{self.sandbox.base_url}"', "tokens": f'["{self.token}"]', "timeline": '"vibecode"'}
        entries = {"portal": own} | {portal.name: portal.settings() for portal in telephony}
        lines = []
        for name, entry in entries.items():
            lines += [f"[{name}]", *(f"{field} = {value}" for field, value in entry.items())]
        file = self.folder / "here" / "portals.toml"
        file.write_text("\n".join(lines))
        hosts = [self.sandbox.base_url, *(portal.sandbox.base_url for portal in telephony)]
        return {
            **dict.fromkeys((f"CALLSCRIBE_{name}" for name in OF_ONE_PORTAL), ""),
            "CALLSCRIBE_PORTALS_FILE": str(file),
            "CALLSCRIBE_TRUSTED_HOSTS": ",".join(host.partition("://")[2] for host in hosts),
        }

    # -- processes

    def __enter__(self) -> Self:
        self.sandbox.start()
        for portal in self.telephony:
            portal.sandbox.start()
        if self.telephony:  # calls are told apart by their transcripts
            self.sandbox.script = self.sandbox.app.script = Talk(HEARD)
        else:
            self.sandbox.script.add(path=f"*{HEARING}", text=HEARD, times=None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._senders.shutdown(cancel_futures=True)
            for part in self.parts.values():
                self._end(part)
            if kind is None:
                until(
                    lambda: not self.leftovers(),
                    seconds=DYING_SECONDS,
                    tell=lambda: f"processes left behind: {self.leftovers()}",
                )
            else:
                print(self.last_words())  # noqa: T201 (pytest shows it with the failure)
        finally:
            self.store.close()
            self.redis.close()
            self._listener.close()
            if self.relay:
                self.relay.close()
            self.sandbox.stop()
            for portal in self.telephony:
                portal.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, *, upstream: int = 1, failpoints: Callable[[str], str] | None = None) -> None:
        """Store, api, a media worker and `upstream` upstream workers; returns once they serve.

        failpoints: part's name -> its CALLSCRIBE_FAILPOINTS.
        """
        self.start_store()
        names = ["api", "media", *(f"upstream{n or ''}" for n in range(upstream))]
        for name in names:
            self.start_part(name, failpoints=failpoints(name) if failpoints else "")
        for name in names:
            self.await_log(name, "worker_begins" if name != "api" else "startup complete")

    def start_store(self) -> None:
        """The store alone; returns once it answers."""
        self.socket.unlink(missing_ok=True)
        command = embedded.command(self.data / "store", self.socket)
        self._spawn(Part("store", tuple(command), dict(os.environ), kept=False))
        process = self.parts["store"].process
        assert process
        embedded.wait(process, self.socket)

    def start_part(self, name: str, *, failpoints: str = "", **env: str) -> None:
        """The api or a worker; `env` beside the service's own, names as they are."""
        env = {**self.env, "CALLSCRIBE_FAILPOINTS": failpoints, **env}
        fds: tuple[int, ...] = ()
        if name == "api":
            fds = (self._listener.fileno(),)
            command: tuple[str, ...] = (sys.executable, "-m", "pipeline", "api", "--fd", str(fds[0]))
        else:
            command = parts.worker_command(self.settings, name.rstrip("0123456789"))
        self._spawn(Part(name, command, env, fds))

    def _spawn(self, part: Part) -> None:
        part.env["CALLSCRIBE_NODE"] = f"{part.name}-{secrets.token_hex(4)}."
        with (self.folder / "log" / f"{part.name}.log").open("ab") as log:
            part.process = subprocess.Popen(
                part.command, env=part.env, cwd=self.folder / "here", stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True, pass_fds=part.pass_fds,
            )  # fmt: skip
        self.parts[part.name] = part

    def kill(self, name: str) -> None:
        """SIGKILL of a part and of all its children; a worker's leases stay until they end."""
        part = self.parts[name]
        self._end(part)
        part.process = None
        part.deaths += 1

    def signal(self, name: str, number: signal.Signals) -> None:
        """A signal to a part and its children."""
        process = self.parts[name].process
        assert process
        os.killpg(process.pid, number)

    def leave(self, name: str, *, seconds: float = 30) -> int:
        """SIGTERM as a supervisor sends it; the exit code."""
        part = self.parts.pop(name)
        assert part.process
        part.process.terminate()
        code = part.process.wait(seconds)
        self._end(part)
        return code

    def _end(self, part: Part) -> None:
        if part.process:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(part.process.pid, signal.SIGKILL)
            part.process.wait()

    def tend(self) -> None:
        """Starts again what has died, as a supervisor does."""
        for part in list(self.parts.values()):
            if part.kept and (part.process is None or part.process.poll() is not None):
                if part.process is not None:
                    part.deaths += 1
                    self._end(part)
                if self.frees:
                    with suppress(StoreUnavailable):
                        self.store.release(part.env["CALLSCRIBE_NODE"], crashed=True)
                self._spawn(part)

    def until(self, true: Callable[[], bool], seconds: float, what: str) -> None:
        """Tends until something is true; fails with `what` when it does not come true in time."""
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, f"not within {seconds:.0f} s: {what}"
            self.tend()
            time.sleep(0.02)

    def await_log(self, name: str, words: str, *, seconds: float = 30, times: int = 1) -> None:
        """Waits until a part's log has the words."""
        log = self.folder / "log" / f"{name}.log"
        self.until(lambda: log.read_text(errors="replace").count(words) >= times, seconds, f"{name}: {words}")

    def under_way(self, step: str, least: int = 1) -> bool:
        """Whether so many steps of a kind are leased just now."""
        leased = self.redis.zrange("cs:leases", 0, -1)
        return sum(member.split("|")[3].startswith(step) for member in leased) >= least

    def usage(self, what: str) -> float:
        """What the workers counted for the one portal today."""
        return self.store.usage.of(PortalId("portal")).get(what, 0.0)

    def latch(self, name: str) -> Path:
        """The file that makes a failpoint `...@latch` act once."""
        return self.folder / "latches" / name

    # -- what portals do

    def fault(self, path: str, **rule: Any) -> Rule:
        """What the sandbox does wrong to the next request of the path, ahead of what it was told before."""
        if path == HEARING:
            rule = {"text": HEARD, **rule}
        made = Rule.read({"path": f"*{path}", **rule})
        self.sandbox.script.rules.insert(0, made)
        return made

    def mend(self, *rules: Rule) -> None:
        """Takes faults back."""
        for rule in rules:
            self.sandbox.script.rules.remove(rule)

    def call(self, *, seconds: float = 1.5, ttl: int = 14_400, again: str | None = None, **body: Any) -> Job:
        """One engine request about a recording of its own; `again`: the very same request once more."""
        number = next(self._numbers)
        path = self.folder / "recordings" / f"{number}.wav"
        if again is None:
            recordings.write(path, seconds=seconds, seed=number)
        engine = body.pop("to", None) or f"{self.api_url}/engines/{self.token}/audio"
        fixture = {
            "name": None, "category": "audio", "recording": str(path),
            "body": {
                "prompt": {"file": "{file}", "fields": [], "fileExtension": ""},
                "payload_markers": {"language": "English"}, "category": "audio", "ttl": ttl,
                "callbackUrl": "{callback}", "errorCallbackUrl": "{error_callback}", **body,
            },
        }  # fmt: skip
        job = self.sandbox.send(fixture, to=engine, hash=again)
        if again is None:
            (self.jobs if job.accepted else self.refused).append(job)
        return job

    def calls(self, number: int, **options: Any) -> list[Job]:
        """Many at once."""
        return list(self._senders.map(lambda _: self.call(**options), range(number)))

    def file(self, *, seconds: float = 1.5, patience_seconds: float = 0.0) -> str:
        """A call sent to /v1 with its deal, so that a timeline entry follows; the job's id.

        patience_seconds: how long it is sent again, under the same key, while there is no 202.
        """
        number = next(self._numbers)
        path = self.folder / "recordings" / f"{number}.wav"
        recordings.write(path, seconds=seconds, seed=number)
        crm = self.sandbox.crm
        crm.add_entity("deal", number)
        link = crm.link(self.sandbox.base_url, crm.store(path, content_type="audio/wav"))
        end = time.monotonic() + patience_seconds
        while True:
            try:
                answer = httpx.post(
                    f"{self.api_url}/v1/calls",
                    json={
                        "url": link,
                        "entity": {"type": "deal", "id": number},
                        **({"portal": "portal"} if self.telephony else {}),
                    },
                    headers={"x-api-key": self.api_key, "idempotency-key": f"call-{number}"},
                    trust_env=False,
                    timeout=30,
                )
                assert answer.status_code == 202, answer.text
                break
            except (httpx.HTTPError, AssertionError):
                if time.monotonic() > end:
                    raise
                time.sleep(0.5)
        self.filed[answer.json()["id"]] = number
        return str(answer.json()["id"])

    def ring(self, portal: Telephony, **how: Any) -> Call:
        """A call on one of the portals whose calls are in their CRM."""
        number = next(self._numbers)
        return portal.ring(self.api_url, self.folder / "recordings" / f"{number}.wav", number, **how)

    def outcomes(self) -> Counter[str]:
        """How the accepted jobs ended, by the portal."""
        return Counter(job.outcome or "none" for job in self.jobs)

    # -- the guarantees

    def settle(self, seconds: float = 40) -> None:
        """Waits until each accepted job has its outcome and the store holds nothing to do."""
        self.until(
            lambda: all(job.outcome for job in self.jobs), seconds, f"an outcome for each: {self.outcomes()}"
        )
        self.until(lambda: not self.unfinished(), seconds, f"nothing left to do: {self.unfinished()}")

    def unfinished(self) -> list[str]:
        """Keys of the store that say that something is under way."""
        with suppress(redis.RedisError, StoreUnavailable):
            busy = ("cs:leases", "cs:later", "cs:open:*", "cs:ready:*:*", "cs:running:*", "cs:slots:*")
            busy += ("cs:owners", "cs:fair:*", "cs:turns:*", "cs:bytes")
            self.store.tick()
            return sorted(key for pattern in busy for key in self.redis.scan_iter(pattern, count=1000))
        return ["the store does not answer"]

    def heard(self) -> Counter[str]:
        """How often the router recognised, and charged for, each piece of audio."""
        served = ("200", "reset")
        return Counter(
            entry["sha256"]
            for entry in self.sandbox.ledger.find(f"*{HEARING}")
            if "sha256" in entry and "seconds" in entry and str(entry["status"]) in served
        )

    def repaid(self) -> int:
        """Calls that were charged beyond the first of the same audio."""
        return sum(self.heard().values()) - len(self.heard())

    def check(self, *, repaid: int = 0, repeated: int = 0, success: bool = True) -> None:
        """Fails unless the guarantees hold.

        repaid: paid calls that the stated exceptions allow. repeated: callbacks that may follow one that
        was taken, since its answer was lost. success: no job ended in an error.
        """
        assert self.jobs or self.filed, "nothing was sent"
        for job in self.jobs:
            taken = [one for one in job.callbacks if one["reply"]["status"] == "success"]
            assert len(taken) == 1, f"{job.hash} was taken {len(taken)} times"
        more = sum(len(job.callbacks) - 1 for job in self.jobs)
        assert more <= repeated, f"{more} callbacks after one that was taken, {repeated} allowed"
        if success:
            errors = Counter((job.error or {}).get("message") for job in self.jobs if job.outcome == "error")
            assert not errors, f"jobs failed: {errors}"
        assert self.repaid() <= repaid, f"{self.repaid()} calls paid again, {repaid} allowed"
        assert not self.unfinished()
        entries = Counter((one["text"].split()[-1], one["entityId"]) for one in self.sandbox.crm.log_entries)
        assert entries == Counter(self.filed.items()), f"timeline entries: {entries}, expected {self.filed}"
        assert not self.archived(), f"the archive: {self.archived()}"
        if success:
            assert not self.files(), f"files left behind: {self.files()}"
        assert not self.told(), f"secrets in logs: {self.told()}"

    def files(self) -> list[str]:
        """Audio and temporary files that nobody needs any more; copies to be heard are none."""
        places, kept = [self.data / "audio", self.folder / "tmp"], self.data / "audio" / "kept"
        files = [path for place in places for path in place.rglob("*") if path.is_file()]
        return [str(path) for path in files if path.parent != kept]

    def archived(self) -> list[str]:
        """What the archive tells otherwise than the records do: every call once, with a copy to be heard."""
        wrong = []
        with closing(Archive.open(self.settings.archive_url)) as archive:
            known = {call.id: call for call in archive.calls(limit=10_000).calls}
            for identifier, _, _ in self.store.page(limit=10_000):
                job, call = self.store.load(identifier), known.pop(identifier, None)
                if not job.category.spoken:
                    continue
                if call is None or call.score != getattr(scores.lead(job), "score", None):
                    wrong.append(f"{identifier} is not archived as it is")
                elif flow.failure(job) is None and call.audio is None:
                    wrong.append(f"{identifier} cannot be heard: {job.facts.get('keep')}")
        return wrong + [f"{identifier} has no record" for identifier in known]

    def told(self) -> list[str]:
        """Secrets that stand in a log."""
        secret = {"token": self.token, "api key": self.api_key, "router key": KEY, "webhook": WEBHOOK,
                  "signed link": "signature=", "callback's hash": "hash=", "transcript": HEARD}  # fmt: skip
        found = []
        for log in (self.folder / "log").glob("*.log"):
            text = log.read_text(errors="replace")
            found += [f"{what} in {log.name}" for what, words in secret.items() if words in text]
        return found

    def leftovers(self) -> list[str]:
        """Processes that still run with this service's settings."""
        mark, found = str(self.folder).encode(), []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if folder.name != str(os.getpid()) and mark in (folder / "environ").read_bytes():
                    found.append((folder / "cmdline").read_text().replace("\0", " ")[:120])
        return found

    def last_words(self, lines: int = 12) -> str:
        """The ends of all logs, for a failure's report."""
        logs = sorted((self.folder / "log").glob("*.log"))
        return "\n".join(
            line
            for log in logs
            for line in [f"--- {log.stem}", *log.read_text(errors="replace").splitlines()[-lines:]]
        )


def each(values: Iterable[Any], do: Callable[[Any], Any]) -> list[Any]:
    """`do` for all values at once."""
    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(do, values))

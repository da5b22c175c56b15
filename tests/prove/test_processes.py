"""Processes leave, stop, die, and tell the wrong time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.faults.harness import HEARING, ROOT, Service

WORKERS = ("media", "upstream")


def test_everything_leaves_in_the_middle_and_a_new_version_goes_on() -> None:
    """SIGTERM of all: each exits with 0 in its time, the calls under way are waited for, none is repeated."""
    with Service() as service:
        service.start()
        service.fault(HEARING, delay_seconds=2.0, times=None)
        service.calls(30)
        for version in range(2):
            service.until(lambda: service.under_way("transcribe", 3), 30, "paid calls under way")
            assert [service.leave(name) for name in (*WORKERS, "api")] == [0, 0, 0], version
            assert not service.redis.zcard("cs:leases"), "a lease was not freed"
            for name in (*WORKERS, "api"):
                service.start_part(name)
        service.settle(60)
        service.check()
        assert service.usage("repeated_calls") == 0


def test_a_drain_that_is_cut_off_is_counted() -> None:
    """A call longer than DRAIN_SECONDS is given up, made once more, and stands in the usage."""
    with Service(DRAIN_SECONDS="1") as service:
        service.start()
        slow = service.fault(HEARING, delay_seconds=6.0, times=None)
        service.calls(4)
        service.until(lambda: service.under_way("transcribe", 4), 30, "paid calls under way")
        assert service.leave("upstream", seconds=5) == 0
        service.mend(slow)
        service.start_part("upstream")
        service.settle(60)
        service.check(repaid=4)
        assert service.usage("repeated_calls") == 4


def test_zombies_are_fenced_out() -> None:
    """Workers stopped for far longer than their leases wake up, and change nothing."""
    with Service() as service:
        service.start(upstream=2)
        service.fault(HEARING, delay_seconds=0.7, times=None)
        service.calls(24)
        service.until(lambda: service.under_way("transcribe", 6), 30, "paid calls under way")
        held = sum("transcribe" in member for member in service.redis.zrange("cs:leases", 0, -1))
        service.signal("upstream", signal.SIGSTOP)
        service.signal("media", signal.SIGSTOP)
        time.sleep(6)
        service.signal("upstream", signal.SIGCONT)
        service.signal("media", signal.SIGCONT)
        service.settle(60)
        service.check(repaid=held, repeated=8)


def test_a_recording_that_kills_its_process_harms_no_other(tmp_path: Path) -> None:
    """Twice, then its portal hears why; calls beside it are none the worse."""
    (tmp_path / "sitecustomize.py").write_text(
        "import pipeline.audio.split as module\n"
        "from tests.security.inside import poisoned\n"
        "module.split = poisoned\n"
    )
    with Service() as service:
        service.start()
        service.leave("media")
        service.start_part(
            "media",
            PYTHONPATH=f"{tmp_path}:{ROOT}",
            CALLSCRIBE_LEASE_SECONDS="60",  # in seconds the pool tells of the death, which says more
        )
        poisons = service.calls(3, seconds=3.0)
        others = service.calls(20)
        service.settle(60)
        assert all(job.outcome == "error" for job in poisons)
        assert all(job.outcome == "success" for job in others), service.outcomes()
        log = (service.folder / "log" / "media.log").read_text(encoding="utf-8")
        assert log.count('"decoder_died"') == 2 * len(poisons)
        assert not service.parts["media"].deaths, "the worker itself lives on"
        service.check(success=False)
        assert not service.files()


def test_clocks_may_be_wrong(tmp_path: Path) -> None:
    """Api, media and upstream a day, two hours and minus a day off: only the store's clock counts."""
    (tmp_path / "sitecustomize.py").write_text(
        "import datetime, os, time\n"
        "off, now, real = float(os.environ['CLOCK_OFF']), time.time, datetime.datetime\n"
        "time.time = lambda: now() + off\n"
        "class Kind(type):\n"
        "    def __instancecheck__(cls, value):\n"
        "        return isinstance(value, real)\n"
        "class Wrong(real, metaclass=Kind):\n"
        "    @classmethod\n"
        "    def now(cls, tz=None):\n"
        "        return real.fromtimestamp(time.time(), tz)\n"
        "    @classmethod\n"
        "    def utcnow(cls):\n"
        "        return real.fromtimestamp(time.time(), datetime.timezone.utc).replace(tzinfo=None)\n"
        "datetime.datetime = Wrong\n"
    )
    with Service() as service:
        service.start()
        for name, off in (("media", 7200.0), ("upstream", -86_400.0), ("api", 86_400.0)):
            service.leave(name)
            service.start_part(name, PYTHONPATH=f"{tmp_path}:{ROOT}", CLOCK_OFF=str(off))
        service.await_log("api", "startup complete", times=2)
        service.fault(HEARING, status=429, headers={"retry-after": "1"}, times=3)
        service.fault("/callback", status=503, times=3)
        jobs = service.calls(12, ttl=60)
        service.settle(50)
        assert all(job.outcome == "success" for job in jobs)
        service.check()


def test_a_killed_supervisor_takes_all_with_it_and_the_next_one_goes_on() -> None:
    """SIGKILL of `callscribe up` in the middle: no process stays, and its successor finishes every call."""
    with Service(PUBLIC_URL="http://127.0.0.1:1") as service:
        env = service.env | {"CALLSCRIBE_LEASE_SECONDS": "60"}  # freed by the successor, not by time
        command = [sys.executable, "-m", "pipeline", "up", "--port", "0"]
        service.fault(HEARING, delay_seconds=1.0, times=None)
        log = service.folder / "log" / "up.log"

        def up() -> tuple[subprocess.Popen[bytes], str]:
            before = log.read_text().count("is ready at") if log.exists() else 0
            with log.open("ab") as out:
                process = subprocess.Popen(
                    command, env=env, cwd=service.folder / "here", stdout=out, stderr=out
                )
            service.until(lambda: log.read_text().count("is ready at") > before, 60, "up is ready")
            return process, log.read_text().rsplit("is ready at ", 1)[1].split()[0]

        process, address = up()
        try:
            service.calls(16, to=f"{address}/engines/{service.token}/audio")
            service.until(lambda: service.under_way("transcribe", 3), 30, "paid calls under way")
            held = sum("transcribe" in member for member in service.redis.zrange("cs:leases", 0, -1))
            process.kill()
            process.wait()
            service.until(lambda: not service.leftovers(), 10, "all processes are gone")
            process, _ = up()
            service.settle(60)
            service.check(repaid=held, repeated=2)
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
            assert not service.leftovers()
        finally:
            if process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()

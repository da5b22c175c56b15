"""Greed, malice, and a disk that is full."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.faults.harness import HEARING, Service

TOKENS = {"greedy": "g" * 32, "modest": "m" * 32}


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 24 MiB."""
    folder = Path(tempfile.mkdtemp(prefix="cs-disk-", dir="/tmp"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=700", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)
    shutil.rmtree(folder)


def test_one_greedy_portal_delays_no_other(tmp_path: Path) -> None:
    """150 jobs of one are waiting when another sends one: it is done before most of them are."""
    with Service() as service:
        portals = tmp_path / "portals.toml"
        portals.write_text(
            "".join(
                f'[{name}]\nurl = "{service.sandbox.base_url}"\ntokens = ["{token}"]\nconcurrency = 4\n'
                for name, token in TOKENS.items()
            )
        )
        service.env["CALLSCRIBE_PORTALS_FILE"] = str(portals)
        for name in ("CALLSCRIBE_PORTAL_URL", "CALLSCRIBE_PORTAL_TOKEN"):
            service.env.pop(name)
        service.start()
        service.fault(HEARING, delay_seconds=0.4, times=None)
        greedy = service.calls(150, to=f"{service.api_url}/engines/{TOKENS['greedy']}/audio")
        modest = service.call(to=f"{service.api_url}/engines/{TOKENS['modest']}/audio")
        service.until(lambda: modest.outcome == "success", 30, "the modest portal's job is done")
        waiting = sum(job.outcome is None for job in greedy)
        assert waiting > 75, f"only {waiting} of the greedy portal's jobs were behind it"
        service.settle(100)
        service.check()


def test_slow_and_huge_requests_keep_nobody_out() -> None:
    """200 half-sent requests and bodies beyond all bounds: a portal has its 202 within its five seconds."""
    with Service(MAX_REQUEST_BYTES="100000") as service:
        service.start()
        address = urlsplit(service.api_url)
        path = f"/engines/{service.token}/audio"
        slow = []
        for number in range(200):
            one = socket.create_connection((address.hostname, address.port), timeout=5)
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n"
            one.sendall((head + ("\r\n{" if number % 2 else "")).encode())
            slow.append(one)
        with ThreadPoolExecutor(8) as pool:
            huge = list(pool.map(lambda _: _status(service, path, 3_000_000), range(8)))
        assert set(huge) == {413}
        jobs = service.calls(20)
        assert not service.refused
        assert all((job.answer or {})["seconds"] < 5 for job in jobs)
        service.settle(60)
        service.check()
        for one in slow[1::2]:  # those whose body stopped
            one.settimeout(20)
            assert b"408" in one.recv(200)
        for one in slow:
            one.close()


def _not_ready(service: Service) -> bool:
    try:
        return httpx.get(f"{service.api_url}/ready", trust_env=False, timeout=5).status_code == 503
    except httpx.HTTPError:
        return False


def _status(service: Service, path: str, size: int) -> int:
    return httpx.post(
        f"{service.api_url}{path}", content=b"x" * size, trust_env=False, timeout=20
    ).status_code


@pytest.mark.timeout(180)
def test_the_disk_is_full(small_disk: Path) -> None:
    """Refused while there is no room; nothing accepted is lost when the store cannot write either."""
    with Service(data_dir=small_disk) as service:
        service.start()
        service.fault(HEARING, delay_seconds=1.0, times=None)
        service.calls(12)
        ballast = small_disk / "ballast"
        with ballast.open("wb", buffering=0) as file:
            while True:
                try:
                    file.write(b"\0" * 4096)
                except OSError:
                    break
        over = threading.Event()

        def keep_store() -> None:  # as the supervisor does
            while not over.wait(0.3):
                store = service.parts["store"]
                if store.process and store.process.poll() is not None:
                    try:
                        service.start_store()
                    except Exception:
                        continue

        keeper = threading.Thread(target=keep_store)
        keeper.start()
        try:
            service.until(lambda: _not_ready(service), 20, "the api sees that there is no room")
            refused = service.call()
            assert refused.answer is not None
            assert refused.answer["status"] == 503
            assert refused.answer["seconds"] < 5
            time.sleep(4)  # the fault lasts: the store dies and is started in vain, retries come to nothing
            ballast.unlink()
            service.settle(90)
            service.check()
        finally:
            over.set()
            keeper.join()

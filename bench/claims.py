"""Claims a second with ready work of few and of many portals: `python -m bench.claims [--quick]`.

Each claim is timed with its transition back to ready, on an embedded store of its own; the median of several
rounds. The figure must not feel how many portals have work.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import redis

from pipeline.domain.job import Category, Due, Job, PortalId, Request, Source, Step
from pipeline.domain.kinds import MEDIA
from pipeline.store import Store, embedded, fields_of, job_id
from pipeline.store.records import Quota, accept_arguments
from pipeline.store.scripts import sources

SIZES = (1, 100, 1000, 5000)
JOBS = 2  # per portal, but enough of them for a round
CLAIMS, ROUNDS = 600, 5


def main() -> None:
    """Prints one line per number of portals."""
    quick = "--quick" in sys.argv
    for portals in SIZES:
        with server() as url:
            store = Store(url)
            fill(store, url, portals, max(JOBS, 2 * CLAIMS // portals))
            rates = [round_of(store, CLAIMS // 4 if quick else CLAIMS) for _ in range(2 if quick else ROUNDS)]
            print(
                f"{portals:6} portals   {statistics.median(rates):7.0f} claims/s   "
                f"({min(rates):.0f} to {max(rates):.0f})"
            )
            store.close()


@contextmanager
def server() -> Iterator[str]:
    """A store on a file system in memory, where there is one: the scripts are measured, not the disk."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="cs-", dir=shared if shared.is_dir() else None) as folder:
        socket = Path(folder) / "s"
        process = subprocess.Popen(
            embedded.command(Path(folder) / "d", socket), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            embedded.wait(process, socket)
            yield f"unix://{socket}"
        finally:
            process.terminate()
            process.wait(20)


def fill(store: Store, url: str, portals: int, jobs: int) -> None:
    """Ready work of each portal, accepted in pipelines."""
    now = store.now()
    plain = Job(
        id=job_id("p", "0"), portal=PortalId("p"), category=Category.AUDIO, source=Source.ENGINE,
        accepted_at=now, deadline=now + 3600, request=Request(file_url="https://e.example/1.mp3"),
    )  # fmt: skip
    store.limit(MEDIA, {PortalId(f"p{number}"): 10**6 for number in range(portals)})
    with redis.Redis.from_url(url, decode_responses=True) as raw:
        accept = raw.register_script(sources()["accept"])
        for start in range(0, portals * jobs, 500):
            pipe = raw.pipeline(transaction=False)
            for number in range(start, min(start + 500, portals * jobs)):
                portal = f"p{number % portals}"
                job = replace(plain, id=job_id(portal, str(number)), portal=PortalId(portal))
                dues = [Due(step=Step("fetch"), queue=MEDIA)]
                arguments = accept_arguments(job.id, fields_of(job), dues, Quota(10**6, 10**12))
                accept(args=arguments, client=pipe)
            pipe.execute()


def round_of(store: Store, claims: int) -> float:
    """Claims a second; what was claimed is put back afterwards."""
    begun = time.perf_counter()
    held = [store.claim(MEDIA, "bench:t", lease_seconds=600) for _ in range(claims)]
    rate = claims / (time.perf_counter() - begun)
    assert all(held)
    for claim in held:
        assert claim is not None
        store.defer(claim, at=0, uncounted=True)
    return rate


if __name__ == "__main__":
    main()

"""Claims a second with ready work of few and of many portals: `python -m bench.claims [--quick]`.

Each claim is timed with its transition back to ready, on an embedded store of its own; the median of several
rounds. The figure must not feel how many portals have work.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import redis

from bench.report import Row
from pipeline.domain.job import Category, Due, Job, PortalId, Request, Source, Step
from pipeline.domain.kinds import MEDIA
from pipeline.store import Store, embedded, fields_of, job_id
from pipeline.store.records import Quota, accept_arguments
from pipeline.store.scripts import sources

SIZES = (1, 100, 1000, 5000)
PORTALS = 100
JOBS = 2  # per portal, but enough of them for a round
CLAIMS, ROUNDS = 600, 5


def measure(quick: bool) -> list[Row]:
    """Claims by portals with ready work, and by jobs in the store; what a stored job takes."""
    claims, rounds = (CLAIMS // 4, 3) if quick else (CLAIMS, ROUNDS)
    by_portals: dict[int, list[float]] = {}
    for portals in SIZES:
        with server() as url, closing(Store(url)) as store:
            fill(store, url, portals, max(JOBS, 2 * CLAIMS // portals))
            by_portals[portals] = [round_of(store, claims) for _ in range(rounds)]
    rows = [
        Row(
            what=f"claims with ready work of {most:,} portals", unit="1/s", ours=by_portals[most],
            beside={f"of {least:,}": by_portals[least]}, more=True, wanted=">= 3,000, flat",
        )
        for least, most in itertools.pairwise(SIZES)
    ]  # fmt: skip
    by_jobs: dict[int, list[float]] = {}
    bytes_a_job = []
    for jobs in (1000, 100_000) if quick else (1000, 100_000, 1_000_000):
        with server() as url, closing(Store(url)) as store, redis.Redis.from_url(url) as raw:
            before = raw.info("memory")["used_memory"]
            fill(store, url, PORTALS, jobs // PORTALS)
            bytes_a_job.append((raw.info("memory")["used_memory"] - before) / jobs)
            by_jobs[jobs] = [round_of(store, claims) for _ in range(rounds)]
    most, least = max(by_jobs), min(by_jobs)
    return [
        *rows,
        Row(
            what=f"claims with {most:,} jobs in the store", unit="1/s", ours=by_jobs[most],
            beside={f"with {least:,}": by_jobs[least]}, more=True, wanted="flat up to a million",
        ),
        Row(
            what=f"memory of a waiting job among {most:,}", unit="bytes", ours=bytes_a_job[-1:],
            beside={f"among {least:,}": bytes_a_job[:1]}, wanted="flat",
        ),
    ]  # fmt: skip


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
    for row in measure("--quick" in sys.argv):
        print(row.told())

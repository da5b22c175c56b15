"""How long the console's pages take with many calls in the archive, over HTTP, on either database.

    .venv/bin/python -m bench.pages [--calls 100000] [--database URL] [--keep FOLDER] [--report]

The archives are those of `bench.archive`. `callscribe up` serves each of them; somebody signs in and opens
every page five times after a first one; of files the first bytes are waited for. The first page after a start
is told as well. --report writes the table into bench/README.md. Exit 1 for a median above 200 ms.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from bench import report
from bench.archive import DAY, MOST_SECONDS, asked, filled
from bench.start import up
from pipeline.archive.archive import Archive

KEY = "bench-operators-key-0123456789-0123456789"
ROUNDS = 5
WARM_SECONDS = 5.0  # after which the service has loaded what pages take
MARKS = ("<!-- pages -->", "<!-- end of pages -->")


def pages(archive: Archive) -> Iterator[tuple[str, str]]:
    """What is opened: names and addresses."""
    first = archive.calls(limit=1).calls[0]

    def day(back: float) -> str:
        return time.strftime("%Y-%m-%d", time.gmtime(first.started_at - back * DAY))

    yield "calls", "/calls"
    yield "yesterday's weak calls of a manager", f"/calls?manager=7&band=low&from={day(1)}&to={day(1)}"
    yield "a month of a portal", f"/calls?portal=portal1&from={day(30)}&to={day(0)}"
    yield "calls that failed", "/calls?state=failed"
    yield "calls without a deal", "/calls?state=unlinked"
    yield "calls without a score", "/calls?band=none"
    yield "calls of nobody's", "/calls?manager=nobody"
    yield "search: a common word", "/calls?q=договор"
    yield "search: two common words", "/calls?q=budget+delivery"
    yield "search: a rare word", "/calls?q=слово77"
    yield "search: a common word, a manager's weak calls", "/calls?q=договор&manager=7&band=low"
    yield "search: a word that nobody said", "/calls?q=абракадабра"
    yield "search: a whole phone", f"/calls?q={(first.phone or '').replace('+', '%2B')}"
    yield "search: the end of a phone", "/calls?q=4567"
    yield "search: a phone that nobody has", "/calls?q=%2B7+495+000+00+00"
    yield "search: a deal", "/calls?q=deal+4321"
    cursor = None
    for _ in range(20):
        cursor = archive.calls(cursor=cursor, limit=50).next
    yield "page 21", f"/calls?cursor={cursor}"
    yield "a call", f"/calls/{first.id}"
    yield "to do", "/todo"
    yield "team, a week", "/team?days=7"
    yield "team, 30 days", "/team"
    yield "team, a year", "/team?days=365"
    yield "team, by days", f"/team?from={day(200)}&to={day(100)}"
    yield "quality, 30 days", "/quality"
    yield "quality, a year", "/quality?days=365"
    yield "golden set of a year, first bytes", "/quality/golden.json?days=365"
    yield "usage, 30 days", "/usage"
    yield "usage, a year", "/usage?days=365"
    yield "health", "/health-board"
    yield "jobs", "/jobs"
    yield "audit", "/audit"
    yield "calls as JSON", "/calls.json"
    yield "calls as CSV, first bytes", "/calls.csv"
    yield "found calls as CSV, first bytes", "/calls.csv?q=договор"
    yield "a call as JSON", f"/calls/{first.id}.json"
    yield "transcript as SRT", f"/calls/{first.id}/transcript.srt"
    yield "to do as JSON", "/todo.json"
    yield "team of a year as CSV", "/team.csv?days=365"
    yield "quality of a year as JSON", "/quality.json?days=365"
    yield "usage of a year as CSV", "/usage.csv?days=365"


@contextmanager
def served(database: str) -> Iterator[httpx.Client]:
    """Somebody signed in at a service that has just become ready."""
    with (
        tempfile.TemporaryDirectory(prefix="cs-") as folder,
        up(folder, DATABASE_URL=database, ARCHIVE_DAYS="3650", API_KEY=KEY) as (_, address),
        httpx.Client(base_url=address, timeout=60, trust_env=False) as browser,
    ):
        browser.post("/sign-in", data={"key": KEY, "name": "Olga"})
        yield browser


def opened(browser: httpx.Client, address: str) -> float:
    """Seconds until the page is there, or the first bytes of a file."""
    begun = time.perf_counter()
    with browser.stream("GET", address) as answer:
        assert answer.status_code == 200, f"{address}: {answer.status_code}"
        for _ in answer.iter_raw():
            if ".csv" in address or "golden" in address:
                break
        return time.perf_counter() - begun


def measure(archive: Archive) -> Iterator[tuple[str, list[float]]]:
    """Milliseconds of each page."""
    database = archive.database.engine.url.render_as_string(hide_password=False)
    with served(database.replace("+psycopg", "")) as browser:
        time.sleep(WARM_SECONDS)
        yield f"the first page, {WARM_SECONDS:.0f} s after the start", [1000 * opened(browser, "/calls")]
        for name, address in pages(archive):
            opened(browser, address)
            yield name, [1000 * opened(browser, address) for _ in range(ROUNDS)]


def table(found: dict[str, dict[str, list[float]]], calls: int, load: float) -> str:
    """The figures of all databases side by side."""
    names = list(next(iter(found.values())))
    lines = [f"{report.machine(load)} {calls:,} calls.", ""]
    lines += [f"| page, ms | {' | '.join(found)} |", "|---|" + "---|" * len(found)]
    for name in names:
        times = (each[name] for each in found.values())
        told = (f"{statistics.median(some):.0f} (slowest {max(some):.0f})" for some in times)
        lines.append(f"| {name} | {' | '.join(told)} |")
    return "\n".join(lines)


def main() -> None:
    given, load = asked(__doc__ or "", report=True), os.getloadavg()[0]
    found: dict[str, dict[str, list[float]]] = {}
    good = True
    with filled(given.calls, url=given.database, keep=given.keep) as archives:
        for archive in archives:
            mine = found.setdefault(archive.database.dialect, {})
            for name, times in measure(archive):
                mine[name] = times
                late = statistics.median(times) > 1000 * MOST_SECONDS
                good &= not late
                sys.stdout.write(
                    f"{archive.database.dialect:10} {name:48} {statistics.median(times):7.1f} ms, slowest "
                    f"{max(times):7.1f}{'  LATE' if late else ''}\n"
                )
                sys.stdout.flush()
            archive.close()
    if given.report:
        report.put(table(found, given.calls, load), *MARKS)
    sys.exit(not good)


if __name__ == "__main__":
    main()

"""What a thousand portals at ten calls an hour wait for, by the places there are: a simulation of the queues.

    .venv/bin/python -m bench.sizing [--portals 1000] [--calls 10] [--peak 3]

An hour at the peak of the day: calls arrive at random, each with a recording to prepare (processor), uploads
and a score (a provider's time, in a place of an upstream worker), and the CRM's text steps after it, which go
first. The costs are those of docs/sizing.md. It answers what paper does not: how many places it takes.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

CALL_MINUTES = (1.0, 4.0, 20.0)  # least, mean, most; exponential between
PREPARE_SECONDS_A_MINUTE = 0.06  # of the processor, two channels of wav, the dearest kind
UPLOAD_SECONDS = (0.5, 0.02)  # the provider's: fixed, and by second of audio
UPLOAD_OF_SECONDS = 28.0  # that one upload has at the most, in a call of two sides
TALK = 1.15  # seconds sent a second of recording
CHAT_SECONDS = 2.0  # mean, exponential
TEXT_STEPS = 4  # that the CRM asks for after a transcript
HOUR = 3600.0


@dataclass
class Places:
    """Servers that take the most urgent task next."""

    count: int
    busy: int = 0
    busy_seconds: float = 0.0
    waiting: list[tuple[int, float, int, float, Callable[[float], None]]] = field(default_factory=list)


class Simulation:
    """Tasks with an urgency (less goes first), a place to run in, and what follows them."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._numbers = itertools.count()

    def at(self, when: float, then: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (when, next(self._numbers), then))

    def task(self, places: Places, urgency: int, seconds: float, then: Callable[[float], None]) -> None:
        heapq.heappush(places.waiting, (urgency, self.now, next(self._numbers), seconds, then))
        self._next(places)

    def _next(self, places: Places) -> None:
        while places.waiting and places.busy < places.count:
            _, _, _, seconds, then = heapq.heappop(places.waiting)
            places.busy += 1
            places.busy_seconds += seconds

            def done(now: float, then: Callable[[float], None] = then) -> None:
                places.busy -= 1
                then(now)
                self._next(places)

            self.at(self.now + seconds, done)

    def run(self, until: float) -> None:
        while self._events and self._events[0][0] < until:
            self.now, _, then = heapq.heappop(self._events)
            then(self.now)


def hour(calls_an_hour: float, *, media: int, upstream: int, seed: int) -> dict[str, float]:
    """Quantiles of a call's wait beyond its own work, and of a text's; how busy the places were."""
    dice = random.Random(seed)
    simulation, media_, upstream_ = Simulation(), Places(media), Places(upstream)
    waits: dict[str, list[float]] = {"call": [], "text": []}

    def text(now: float) -> None:
        took = dice.expovariate(1 / CHAT_SECONDS)
        simulation.task(upstream_, 0, took, lambda end: waits["text"].append(end - now - took))

    def call(now: float) -> None:
        simulation.at(now + dice.expovariate(calls_an_hour / HOUR), call)
        least, mean, most = CALL_MINUTES
        minutes = min(least + dice.expovariate(1 / (mean - least)), most)
        prepare = minutes * PREPARE_SECONDS_A_MINUTE
        sent = minutes * 60 * TALK
        pieces = max(1, round(sent / UPLOAD_OF_SECONDS))
        upload = UPLOAD_SECONDS[0] + UPLOAD_SECONDS[1] * sent / pieces
        chat = dice.expovariate(1 / CHAT_SECONDS)
        alone = prepare + upload * -(-pieces // 8) + chat  # eight of one portal at a time
        left = [pieces]

        def scored(end: float) -> None:
            waits["call"].append(max(0.0, end - now - alone))
            for _ in range(TEXT_STEPS):
                text(end)

        def heard(_: float) -> None:
            left[0] -= 1
            if left[0] > 0 and left[0] >= running[0]:
                simulation.task(upstream_, 2, upload, heard)
            elif left[0] == 0:
                simulation.task(upstream_, 2, chat, scored)

        running = [min(8, pieces)]

        def prepared(_: float) -> None:
            for _ in range(running[0]):
                simulation.task(upstream_, 2, upload, heard)

        simulation.task(media_, 2, prepare, prepared)

    simulation.at(0.0, call)
    simulation.run(HOUR)
    return {
        "calls": len(waits["call"]),
        "call_p95": quantile(waits["call"], 0.95),
        "call_p99": quantile(waits["call"], 0.99),
        "text_p99": quantile(waits["text"], 0.99),
        "media_busy": media_.busy_seconds / HOUR / media,
        "upstream_busy": upstream_.busy_seconds / HOUR / upstream,
    }


def quantile(values: list[float], share: float) -> float:
    """Of unsorted values; 0 of none."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else 0.0


def main() -> None:
    """A line for each number of places."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--portals", type=int, default=1000)
    parser.add_argument("--calls", type=float, default=10.0, help="of a portal in an hour")
    parser.add_argument("--peak", type=float, default=3.0, help="how many times that in the worst hour")
    given = parser.parse_args()
    rate = given.portals * given.calls * given.peak
    sys.stdout.write(f"{rate:,.0f} calls in the hour\n\n")
    sys.stdout.write(
        "| media | upstream | busy | call waits, p95 / p99 | text waits, p99 |\n|---|---|---|---|---|\n"
    )
    for media, upstream in ((2, 128), (4, 128), (4, 192), (4, 256), (8, 256), (8, 320)):
        seen = hour(rate, media=media, upstream=upstream, seed=7)
        sys.stdout.write(
            f"| {media} | {upstream} | {seen['media_busy']:.0%} / {seen['upstream_busy']:.0%} "
            f"| {seen['call_p95']:.1f} / {seen['call_p99']:.1f} s | {seen['text_p99']:.2f} s |\n"
        )


if __name__ == "__main__":
    main()

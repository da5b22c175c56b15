"""What one portal may take of the api, and that no other feels it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from pipeline.domain.errors import StoreUnavailable
from pipeline.settings.installation import Settings
from pipeline.web import shares
from pipeline.web.shares import FREE_BYTES, TURNS, Shares
from tests.web.conftest import TOKEN, Client, audio_request, running

MANY = b"[" + b"0," * 400 + b"0]"


def run(scene: Callable[[Shares], Coroutine[Any, Any, None]]) -> None:
    """The scene with a process's shares."""

    async def play() -> None:
        held = Shares()
        try:
            await scene(held)
        finally:
            held.close()

    asyncio.run(play())


def request(*parts: bytes) -> Request:
    """A request whose body comes in these parts."""
    left = list(parts)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    return Request({"type": "http", "headers": []}, receive)


def test_turns_of_one_portal_are_its_own() -> None:
    """While as many requests of a portal are worked on as may be, another's need not wait."""

    async def scene(held: Shares) -> None:
        async with AsyncExitStack() as taken:
            for _ in range(TURNS):
                await taken.enter_async_context(held.body(request(b"x"), "greedy", max_bytes=9))
            next_one = asyncio.create_task(
                taken.enter_async_context(held.body(request(b"y"), "greedy", max_bytes=9))
            )
            async with held.body(request(b"z"), "honest", max_bytes=9) as body:
                assert body == b"z"
            assert not next_one.done()
            next_one.cancel()

    run(scene)


def test_who_waits_too_long_for_a_turn_hears_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A portal hears 503 within its patience, where its own requests before are not through."""
    monkeypatch.setattr(shares, "TURN_SECONDS", 0.05)

    async def scene(held: Shares) -> None:
        async with AsyncExitStack() as taken:
            for _ in range(TURNS):
                await taken.enter_async_context(held.body(request(b"x"), "greedy", max_bytes=9))
            with pytest.raises(StoreUnavailable):
                await taken.enter_async_context(held.body(request(b"y"), "greedy", max_bytes=9))

    run(scene)


def test_nobody_waits_for_a_store_that_does_not_serve() -> None:
    """Once the store has failed, requests that wait for their turn are refused at once."""

    async def scene(held: Shares) -> None:
        async with AsyncExitStack() as taken:
            for _ in range(TURNS):
                await taken.enter_async_context(held.body(request(b"x"), "greedy", max_bytes=9))

            async def next_one() -> None:
                async with held.body(request(b"y"), "greedy", max_bytes=9):
                    raise AssertionError("there was no turn")

            waiting = [asyncio.create_task(next_one()) for _ in range(3)]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            held.refuse_waiting()
            answers = await asyncio.gather(*waiting, return_exceptions=True)
            assert [type(answer) for answer in answers] == [StoreUnavailable] * 3

    run(scene)


@pytest.mark.parametrize("body", [b" " * (FREE_BYTES + 1), MANY + MANY], ids=["large", "many members"])
def test_dear_bodies_are_read_beside_the_loop(body: bytes) -> None:
    """One at a time for each portal, in threads: meanwhile the loop goes on, and others' bodies are read."""

    async def scene(held: Shares) -> None:
        begun, go_on = threading.Event(), threading.Event()

        def slow() -> str:
            begun.set()
            go_on.wait()
            return threading.current_thread().name

        second = threading.Event()
        async with held.body(request(body), "greedy", max_bytes=99_999):
            reading = asyncio.create_task(held.read("greedy", body, slow))
            assert await asyncio.to_thread(begun.wait, 10)
            waiting = asyncio.create_task(held.read("greedy", body, second.set))
            async with held.body(request(body), "honest", max_bytes=99_999):
                assert (
                    await held.read("honest", body, lambda: threading.current_thread().name)
                ) != "MainThread"
                assert (
                    await held.read("honest", b"{}", lambda: threading.current_thread().name)
                ) == "MainThread"
            assert not second.is_set()
            go_on.set()
            assert (await reading).startswith("reader")
            await waiting
            assert second.is_set()

    run(scene)


def test_bytes_in_memory_are_bounded_by_portal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond what may be held of a portal at a time it hears 429, nobody else does, and it frees itself."""
    monkeypatch.setattr(shares, "HELD_BYTES", 10)

    async def scene(held: Shares) -> None:
        async with held.body(request(b"1234", b"5678"), "greedy", max_bytes=99):
            with pytest.raises(HTTPException) as refused:
                async with held.body(request(b"12", b"3"), "greedy", max_bytes=99):
                    pass
            assert refused.value.status_code == 429
            async with held.body(request(b"1234567890"), "honest", max_bytes=99):
                pass
        async with held.body(request(b"1234567890"), "greedy", max_bytes=99):
            pass

    run(scene)


def test_bytes_a_second_are_bounded_by_portal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large bodies without a pause are a 429 with Retry-After; small ones never are, nor anybody else's."""
    monkeypatch.setattr(shares, "BURST_BYTES", 100_000)
    monkeypatch.setattr(shares, "BYTES_PER_SECOND", 1)

    async def scene(held: Shares) -> None:
        large = b"x" * (FREE_BYTES + 60_000)
        async with held.body(request(large), "greedy", max_bytes=99_999):
            pass
        with pytest.raises(HTTPException) as refused:
            async with held.body(request(large), "greedy", max_bytes=99_999):
                pass
        assert refused.value.status_code == 429
        assert int((refused.value.headers or {})["Retry-After"]) > 0
        for _ in range(50):
            async with held.body(request(b"x" * FREE_BYTES), "greedy", max_bytes=99_999):
                pass
        async with held.body(request(large), "honest", max_bytes=99_999):
            pass

    run(scene)


def test_bodies_are_capped_near_what_is_sent(client: Client) -> None:
    """1 MiB for engines, 128 KiB for events, 8 MiB for /v1; a text step with all its context is far below."""
    assert client.engine("audio", b"x" * ((1 << 20) + 1)).status_code == 413
    assert client.v1("POST", "/v1/calls", content=b"x" * (1 << 20)).status_code == 400
    assert client.v1("POST", "/v1/calls", content=b"x" * ((8 << 20) + 1)).status_code == 413
    turns = [{"role": "user", "content": "слово " * 2_000}] * 12
    step = audio_request(category="text", prompt="Sum it up", collect_context=True, context=turns)
    assert client.engine("text", step).status_code == 202


def test_events_are_capped(hearing: Client) -> None:
    """An event is small; a large one is a 413."""
    assert hearing.post(f"/events/{TOKEN}", content=b"x" * ((1 << 17) + 1)).status_code == 413


def test_members_are_counted_before_they_are_made(make_settings: Callable[..., Settings]) -> None:
    """JSON of a hundred thousand values is refused by name; as many commas in a text are welcome."""
    with running(make_settings()) as client:
        bomb = client.engine("audio", audio_request(payload_markers=[[]] * 100_000))
        assert (bomb.status_code, list(bomb.json()["error"]["fields"])) == (400, ["body"])
        table = audio_request(category="text", prompt='1,"2",[3],{4}\\,' * 20_000)
        assert client.engine("text", table).status_code == 202

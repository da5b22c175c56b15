"""Trouble is told once, to those who can mend it, and holds nothing up."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from pipeline.clients.signing import signature_headers
from pipeline.domain.job import Category, JobId, Request
from pipeline.run import notices
from pipeline.run.notices import TEXTS, Trouble, look, text_of, troubles
from pipeline.sandbox.app import Sandbox
from pipeline.steps.tools import Tools
from tests.installation import Open, accept

SECRET = "whsec_bm90aWNlLXNlY3JldC0wMTIzNDU2Nzg5"


class Hook:
    """Where notices go: what came, and what it answers."""

    def __init__(self) -> None:
        self.status = 200
        self.came: list[tuple[dict[str, str], bytes]] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                hook.came.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(hook.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook/a-secret-path"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def told(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.came]


@pytest.fixture
def hook() -> Iterator[Hook]:
    made = Hook()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def turn(monkeypatch: pytest.MonkeyPatch) -> Callable[[Tools], int]:
    """One look, whoever had the turn before."""

    def take(tools: Tools) -> int:
        tools.store.known.forget_first("notices")
        return look(tools)

    return take


def hold(tools: Tools, key: str = "k", *, since: float = 60.0) -> JobId:
    """A call that has waited so long for a refused account."""
    tools.store.processes.beat("upstream-1", {"role": "upstream"})
    job = accept(tools, Request(activity_id=1), key=key)
    claim = tools.store.claim("upstream", "n:t", lease_seconds=60)
    assert claim
    now = tools.store.now()
    tools.store.defer(claim, at=now + 60, first={"held_since": f"{now - since:.3f}"})
    return job


def test_a_held_account_is_told_once(
    opened: Open, sandbox: Sandbox, hook: Hook, turn: Callable[[Tools], int]
) -> None:
    """The webhook and the webhook's owner on the portal hear of it once, signed, with what to do."""
    tools = opened(alert_webhook=hook.url, webhook_secret=SECRET, language="ru")
    sandbox.rest.notified.clear()
    hold(tools)
    assert [turn(tools) for _ in range(4)] == [2, 0, 0, 0]
    ((headers, body),) = hook.came
    at, message = float(headers["webhook-timestamp"]), headers["webhook-id"]
    assert signature_headers(SECRET, message_id=message, at=at, body=body).items() <= headers.items()
    told = json.loads(body)
    assert told["type"] == "callscribe.account_held"
    assert told["data"]["portals"] == ["portal"]
    assert told["data"]["jobs"] == 1
    assert "`callscribe doctor`" in told["data"]["mend"]
    ((user, text),) = sandbox.rest.notified
    assert user == 1
    assert text.startswith("callscribe: провайдер ИИ отклоняет")
    assert "через 58 мин" in text or "через 59 мин" in text


def test_it_is_told_again_when_it_comes_again(
    opened: Open, hook: Hook, turn: Callable[[Tools], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ended and begins once more is another event; what flickers is not."""
    tools = opened(alert_webhook=hook.url, notify_users=[0])
    job = hold(tools)
    turn(tools)
    tools.store.erase(job)
    turn(tools)
    job = hold(tools, "second")
    turn(tools)
    assert len(hook.came) == 1
    tools.store.erase(job)
    monkeypatch.setattr(notices, "QUIET_SECONDS", -1.0)
    turn(tools)
    hold(tools, "third")
    turn(tools)
    assert len(hook.came) == 2


def test_a_webhook_that_fails_is_asked_a_few_times(
    opened: Open, hook: Hook, turn: Callable[[Tools], int]
) -> None:
    """Until it takes the notice, five times at the most; the portal's people are told all the same, once."""
    tools = opened(alert_webhook=hook.url)
    hook.status = 500
    hold(tools)
    assert [turn(tools) for _ in range(8)] == [1, 0, 0, 0, 0, 0, 0, 0]
    assert len(hook.came) == notices.MOST_TRIES


def test_many_looks_at_once_are_one(opened: Open, hook: Hook) -> None:
    """However many processes look, one of them tells."""
    tools = opened(alert_webhook=hook.url, notify_users=[0])
    hold(tools)
    threads = [threading.Thread(target=look, args=(tools,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(hook.came) == 1


def test_people_who_are_named_are_told(opened: Open, sandbox: Sandbox, turn: Callable[[Tools], int]) -> None:
    """NOTIFY_USERS names them; 0 is nobody; a portal without the scope is not asked again and again."""
    sandbox.rest.notified.clear()
    for users, expected in (([7, 8], [7, 8]), ([0], [])):
        tools = opened(notify_users=users)
        tools.store._redis.flushall()
        hold(tools)
        turn(tools)
        turn(tools)
        assert [user for user, _ in sandbox.rest.notified] == expected
        sandbox.rest.notified.clear()
    tools = opened()
    tools.store._redis.flushall()
    hold(tools)
    asked: list[str] = []
    known = sandbox.rest._methods.pop("im.notify.personal.add")
    try:
        for _ in range(4):
            turn(tools)
        asked = [
            row
            for row in tools.store.known.read_shelf("notices").values()
            if "portal" in json.loads(row)["done"]
        ]
    finally:
        sandbox.rest._methods["im.notify.personal.add"] = known
    assert len(asked) == 1


def test_entries_and_events_come_first(opened: Open, sandbox: Sandbox, turn: Callable[[Tools], int]) -> None:
    """While the portal's REST is busy nothing is sent to its people; they hear when it is free."""
    tools = opened()
    sandbox.rest.notified.clear()
    hold(tools)
    tools.store.limits.turn("rest:portal", rate=2.0, burst=45, verb="fill")
    assert turn(tools) == 0
    assert sandbox.rest.notified == []
    tools.store._redis.delete(*tools.store._redis.keys("cs:*rest:portal*"))
    assert turn(tools) == 1


def test_a_near_deadline_is_trouble(opened: Open) -> None:
    """An old recording that is due within half an hour is; a young or distant one, or a text, is not."""
    tools = opened()

    def found(key: str, *, ttl: float, age: float, category: Category = Category.AUDIO) -> list[str]:
        job = accept(tools, Request(), key=key, ttl=ttl, category=category)
        tools.store._redis.hset(f"cs:job:{job}", "accepted_at", f"{tools.store.now() - age:.3f}")
        seen = [trouble.what for trouble in troubles(tools) if trouble.what != "no_worker"]
        tools.store.erase(job)
        return seen

    assert found("near", ttl=1000, age=9000) == ["deadline_near"]
    assert found("young", ttl=1000, age=10) == []
    assert found("far", ttl=5000, age=9000) == []
    assert found("text", ttl=1000, age=9000, category=Category.TEXT) == []


def test_a_store_that_went_back_and_missing_workers_are_trouble(opened: Open) -> None:
    """The operator hears of both, each portal of the first; a service without work misses no worker."""
    tools = opened()
    assert list(troubles(tools)) == []
    tools.store._run("back", 1, 60)
    assert [(t.what, t.portal) for t in troubles(tools)] == [
        ("store_gone_back", None),
        ("store_gone_back", "portal"),
    ]
    tools.store._redis.delete("cs:back")
    accept(tools, Request())
    assert [t.what for t in troubles(tools)] == ["no_worker"]
    tools.store.processes.beat("upstream-1", {"role": "upstream"})
    assert list(troubles(tools)) == []


@pytest.mark.parametrize("what", TEXTS)
def test_texts_are_whole(what: str) -> None:
    """In every language: numbers filled in, and a command that helps."""
    for language in TEXTS[what]:
        sentence, todo = text_of(Trouble(what=what, jobs=3, seconds=600), language)  # type: ignore[arg-type]
        assert "{" not in sentence + todo
        assert "`callscribe " in todo
    assert what == "no_worker" or set(TEXTS[what]) == {"en", "ru"}

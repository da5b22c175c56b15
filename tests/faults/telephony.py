"""Portals with calls in their CRM: each with an activity, a recording, an event and an engine request."""

from __future__ import annotations

import random
import secrets
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from pipeline.sandbox.app import APPLICATION_TOKEN, Sandbox
from pipeline.sandbox.portal import Job
from pipeline.sandbox.script import Rule, Script
from tests.faults import recordings

WORDS = ("need", "seats", "budget", "contract", "users", "demo", "price", "offer", "office", "phone", "month")


class Talk(Script):
    """A recogniser that hears other words in each recording, some of them `said` by all.

    faults: which share of requests to the provider fails for a moment.
    """

    def __init__(self, said: str = "we", *, faults: float = 0.0, delay_seconds: float = 0.0) -> None:
        super().__init__()
        self.said, self.faults, self.delay_seconds = said, faults, delay_seconds
        self._chance = random.Random(3)

    def take(self, *, method: str, path: str, query: str, body: bytes, sha256: str | None) -> Rule | None:
        rule = super().take(method=method, path=path, query=query, body=body, sha256=sha256)
        words = " ".join([self.said, *random.Random(sha256).choices(WORDS, k=12)])
        if rule and rule.text == self.said:
            return replace(rule, text=words)
        if rule or not path.startswith("/v1/"):
            return rule
        if self._chance.random() < self.faults:
            status = self._chance.choice([429, 500, 503])
            return Rule(status=status, body={"error": {"message": "for a moment", "code": "x"}})
        if path != "/v1/audio/transcriptions":
            return None
        return Rule(text=words, delay_seconds=self.delay_seconds)


@dataclass
class Call:
    """One call: its deal, when it ended, when its recording was there, what became of it."""

    deal: int
    ended_at: float
    ready_at: float = 0.0
    job: Job | None = None
    entry_at: float | None = None


class Telephony:
    """A portal of its own, with the limits of the cloud, whose calls are in its CRM."""

    def __init__(self, name: str, *, events: bool = True) -> None:
        self.name, self.events = name, events
        self.sandbox = Sandbox()
        self.token = secrets.token_urlsafe(24)
        self.calls: list[Call] = []
        self._senders = ThreadPoolExecutor(32)
        self._sent: list[Future[None]] = []

    def settings(self) -> dict[str, str]:
        """Its entry in PORTALS_FILE, as TOML values."""
        plain = {"url": self.sandbox.base_url, "webhook": self.sandbox.webhook_url, "timeline": "bitrix24"}
        if self.events:
            plain["application_token"] = APPLICATION_TOKEN
        return {name: f'"{value}"' for name, value in plain.items()} | {"tokens": f'["{self.token}"]'}

    def ring(
        self, api_url: str, recording: Path, number: int, *, late: float = 0.0, engine: bool = True,
        stores: bool = True, patience_seconds: float = 0.0,
    ) -> Call:  # fmt: skip
        """A call of a contact with a deal ends now; event and engine request follow, from another thread.

        late: seconds until its recording is attached. stores: the portal keeps the transcript that it gets.
        patience_seconds: how long both are sent again while they are not taken.
        """
        crm = self.sandbox.crm
        recordings.write(recording, seconds=1.5, seed=number)
        made = crm.add_call(owner=("contact", number), bindings=(("deal", number),))
        activity = int(made.fields["ID"])
        call = Call(number, time.time())
        self.calls.append(call)

        def run() -> None:
            stored = crm.store(recording, content_type="audio/wav")
            if not late:
                crm.attach(activity, stored)
            end = time.monotonic() + late + patience_seconds
            if self.events:
                self._tell(activity, f"{api_url}/events/{self.token}", end)
            time.sleep(late)
            if late:
                crm.attach(activity, stored)
            call.ready_at = time.time()
            if engine:
                link = crm.link(self.sandbox.base_url, stored)
                call.job = self._ask(link, f"{api_url}/engines/{self.token}/audio", end, activity, stores)

        self._sent.append(self._senders.submit(run))
        return call

    def _tell(self, activity: int, url: str, end: float) -> None:
        while True:
            with suppress(httpx.HTTPError):
                data = {"FIELDS": {"ID": activity}}
                if self.sandbox.send_event("ONCRMACTIVITYADD", data, to=url) == 200:
                    return
            if time.monotonic() > end:
                return  # portals send events once: it is lost
            time.sleep(0.5)

    def _ask(self, link: str, url: str, end: float, activity: int, stores: bool) -> Job:
        fixture: dict[str, Any] = {
            "name": None, "category": "audio",
            "body": {
                "prompt": {"file": link, "fields": [], "fileExtension": ""}, "category": "audio",
                "payload_markers": {"language": "English"}, "ttl": 14_400,
                "callbackUrl": "{callback}", "errorCallbackUrl": "{error_callback}",
            },
        }  # fmt: skip
        token = secrets.token_hex(16)
        # the job has to know its call before the callback may come
        job = self.sandbox.send(fixture, to=url, hash=token, activity=activity if stores else None)
        while not job.accepted and time.monotonic() < end:
            time.sleep(0.5)
            job = self.sandbox.send("", hash=token)
        return job

    def sent(self, seconds: float = 60.0) -> None:
        """Waits until everything is sent; raises what a sender raised."""
        for future in self._sent:
            future.result(seconds)

    def watch(self) -> None:
        """Notes when entries came to stand."""
        standing = {entry["entityId"] for entry in list(self.sandbox.crm.log_entries)}
        for call in self.calls:
            if call.entry_at is None and call.deal in standing:
                call.entry_at = time.time()

    def wrong(self) -> list[str]:
        """Calls without an outcome or not exactly one entry."""
        found = [f"deal {c.deal}: no outcome" for c in self.calls if c.job and c.job.outcome != "success"]
        for call in self.calls:
            entries = len(self.sandbox.crm.logs(2, call.deal))
            if entries != 1:
                found.append(f"deal {call.deal}: {entries} entries")
        return found

    def close(self) -> None:
        self._senders.shutdown(cancel_futures=True)
        self.sandbox.stop()

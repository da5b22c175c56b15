"""The whole service beside a sandbox, on free loopback ports, in a fresh folder that goes with it."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from pipeline.cli import CannotStart, WorkFailed, attached, parts
from pipeline.cli.recogniser import LOAD_SECONDS, Recogniser
from pipeline.cli.sandbox import child as sandbox_child
from pipeline.cli.sandbox import settings_for
from pipeline.cli.service import await_answer
from pipeline.cli.supervise import Leaves, Supervisor
from pipeline.settings.installation import Settings, load

LOOK_SECONDS = 0.1


@dataclass(kw_only=True)
class Rehearsal:
    """A running service and its sandbox; `look` must be called while waiting, it keeps them running."""

    folder: Path
    settings: Settings
    api: httpx.Client  # with the key
    sandbox: httpx.Client
    engines_url: str
    supervisor: Supervisor

    @property
    def api_url(self) -> str:
        return str(self.api.base_url).rstrip("/")

    @property
    def api_key(self) -> str:
        return self.settings.api_key.get_secret_value() if self.settings.api_key else ""

    def look(self) -> None:
        """Tends the processes for a moment."""
        self.supervisor.tend()
        time.sleep(LOOK_SECONDS)

    def register(self) -> list[str]:
        """Registers our engines on the sandbox portal; the categories. Raises WorkFailed."""
        done = []
        for category in ("audio", "call", "text", "image"):
            answer = self.sandbox.post(
                "/rest/1/sandboxwebhook/ai.engine.register",
                json={
                    "name": "Callscribe",
                    "code": f"callscribe_{category}",
                    "category": category,
                    "completions_url": f"{self.engines_url}/{category}",
                },
            )
            if answer.status_code != 200:
                raise WorkFailed(f"the portal does not register the {category} engine: {answer.text}")
            done.append(category)
        return done

    def send(self, fixture: str) -> dict[str, Any]:
        """Has the portal send a request of fixtures/requests; the portal's job. Raises WorkFailed."""
        answer = self.sandbox.post("/_send", json={"fixture": fixture})
        if answer.status_code != 200:
            raise WorkFailed(f"the sandbox does not send {fixture}: {answer.text}")
        sent: dict[str, Any] = answer.json()
        return sent

    def last_words(self) -> str:
        """The ends of the processes' logs, for a failure's report."""
        found = []
        for log in sorted((self.folder / "log").glob("*.log")):
            lines = log.read_text(errors="replace").splitlines()[-8:]
            found += [f"--- {log.stem}", *lines]
        return "\n".join(found)


@contextmanager
def rehearse(
    *,
    say: Callable[[str], None] = lambda line: None,
    hears: Recogniser | None = None,
    **extra: str,
) -> Iterator[Rehearsal]:
    """Starts everything, and leaves neither process nor file behind.

    hears: a recogniser beside the sandbox, which has PocketSphinx of its own. extra: further settings by
    their names without CALLSCRIBE_. Nothing of the caller's environment or `.env` counts. Raises CannotStart.
    """
    folder = Path(tempfile.mkdtemp(prefix="callscribe-", dir=attached.short_folder()))
    try:
        with (
            attached.interrupted_by(signal.SIGTERM, signal.SIGHUP),
            parts.listen("127.0.0.1", 0) as api_socket,
            parts.listen("127.0.0.1", 0) as sandbox_socket,
        ):
            yield from _run(folder, api_socket, sandbox_socket, hears, say, extra)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(
    folder: Path,
    api_socket: socket.socket,
    sandbox_socket: socket.socket,
    hears: Recogniser | None,
    say: Callable[[str], None],
    extra: dict[str, str],
) -> Iterator[Rehearsal]:
    token, key = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
    api_url, sandbox_url = parts.address_of(api_socket), parts.address_of(sandbox_socket)
    own = {
        **settings_for(sandbox_url),
        "CALLSCRIBE_DATA_DIR": str(folder / "data"),
        "CALLSCRIBE_PUBLIC_URL": api_url,
        "CALLSCRIBE_PORTAL_TOKEN": token,
        "CALLSCRIBE_API_KEY": key,
        **(hears.settings() if hears else {}),
        **{f"CALLSCRIBE_{name.upper()}": value for name, value in extra.items()},
    }
    for name in [name for name in os.environ if name.startswith("CALLSCRIBE_")]:
        del os.environ[name]
    for name in ("tmp", "data", "here"):
        (folder / name).mkdir(mode=0o700)
    env = os.environ | own | {"TMPDIR": str(folder / "tmp")}
    names = {name.removeprefix("CALLSCRIBE_").lower(): value for name, value in own.items()}
    settings = load(_env_file=None, **names)
    supervisor = Supervisor(
        [
            attached.store_child(settings),
            sandbox_child(sandbox_socket),
            *([hears.child] if hears else ()),
            *parts.api(api_socket),
            *parts.workers(settings),
        ],
        env=env,
        cwd=folder / "here",  # no `.env` there
        logs=folder / "log",
        lost=attached.free_leases(settings),
        say=say,
    )
    headers = {"authorization": f"Bearer {key}"}
    with (
        httpx.Client(base_url=api_url, headers=headers, timeout=30, trust_env=False) as api,
        httpx.Client(base_url=sandbox_url, timeout=70, trust_env=False) as sandbox,
    ):
        whole = Rehearsal(
            folder=folder,
            settings=settings,
            api=api,
            sandbox=sandbox,
            engines_url=f"{api_url}/engines/{token}",
            supervisor=supervisor,
        )
        try:
            supervisor.start()
            try:
                await_answer(supervisor, sandbox_url, "/")
                await_answer(supervisor, api_url, "/ready")
                if hears:
                    await_answer(supervisor, hears.address, hears.looks, seconds=LOAD_SECONDS)
            except CannotStart as error:
                raise CannotStart(f"{error.message}\n{whole.last_words()}") from None
            try:
                yield whole
            except httpx.HTTPError as error:
                raise WorkFailed(f"no answer ({type(error).__name__})\n{whole.last_words()}") from None
            supervisor.stop(before={Leaves.SECOND: api_socket.close, Leaves.THIRD: sandbox_socket.close})
        finally:
            supervisor.kill()

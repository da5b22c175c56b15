"""Every command of the documents, run in order beside the sandbox: it does what its page says.

The pages are one user's way: connect a portal, look after it, upgrade it, restore a copy. What stands for
a real portal, provider and address there is the sandbox's; `callscribe up` and `systemctl` start and
stop a real service.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipeline.domain import errors
from tests.system.processes import ROOT, Portal, Process, environment, short_folder

PAGES = ("start", "events", "troubleshooting", "commands", "hardening", "upgrade", "backup")
# pages whose commands another test runs
ELSEWHERE = {
    "whisper.md": "tests/whisper",
    "archive.md": "tests/cli/test_calls.py",
    "operating.md": "tests/deploy/test_operating.py",
}
# what takes a registry or a host of its own: which test does the same here
NOT_HERE = {
    "pipx install": "tests/system/test_wheel.py installs the wheel",
    "callscribe doctor --json | jq": "not every machine has jq",
    "callscribe transcribe": "tests/cli/test_with_sandbox.py: seconds of recognition each",
    "cat call.mp3 | callscribe transcribe": "test_transcribe_takes_several_files reads the standard input",
}
START, STOP = ("callscribe up", "systemctl start callscribe"), ("systemctl stop callscribe",)


@dataclass(frozen=True, kw_only=True)
class Block:
    """Commands of a page, the exit code that they end with, and what their output shows."""

    page: str
    commands: str
    exit: str = "0"
    shows: tuple[str, ...] = ()


@dataclass(kw_only=True)
class Ran:
    """What came of a block."""

    block: Block
    code: int
    output: str


def blocks(page: str) -> list[Block]:
    """The runnable blocks of a page, each with the `text` block that follows it."""
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    found: list[Block] = []
    for info, body in re.findall(r"^```([^\n]*)\n(.*?)^```$", text, re.M | re.S):
        words = info.split()
        if words[:1] == ["sh"]:
            found.append(Block(page=page, commands=body, exit=words[2] if words[1:2] == ["exit"] else "0"))
        elif words[:1] == ["text"] and found and not found[-1].shows:
            last = found.pop()
            shows = tuple(line.strip() for line in body.splitlines())
            found.append(Block(page=page, commands=last.commands, exit=last.exit, shows=shows))
    return found


@dataclass(kw_only=True)
class Desk:
    """An operator's terminal: an empty folder, a portal, and the service once it is started."""

    folder: Path
    portal: Portal
    port: int
    service: Process | None = None
    ran: list[Ran] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def env(self) -> dict[str, str]:
        """What makes the sandbox's addresses good, and nothing that the pages set."""
        own = {name: self.portal.settings[name] for name in ("router_url", "chat_model", "image_model")}
        hosts = f"{self.portal.url.partition('//')[2]},127.0.0.1:{self.port}"
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        return environment(**own, trusted_hosts=hosts, sweep_seconds="0.2") | {"PATH": path}

    def here(self, text: str) -> str:
        """A page's commands with the sandbox in place of what is real."""
        for real, ours in {
            "https://acme.bitrix24.com/rest/1/abcdefgh12345678/": self.portal.settings["bitrix24_webhook"],
            "https://acme.bitrix24.com": self.portal.url,
            "https://callscribe.example.com": self.address,
            "http://127.0.0.1:8000": self.address,
            "the-key-of-the-provider": self.portal.settings["router_key"],
        }.items():
            text = text.replace(real, ours)
        return text

    def start(self) -> str:
        assert self.service is None
        self.service = Process("up", "--port", str(self.port), env=self.env(), cwd=self.folder)
        return self.service.line("callscribe is ready")

    def stop(self) -> None:
        assert self.service is not None
        assert self.service.end(signal.SIGTERM) == 0, self.service.output
        self.service = None

    def run(self, block: Block) -> None:
        """Runs the lines of a block; those that start or stop the service do so here."""
        output, code, waiting = "", 0, list[str]()
        for line in [*block.commands.splitlines(), None]:
            if line is None or line in START or line in STOP:
                if waiting:
                    done = self._bash("\n".join(waiting))
                    output, code, waiting = output + done.stdout + done.stderr, done.returncode, []
                if line in START:
                    output += self.start()
                elif line in STOP:
                    self.stop()
            else:
                waiting.append(line)
        self.ran.append(Ran(block=block, code=code, output=output))

    def _bash(self, lines: str) -> subprocess.CompletedProcess[str]:
        script = (
            "set -e; . ./.variables; trap '{ declare -p TOKEN JOB; } >.variables 2>/dev/null || true' EXIT\n"
            + self.here(lines)
        )
        return subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env=self.env(),
            capture_output=True,
            text=True,
            timeout=100,
        )


@pytest.fixture(scope="module")
def ran() -> Iterator[list[Ran]]:
    with short_folder() as folder:
        program = folder / "bin" / "callscribe"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m pipeline "$@"\n')
        program.chmod(0o755)
        (folder / ".variables").touch()
        (folder / "portal").mkdir()
        portal = Portal(folder / "portal")
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        desk = Desk(folder=folder, portal=portal, port=port)
        try:
            for page in PAGES:
                for block in blocks(page):
                    desk.run(block)
                if page == "start":
                    desk.stop()  # as its sixth step says: the application token is read at the start
                    desk.start()
                if page == "events":
                    _calls(desk)
            yield desk.ran
        finally:
            if desk.service:
                desk.service.end()
            portal.http.close()
            portal.running.end()


def _calls(desk: Desk) -> None:
    """A call that is scored and one that is none, so that there is something to look after."""
    token = re.search(r"PORTAL_TOKEN=(\S+)", (desk.folder / ".env").read_text())
    assert token
    engines = f"{desk.address}/engines/{token[1]}"
    desk.portal.script(path="/v1/audio/transcriptions", text="our budget is ten thousand dollars")
    for fixture, outcome in (("not-audio", "error"), ("sales-call", "success")):
        sent = desk.portal.send(fixture, engines)
        assert desk.portal.outcome(sent)["outcome"] == outcome


@pytest.mark.timeout(900)  # the first one waits for all pages: two minutes on a quiet machine
@pytest.mark.parametrize("page", PAGES)
def test_each_command_of_a_page_does_what_it_says(ran: list[Ran], page: str) -> None:
    """Every block ends with the exit code that its page gives, and shows the lines that follow it there."""
    blocks_of_page = [each for each in ran if each.block.page == page]
    assert blocks_of_page
    for each in blocks_of_page:
        assert str(each.code) == each.block.exit, f"{each.block.commands}\n{each.output}"
        for line in each.block.shows:
            wanted = line.replace("http://127.0.0.1:8000", "http://127.0.0.1:")
            assert all(part in each.output for part in wanted.split("...")), f"{line}\n{each.output}"


def test_no_page_has_commands_that_nothing_runs() -> None:
    """A page with commands is run here, or by the test that is named; the rest of them are told with why."""
    for file in sorted((ROOT / "docs").glob("*.md")):
        text = file.read_text(encoding="utf-8")
        if "```sh" in text:
            elsewhere = ELSEWHERE.get(file.name)
            assert file.stem in PAGES or (elsewhere and (ROOT / elsewhere).exists()), file.name
        for body in re.findall(r"^```console\n(.*?)^```$", text, re.M | re.S):
            for line in body.splitlines():
                assert any(line.startswith(known) for known in NOT_HERE), line


def test_the_reasons_of_failures_are_real() -> None:
    """Each reason in the table of troubleshooting is the slug of an error, or of an outcome nobody took."""
    slugs = {
        error.slug for error in vars(errors).values() if isinstance(error, type) and hasattr(error, "slug")
    }
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    table = page.partition("| reason |")[2].partition("\n\n")[0]
    named = {
        name for row in re.findall(r"^\| (`.*?) \|", table, re.M) for name in re.findall(r"`(\w+)`", row)
    }
    assert len(named) > 6
    assert named <= slugs | {"undelivered"}

"""The supervisor, over small children of the test's own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli import CannotStart, attached, parts, supervise
from pipeline.cli.supervise import ROOT, Child, Leaves, Supervisor
from pipeline.domain.errors import StoreUnavailable
from tests.system.processes import alive, descendants, until

SLEEP = "import time; time.sleep(60)"
# leaves a mark when it is told to go
POLITE = (
    "import signal, sys, time, pathlib\n"
    "def go(*_):\n"
    "    pathlib.Path(sys.argv[1]).open('a').write(sys.argv[2] + ' ')\n"
    "    sys.exit(0)\n"
    "signal.signal(signal.SIGTERM, go)\n"
    "pathlib.Path(sys.argv[1] + '.' + sys.argv[2]).touch()\n"
    "time.sleep(60)\n"
)


def child(
    name: str, code: str = SLEEP, *args: str, leaves: Leaves = Leaves.FIRST, **options: object
) -> Child:
    return Child(name=name, command=(sys.executable, "-c", code, *args), leaves=leaves, **options)  # type: ignore[arg-type]


# loads its code ahead, as it were, and works once it is told to
AHEAD = (
    "import os, pathlib, sys, time\n"
    "path = pathlib.Path(sys.argv[1])\n"
    "if '--held' in sys.argv:\n"
    "    path.with_suffix('.loaded').touch()\n"
    "    os.read(0, 1) or sys.exit(0)\n"
    "path.touch()\n"
    "time.sleep(60)\n"
)


@contextmanager
def supervised(*children: Child, **options: Any) -> Iterator[Supervisor]:
    supervisor = Supervisor(children, **options)
    try:
        supervisor.start()
        yield supervisor
    finally:
        supervisor.kill()


def tended(supervisor: Supervisor, look: Callable[[], object]) -> None:
    def both() -> object:
        supervisor.tend()
        return look()

    until(both)


def test_a_child_that_dies_is_started_again_and_later_each_time() -> None:
    """The pauses between starts grow, and the death is told with its cause."""
    said: list[str] = []
    with supervised(child("quick", "import sys; sys.exit(7)"), say=said.append) as supervisor:
        tended(supervisor, lambda: len(said) >= 3)
        assert supervisor.deaths() == 3
    assert [line.rpartition("in ")[2] for line in said[:3]] == ["0.2 s", "0.4 s", "0.8 s"]
    assert "left with code 7" in said[0]


def test_a_killed_worker_is_told_by_its_node_when_all_of_it_is_dead(tmp_path: Path) -> None:
    """Its own children are dead before its leases are freed, and freeing is tried until it works."""
    note = tmp_path / "pids"
    code = (
        "import os, pathlib, subprocess, sys, time\n"
        "inner = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"pathlib.Path({str(note)!r}).write_text(f'{{inner.pid}} ' + os.environ['CALLSCRIBE_NODE'])\n"
        "time.sleep(60)\n"
    )
    freed: list[str] = []
    seen: list[bool] = []

    def lost(node: str) -> None:
        freed.append(node)
        seen.append(alive(int(note.read_text().split()[0])))
        if len(freed) == 1:
            raise StoreUnavailable("away")

    with supervised(child("media", code, worker=True), lost=lost) as supervisor:
        node = str(until(lambda: note.exists() and note.read_text().partition(" ")[2]))
        os.kill(supervisor.pids()["media"], signal.SIGKILL)
        tended(supervisor, lambda: len(freed) == 2)
        assert freed == [node, node]
        assert node.startswith("media-")
        assert seen == [False, False]
        tended(supervisor, lambda: note.read_text().partition(" ")[2] not in ("", node))


def test_children_leave_in_order(tmp_path: Path) -> None:
    """Workers first, then the api, the sandbox, and the store last; all with 0 within their time."""
    marks = tmp_path / "marks"
    ordered = ["FIRST", "SECOND", "THIRD", "LAST"]
    children = [child(name, POLITE, str(marks), name, leaves=Leaves[name]) for name in reversed(ordered)]
    said: list[str] = []
    with supervised(*children, say=said.append) as supervisor:
        until(lambda: all(Path(f"{marks}.{name}").exists() for name in ordered))
        supervisor.stop(before={Leaves.SECOND: lambda: said.append(marks.read_text())})
        assert supervisor.pids() == {}
    assert marks.read_text().split() == ordered
    assert said == ["FIRST "]


def test_a_child_that_stays_is_killed(tmp_path: Path) -> None:
    """One that ignores SIGTERM is ended after its grace."""
    mark = tmp_path / "deaf"
    code = (
        "import pathlib, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "pathlib.Path(sys.argv[1]).touch()\n"
        "time.sleep(60)\n"
    )
    said: list[str] = []
    with supervised(child("deaf", code, str(mark), grace_seconds=0.3), say=said.append) as supervisor:
        pid = supervisor.pids()["deaf"]
        until(mark.exists)
        supervisor.stop()
        assert not alive(pid)
    assert said == ["deaf did not leave in 0 s and is killed"]


def test_what_cannot_be_started_is_an_error() -> None:
    """A program that is not there: CannotStart."""
    missing = Child(name="missing", command=("/nonexistent/program",), leaves=Leaves.FIRST)
    with pytest.raises(CannotStart), supervised(missing):
        pass


def test_logs_go_to_files_that_are_ours_alone(tmp_path: Path) -> None:
    """With a folder for logs, each child writes its own file."""
    logs = tmp_path / "log"
    with supervised(child("talks", "print('hello', flush=True)"), logs=logs):
        until(lambda: "hello" in (logs / "talks.log").read_text())
    assert logs.stat().st_mode & 0o777 == 0o700


def test_a_supervisor_rests_until_a_child_ends_or_it_is_told_to_leave() -> None:
    """Its rest ends with whichever comes first, and the end of a child that came before is not missed."""
    code = textwrap.dedent(
        f"""
        import os, signal, subprocess, sys
        sys.path.insert(0, {str(ROOT)!r})
        from pipeline.cli.supervise import Leaving
        leave = Leaving()
        for _ in range(2):
            child = subprocess.Popen([sys.executable, "-c", ""])
            print(leave.rest(60), child.wait(60))
        print(leave.rest(0))
        os.kill(os.getpid(), signal.SIGTERM)
        print(leave.rest(60), leave.is_set())
        """
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50)
    assert done.stdout.splitlines() == ["False 0", "False 0", "False", "True True"], done.stderr


def test_no_child_outlives_a_killed_supervisor() -> None:
    """SIGKILL of the supervisor: the kernel ends its children at once."""
    code = textwrap.dedent(
        f"""
        import sys, time
        sys.path.insert(0, {str(ROOT)!r})
        from pipeline.cli.supervise import Child, Leaves, Supervisor
        one = Child(name="one", command=(sys.executable, "-c", {SLEEP!r}), leaves=Leaves.FIRST)
        Supervisor([one]).start()
        print("started", flush=True)
        time.sleep(60)
        """
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "started\n"
        children = list(descendants(process.pid))
        assert children
        process.kill()
    until(lambda: not any(alive(pid) for pid in children), seconds=5)


def test_one_process_holds_a_data_folder(tmp_path: Path) -> None:
    """A second holder is told who the first is; afterwards the folder is free again."""
    with (
        attached.locked(tmp_path),
        pytest.raises(CannotStart, match=str(os.getpid())),
        attached.locked(tmp_path),
    ):
        pass
    with attached.locked(tmp_path):
        pass


def test_no_pause_is_longer_than_a_portal_waits() -> None:
    """A portal gives an engine 5 s: however often the api or the store died, each is started within that."""
    assert supervise.LONGEST_DELAY_SECONDS + 2 < 5


def test_what_comes_first_can_be_started_alone() -> None:
    """The rest is not started, nor by a look at them all, until it is its turn."""
    supervisor = Supervisor([child("api", leaves=Leaves.SECOND), child("worker")])
    try:
        supervisor.start(down_to=Leaves.SECOND)
        supervisor.tend()
        api = supervisor.pids()
        assert set(api) == {"api"}
        supervisor.start()
        assert supervisor.pids() == api | {"worker": supervisor.pids()["worker"]}
    finally:
        supervisor.kill()


def test_what_is_begun_ahead_works_once_it_is_started(tmp_path: Path) -> None:
    """It has loaded its code and done nothing else; started, the same process works, and is kept running."""
    mark = tmp_path / "mark"
    ahead = child("api", AHEAD, str(mark), leaves=Leaves.SECOND, held=("--held",))
    supervisor = Supervisor([ahead, child("worker")])
    try:
        supervisor.prepare()
        until(mark.with_suffix(".loaded").exists)
        begun = supervisor.pids()
        assert set(begun) == {"api"}
        assert not mark.exists()
        supervisor.start(down_to=Leaves.SECOND)
        until(mark.exists)
        assert supervisor.pids() == begun
        mark.unlink()
        os.kill(begun["api"], signal.SIGKILL)
        tended(supervisor, mark.exists)  # not held this time
        assert set(supervisor.pids().values()).isdisjoint(begun.values())
    finally:
        supervisor.kill()


def test_what_has_ended_ahead_of_its_start_is_started_again(tmp_path: Path) -> None:
    """A process that died while it was held is missed by nobody's start."""
    mark = tmp_path / "mark"
    supervisor = Supervisor([child("api", AHEAD, str(mark), held=("--held",))])
    try:
        supervisor.prepare()
        first = supervisor.pids()["api"]
        os.kill(first, signal.SIGKILL)
        until(lambda: not alive(first))
        supervisor.start()
        tended(supervisor, mark.exists)
    finally:
        supervisor.kill()


def test_an_api_that_nobody_starts_leaves_without_a_word(tmp_path: Path) -> None:
    """The supervisor that held it is gone: it reads no settings, serves nobody and exits 0."""
    with parts.unbound("127.0.0.1", 0) as listener:
        done = subprocess.run(
            [*parts.api(listener)[0].command, "--held"],
            env={**os.environ, "CALLSCRIBE_CHUNK_SECONDS": "wrong"},
            pass_fds=[listener.fileno()],
            stdin=subprocess.DEVNULL,
            cwd=tmp_path,
            capture_output=True,
            timeout=60,
        )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert not list(tmp_path.iterdir())


def test_the_supervisor_begins_the_api_before_it_loads_its_own_code() -> None:
    """Until then it brings no settings, no log, no store's client and no HTTP."""
    heavy = {"pydantic", "structlog", "redis", "starlette", "httpx", "httpcore", "http.client", "celery"}
    told = f"import sys, pipeline.cli.up; print(sorted({heavy!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done.stderr

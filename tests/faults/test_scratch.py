"""Temporary folders of several services under one /tmp."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.confinement.scratch import scratch, tidy
from pipeline.domain.errors import StoreUnavailable

ROOT = Path(__file__).parents[2]
BUSY = """
import sys
from pipeline.confinement.scratch import scratch, tidy
for number in range(int(sys.argv[1])):
    with scratch() as folder:
        (folder / "recording").write_bytes(b"x")
        tidy()
        with scratch() as other:
            (other / "chunk").write_bytes(b"y")
        assert (folder / "recording").read_bytes() == b"x"
print("done", flush=True)
"""


def busy(tmp_path: Path, rounds: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", BUSY, str(rounds)], cwd=ROOT, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip


def test_services_that_share_a_folder_take_nothing_from_each_other(tmp_path: Path) -> None:
    """Three work at the same time, a fourth is killed: no error, nothing lost, nothing left."""
    endless = busy(tmp_path, 10**9)
    others = [busy(tmp_path, 150) for _ in range(3)]
    try:
        while not list(tmp_path.glob("callscribe-*/*")):
            assert endless.poll() is None
        endless.send_signal(signal.SIGKILL)
        for other in others:
            out, err = other.communicate(timeout=100)
            assert (out, err) == ("done\n", "")
    finally:
        for process in (endless, *others):
            process.kill()
            process.communicate()
    last = busy(tmp_path, 1)
    last.communicate(timeout=60)
    assert list(tmp_path.glob("callscribe-*/*")) == []


def test_a_folder_that_goes_while_others_look_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its owner removes it between the listing and the look: the others go on."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    listed = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda root: [root / "gone-meanwhile", *listed(root)])
    with scratch() as folder:
        assert folder.is_dir()


def test_what_lies_in_the_place_of_the_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of that name holds steps up with a word; once it is gone they go on."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / f"callscribe-{os.getuid()}").write_text("not ours")
    with pytest.raises(StoreUnavailable, match="temporary folder"), scratch():
        pass
    (tmp_path / f"callscribe-{os.getuid()}").unlink()
    tidy()
    with scratch() as folder:
        assert folder.parent.stat().st_mode & 0o777 == 0o700

"""The wheel, built and installed into an environment of its own, without any network."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from tests.system.processes import ROOT


def build(folder: Path) -> Path:
    """The wheel of this checkout, made as a release makes it."""
    _run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], cwd=ROOT)
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(wheel: Path, folder: Path) -> Path:
    """The `callscribe` of an environment that holds the wheel, and sees what it needs in this one's."""
    _run([sys.executable, "-m", "venv", "--without-pip", str(folder)])
    python = folder / "bin" / "python"
    # some systems keep pip apart from Python: then their own pip fills the environment
    pip = sys.executable if importlib.util.find_spec("pip") else str(Path(sys.base_prefix) / "bin/python3")
    options = ["install", "--quiet", "--no-index", "--no-deps", "--disable-pip-version-check"]
    _run([pip, "-m", "pip", "--python", str(python), *options, str(wheel)])
    purelib = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    # a line of a .pth adds the folder, and reads none of its .pth: the checkout stays out of sight
    (folder / purelib / "locked.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin" / "callscribe"


def _run(command: Sequence[str], cwd: Path | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr

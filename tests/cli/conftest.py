from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog

from pipeline.cli import main


@dataclass(frozen=True, kw_only=True)
class Done:
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], short_path: Path
) -> Iterator[Run]:
    """Runs a command in this process, in an empty folder, with no settings but those given."""
    for name in list(os.environ):
        if name.startswith("CALLSCRIBE_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(short_path)
    root = logging.getLogger()
    handlers, level, before = root.handlers[:], root.level, structlog.get_config()

    def command(*args: str, **settings: str) -> Done:
        for name, value in settings.items():
            monkeypatch.setenv(f"CALLSCRIBE_{name.upper()}", value)
        with pytest.raises(SystemExit) as left:
            main(args)
        said = capfd.readouterr()
        code = left.value.code
        assert isinstance(code, int)
        return Done(code=code, out=said.out, err=said.err)

    yield command
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**before)

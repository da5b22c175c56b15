"""The recogniser of this machine: Whisper where its extra is installed, else PocketSphinx, English only."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from pydantic import SecretStr

from pipeline.cli import CannotStart, parts, whisper
from pipeline.cli.sandbox import child as sandbox_child
from pipeline.cli.supervise import Child
from pipeline.domain.errors import SettingsError
from pipeline.sandbox.app import KEY
from pipeline.settings.portals import Portal

Name = Literal["whisper", "pocketsphinx"]
ENGLISH_ONLY = f"PocketSphinx hears, English only; for other languages: {whisper.adding('whisper')}"
LOAD_SECONDS = 600.0  # the largest model from a slow disk
NO_MODEL = "the model of Whisper cannot be had, the lines above say why"


class NoRecogniser(SettingsError):
    """No recogniser is installed on this machine."""

    slug = "no_recogniser"
    hint = (
        f"{whisper.adding('whisper')} adds a Whisper (350 MB, many languages), "
        f"{whisper.adding('sandbox')} PocketSphinx (English alone)."
    )


@dataclass(frozen=True, kw_only=True)
class Recogniser:
    """A recogniser of this machine, to be supervised. looks: a path that answers 200 once it serves."""

    name: Name
    child: Child
    address: str
    looks: str
    url: str
    key: str

    def settings(self) -> dict[str, str]:
        """What makes the service ask it."""
        return {"CALLSCRIBE_TRANSCRIPTION_URL": self.url, "CALLSCRIBE_TRANSCRIPTION_KEY": self.key}

    def serving(self, portal: Portal) -> Portal:
        """The portal, whose recordings go to this recogniser and nowhere else."""
        own = {"url": self.url, "key": SecretStr(self.key), "model": None, "fallbacks": ()}
        return portal.model_copy(update={f"transcription_{name}": value for name, value in own.items()})


def chosen(
    wanted: Name | None, *, model: str, language: str | None = None, say: Callable[[str], None]
) -> Name:  # fmt: skip
    """The recogniser that is wanted, else the best that is installed; fetches its model if need be.

    model: of Whisper. language: ISO 639-1, where it is known. `say` hears of a recogniser that is not the
    best one. Raises SettingsError where none is installed, or it does not know the language.
    """
    if wanted == "whisper" and not whisper.installed():
        raise whisper.NotInstalled
    if wanted != "pocketsphinx" and whisper.installed():
        if _fetched(model):
            return "whisper"
        if wanted == "whisper":
            raise CannotStart(NO_MODEL)
        say(NO_MODEL)
    if importlib.util.find_spec("pocketsphinx") is None:
        raise NoRecogniser("no recogniser is installed here")
    if language not in (None, "en"):
        raise SettingsError(f"{ENGLISH_ONLY} (asked for: {language})")
    say(ENGLISH_ONLY)
    return "pocketsphinx"


@contextmanager
def local(name: Name, *, model: str) -> Iterator[Recogniser]:
    """The recogniser on a free loopback port, not started yet."""
    with parts.listen("127.0.0.1", 0) as listener:
        address = parts.address_of(listener)
        if name == "whisper":
            child, looks, key = whisper.child(listener, model=model), "/health", "local"
        else:
            child, looks, key = sandbox_child(listener, name=name), "/", KEY
        yield Recogniser(
            name=name, child=child, address=address, looks=looks, url=f"{address}/v1", key=key
        )  # fmt: skip


def _fetched(model: str) -> bool:
    """Whether the model is here, now at the latest; what takes time, or fails, is told on stderr."""
    command = [sys.executable, "-m", "pipeline", "whisper", "--fetch", "--model", model]
    return subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode == 0  # noqa: S603

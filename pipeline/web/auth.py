"""Who may use `/v1`, `/metrics` and the list of jobs: who has the API key, or a session opened by it."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request

from pipeline.settings.installation import Settings
from pipeline.web.rate_limits import RateLimit

COOKIE = "callscribe"
SESSION_SECONDS = 12 * 3600
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="callscribe"'}


def key_file(settings: Settings) -> Path:
    """Where the API key lies that nobody has set."""
    return settings.data_dir / "api-key"


def find_key(settings: Settings, *, make: bool = False) -> str | None:
    """The API key: of the settings, else of DATA_DIR, where `make` writes a new one (mode 0600)."""
    if settings.api_key:
        return settings.api_key.get_secret_value()
    path = key_file(settings)
    if make and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        made = path.with_name(f".api-key.{secrets.token_hex(8)}")
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
        try:
            os.link(made, path)  # of two processes that make a key at the same time, the first one's is used
        except FileExistsError:
            pass
        finally:
            made.unlink()
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        return None


class Keyring:
    """Checks keys in constant time; holds digests only."""

    def __init__(self, key: str | None) -> None:
        self._digest = hashlib.sha256(key.encode()).digest() if key else None
        self.wrong_keys = RateLimit(rate=1, burst=20)
        self.used = RateLimit(rate=100, burst=500)

    def fits(self, given: str) -> bool:
        """Whether this is the key."""
        found = hashlib.sha256(given.encode("utf-8", "replace")).digest()
        return self._digest is not None and hmac.compare_digest(found, self._digest)

    def session(self, secret: str) -> str | None:
        """The name under which the store keeps the session of this cookie, while the key stays the same.

        Whoever reads the store can make no cookie of it.
        """
        if not secret or self._digest is None:
            return None
        return hmac.new(self._digest, secret.encode("utf-8", "replace"), hashlib.sha256).hexdigest()

    def refuse(self, request: Request) -> HTTPException:
        """The 401 for who has no key; raises 429 itself for who has tried too often."""
        self.wrong_keys.spend(request)
        if self._digest is None:
            return HTTPException(401, "No API key is set here: set CALLSCRIBE_API_KEY.", _CHALLENGE)
        return HTTPException(401, "Expected `Authorization: Bearer KEY` or `X-Api-Key: KEY`.", _CHALLENGE)


def given_key(request: Request) -> str:
    """The key in the request's headers, or nothing."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip()
    return request.headers.get("x-api-key", "").strip()

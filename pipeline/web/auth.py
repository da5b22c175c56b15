"""Who may use `/v1`, `/metrics` and the console: who has a key, or a session opened by one."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Iterator
from enum import IntEnum
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


class Role(IntEnum):
    """What a key is good for; each role has what the ones below it have."""

    READ = 1  # READ_KEY: sees
    REVIEW = 2  # REVIEW_KEY: corrects
    OPERATE = 3  # API_KEY: retries, erases, and uses /v1 and /metrics


class Keyring:
    """Checks keys in constant time; holds digests only."""

    def __init__(self, key: str | None, *, review: str | None = None, read: str | None = None) -> None:
        given = {Role.OPERATE: key, Role.REVIEW: review, Role.READ: read}
        self._digests = {role: hashlib.sha256(text.encode()).digest() for role, text in given.items() if text}
        self._forms = self._digests.get(Role.OPERATE, secrets.token_bytes(32))
        self.wrong_keys = RateLimit(rate=1, burst=20)
        self.used = RateLimit(rate=100, burst=500)

    def role_of(self, given: str) -> Role | None:
        """What this key is good for; None: it is none."""
        found = hashlib.sha256(given.encode("utf-8", "replace")).digest()
        fits = [role for role, digest in self._digests.items() if hmac.compare_digest(found, digest)]
        return max(fits, default=None)

    def fits(self, given: str) -> bool:
        """Whether this is the API key."""
        return self.role_of(given) is Role.OPERATE

    def session(self, secret: str, role: Role) -> str | None:
        """The name under which the store keeps the session of this cookie, while its key stays the same.

        Whoever reads the store can make no cookie of it.
        """
        if not secret or role not in self._digests:
            return None
        return hmac.new(self._digests[role], secret.encode("utf-8", "replace"), hashlib.sha256).hexdigest()

    def sessions(self, secret: str) -> Iterator[tuple[Role, str]]:
        """All names that the session of this cookie may have, by role."""
        for role in self._digests:
            if name := self.session(secret, role):
                yield role, name

    def form_token(self, of: str) -> str:
        """What the forms of one session, or of a proxy's user, carry: no other site can send them."""
        return hmac.new(self._forms, f"form:{of}".encode("utf-8", "replace"), hashlib.sha256).hexdigest()

    def refuse(self, request: Request) -> HTTPException:
        """The 401 for who has no key; raises 429 itself for who has tried too often."""
        self.wrong_keys.spend(request)
        if Role.OPERATE not in self._digests:
            return HTTPException(401, "No API key is set here: set CALLSCRIBE_API_KEY.", _CHALLENGE)
        return HTTPException(401, "Expected `Authorization: Bearer KEY` or `X-Api-Key: KEY`.", _CHALLENGE)


def keyring(settings: Settings) -> Keyring:
    """The keys of an installation."""
    review, read = (
        key.get_secret_value() if key else None for key in (settings.review_key, settings.read_key)
    )
    return Keyring(find_key(settings), review=review, read=read)


def given_key(request: Request) -> str:
    """The key in the request's headers, or nothing."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip()
    return request.headers.get("x-api-key", "").strip()

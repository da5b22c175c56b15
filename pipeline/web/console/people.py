"""Who looks at the console: by a session, by a key in a header, or as a trusted proxy names its user."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from pipeline.domain.printable import printable
from pipeline.settings.installation import Settings
from pipeline.web.auth import COOKIE, Role, given_key
from pipeline.web.service import Service

MOST_NAME = 100  # letters
_USER = "callscribe.user"  # in the scope: the user, where a trusted proxy named one


@dataclass(frozen=True, kw_only=True)
class Person:
    """Somebody signed in. form_token: what her forms have to carry; None, with a key in a header: nothing."""

    role: Role
    name: str
    form_token: str | None
    by_proxy: bool = False

    def may(self, role: str) -> bool:
        """Whether she has that role, by its name: read, review, operate."""
        return self.role >= Role[role.upper()]

    @property
    def who(self) -> str:
        """As corrections and the audit log name her."""
        return (
            self.name or {Role.READ: "reader", Role.REVIEW: "reviewer", Role.OPERATE: "operator"}[self.role]
        )


class ProxyUser:
    """Notes the user whom a trusted proxy names; from anybody else that header says nothing.

    To be the outermost layer: behind it, the client's address is the forwarded one.
    """

    def __init__(self, app: ASGIApp, header: str, proxies: Sequence[str]) -> None:
        self._app = app
        self._header = header.lower().encode("latin-1")
        self._networks = [ip_network(proxy) for proxy in proxies]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._trusts(scope.get("client")):
            given = [value for name, value in scope["headers"] if name == self._header]
            if len(given) == 1 and (name := _readable(given[0])):
                scope = {**scope, _USER: name}
        await self._app(scope, receive, send)

    def _trusts(self, client: tuple[str, int] | None) -> bool:
        try:
            address = ip_address(client[0] if client else "")
        except ValueError:
            return False
        return any(address in network for network in self._networks if network.version == address.version)


async def person_of(request: Request, service: Service, *, least: Role = Role.READ) -> Person:
    """Who asks. Raises HTTPException 401 for nobody, 403 for a role below `least`, 429 for too many tries."""
    found = await _found(request, service)
    if found is None:
        raise service.keys.refuse(request)
    service.keys.used.spend(request)
    if found.role < least:
        raise HTTPException(
            403, f"This takes the role `{least.name.lower()}`, and yours is `{found.role.name.lower()}`."
        )
    return found


async def _found(request: Request, service: Service) -> Person | None:
    keys = service.keys
    if user := request.scope.get(_USER):
        role = role_of_user(service.settings, user)
        return Person(role=role, name=user, form_token=keys.form_token(f"user:{user}"), by_proxy=True)
    if given := given_key(request):
        by_key = keys.role_of(given)
        return Person(role=by_key, name="", form_token=None) if by_key else None
    for role, session in keys.sessions(request.cookies.get(COOKIE, "")):
        who = await service.blocking(service.tools.store.sessions.who, session)
        if who is not None:
            return Person(role=role, name=who, form_token=keys.form_token(f"session:{session}"))
    return None


def role_of_user(settings: Settings, user: str) -> Role:
    """What a user of the proxy may."""
    if user in settings.operators:
        return Role.OPERATE
    return Role.REVIEW if user in settings.reviewers else Role[settings.user_role.upper()]


def name_of(given: object) -> str:
    """A name as somebody typed it, on one line."""
    return " ".join(printable(str(given or "")).split())[:MOST_NAME]


def _readable(value: bytes) -> str:
    try:
        return name_of(value.decode("utf-8"))
    except UnicodeDecodeError:
        return name_of(value.decode("latin-1"))

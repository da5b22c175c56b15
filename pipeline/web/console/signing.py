"""Signing in and out, what a browser gets instead of a bare error, and the files that pages are made with."""

from __future__ import annotations

import secrets
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from pipeline.contract.php import read_form
from pipeline.domain.errors import BadRequest, TooLarge
from pipeline.web.auth import COOKIE, SESSION_SECONDS
from pipeline.web.bodies import whole
from pipeline.web.console.people import name_of, person_of
from pipeline.web.console.view import HEADERS, bare_view, static_file
from pipeline.web.service import service_of

MAX_FORM_BYTES = 4096
HOME = "/calls"
_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


async def home(request: Request) -> Response:
    """GET /: to the calls; for nobody, the form to sign in."""
    await person_of(request, service_of(request))
    return RedirectResponse(HOME, 303, HEADERS)


async def sign_in(request: Request) -> Response:
    """POST /sign-in: the form's `key` opens a session with the key's role; its cookie is not the key."""
    service = service_of(request)
    try:
        given = read_form(await whole(request, max_bytes=MAX_FORM_BYTES))
    except (BadRequest, TooLarge):  # each is a line of the log, which nobody may fill
        service.keys.wrong_keys.spend(request)
        raise
    key, to = given.get("key"), _ours(given.get("to"))
    role = service.keys.role_of(key.strip()) if isinstance(key, str) else None
    if role is None:
        service.keys.wrong_keys.spend(request)
        return _form(request, wrong=True, to=to)
    secret = secrets.token_urlsafe(32)
    session = service.keys.session(secret, role)
    assert session
    await service.blocking(
        service.tools.store.sessions.open, session, seconds=SESSION_SECONDS, who=name_of(given.get("name"))
    )
    answer = RedirectResponse(to, 303, HEADERS)
    secure = request.url.scheme == "https"
    answer.set_cookie(
        COOKIE, secret, max_age=SESSION_SECONDS, httponly=True, samesite="strict", secure=secure
    )
    return answer


async def sign_out(request: Request) -> Response:
    """POST /sign-out: the session ends, for whoever still has its cookie."""
    service = service_of(request)
    for _, session in service.keys.sessions(request.cookies.get(COOKIE, "")):
        await service.blocking(service.tools.store.sessions.end, session)
    answer = RedirectResponse("/", 303, HEADERS)
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return answer


async def static(request: Request) -> Response:
    """GET /static/{name}: style sheet, script, icon; browsers keep them, since their addresses change."""
    name = request.path_params["name"]
    kind = _TYPES.get(name.rpartition(".")[2])
    try:
        if kind is None or "/" in name:
            raise FileNotFoundError
        found = static_file(name)
    except FileNotFoundError:
        raise HTTPException(404, "No such file.") from None
    kept = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
    return Response(found, headers=kept, media_type=kind)


def error_page(request: Request, failure: Exception, plain: Response) -> Response:
    """A page in place of an error's plain answer; of 401 the form to sign in."""
    if plain.status_code == 401:
        return _form(request, to=_here(request))
    told = getattr(failure, "message", None) or getattr(failure, "detail", None)
    page = bare_view(request).page(
        "error.html", status=plain.status_code, told=told or "Something broke here; the log tells more."
    )
    for name in ("retry-after", "allow"):
        if name in plain.headers:
            page.headers[name] = plain.headers[name]
    return page


def _form(request: Request, *, wrong: bool = False, to: str) -> Response:
    return bare_view(request).page("sign_in.html", status=401, wrong=wrong, to=to)


def _here(request: Request) -> str:
    if request.method != "GET" or request.url.path == "/":
        return HOME
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


def _ours(to: object) -> str:
    """Where to go after signing in: a page of ours, never another site."""
    if not isinstance(to, str) or not to.startswith("/") or to.startswith(("//", "/\\")) or len(to) > 2000:
        return HOME
    parts = urlsplit(to)
    return to if not parts.netloc and to.isprintable() and "\\" not in to else HOME

"""What a page of the console is made with: who asks, her words and time zone, the templates."""

from __future__ import annotations

import gc
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar
from urllib.parse import quote_plus, unquote_plus, urlencode

import structlog
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from pipeline.contract.php import read_form
from pipeline.domain.errors import CallscribeError
from pipeline.domain.labels import clock, speaker_word
from pipeline.domain.printable import printable
from pipeline.domain.transcript import Speaker
from pipeline.run.views import moment
from pipeline.web.answers import PRIVATE
from pipeline.web.auth import Role
from pipeline.web.bodies import whole
from pipeline.web.console.people import Person, person_of
from pipeline.web.console.words import Words, wished, zone_of
from pipeline.web.service import Service, service_of

if TYPE_CHECKING:
    from pipeline.archive.archive import Archive

log = structlog.get_logger()

P = ParamSpec("P")
R = TypeVar("R")

MAX_FORM_BYTES = 16_384
ZONE_COOKIE = "zone"  # the script keeps the browser's time zone in it
HEADERS = {
    **PRIVATE,
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "media-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Vary": "Accept-Language, Cookie",
}


@dataclass(frozen=True, kw_only=True)
class View:
    """One request for a page."""

    request: Request
    service: Service
    person: Person | None  # None: the form to sign in, an error for nobody
    words: Words
    zone: tzinfo
    now: float

    @property
    def query(self) -> dict[str, str]:
        """What the URL asks for, empty values left out."""
        return {name: value for name, value in self.request.query_params.items() if value}

    def asked(self, name: str) -> str | None:
        """One of them, or None."""
        return self.query.get(name)

    @property
    def said(self) -> str:
        """What the form before this page did; a text of `ru.toml`, and nothing that anybody else wrote."""
        return unquote_plus(self.request.cookies.get("said", "")) if self.person else ""

    async def blocking(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Runs what waits for the archive or the store in a thread."""
        return await self.service.blocking(call, *args, **kwargs)

    async def archived(self, ask: Callable[[Archive], R]) -> R:
        """What the archive answers. It is opened in that thread, too, since the first time takes a second."""
        return await self.blocking(lambda: ask(self.service.tools.archive))

    def page(self, template: str, *, status: int = 200, live: float = 0, **context: Any) -> Response:
        """The page. live: seconds after which it is asked for again, in vain while nothing changed."""
        return _Page(self, template, status, {**context, "live": live})

    async def form(self) -> dict[str, str]:
        """The fields of a form that was sent; raises HTTPException 403 when it is not one of ours."""
        given = read_form(await whole(self.request, max_bytes=MAX_FORM_BYTES))
        fields = {name: value.strip() for name, value in given.items() if isinstance(value, str)}
        self.check_token(fields)
        return fields

    def check_token(self, fields: dict[str, str]) -> None:
        """Takes the token away from a form's fields; raises HTTPException 403 when it is not one of ours."""
        person, token = self.person, fields.pop("token", "")
        if person is None or (
            person.form_token is not None
            and not hmac.compare_digest(token.encode(), person.form_token.encode())
        ):
            raise HTTPException(403, "The form is too old, or none of ours: load the page again.")

    def back(self, path: str, said: str = "") -> Response:
        """To another page after a form, which says there what was done; `said` is a text of `ru.toml`."""
        answer = RedirectResponse(path, 303, HEADERS)
        if said:
            answer.set_cookie("said", quote_plus(said), max_age=30, httponly=True, samesite="strict")
        return answer

    # -- for templates

    def moment(self, at: float) -> str:
        """A moment in the reader's own time."""
        return self.words.moment(at, self.zone, now=self.now)

    def speaker(self, who: Speaker) -> str:
        """Who speaks, in the reader's language."""
        return speaker_word(who, self.words.language)

    def clock(self, at: float) -> str:
        """A moment to the second, on the reader's clock; with the day where it is another one."""
        when = datetime.fromtimestamp(at, self.zone)
        today = datetime.fromtimestamp(self.now, self.zone).date()
        return f"{when:%H:%M:%S}" if when.date() == today else f"{when:%Y-%m-%d %H:%M:%S}"

    def link(self, **changes: object) -> str:
        """This page's address with other filters; None takes one away. A page further on begins anew."""
        kept = {name: value for name, value in self.query.items() if name != "cursor"}
        changed = {**kept, **{name.rstrip("_"): value for name, value in changes.items()}}
        asked = urlencode({name: value for name, value in changed.items() if value not in (None, "")})
        return self.request.url.path + (f"?{asked}" if asked else "")


class _Page(Response):
    """A page that is made in a thread, as it is sent: a call of hours has thousands of sentences."""

    def __init__(self, view: View, template: str, status: int, context: Mapping[str, Any]) -> None:
        super().__init__(status_code=status)
        self._view, self._template, self._context = view, template, context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = await self._view.blocking(self._made)
        for name in ("retry-after", "allow"):
            if name in self.headers:
                answer.headers[name] = self.headers[name]
        await answer(scope, receive, send)

    def _made(self) -> Response:
        view = self._view
        text = (
            environment()
            .get_template(self._template)
            .render(
                **self._context,
                view=view,
                _=view.words,
                person=view.person,
                template=self._template,
                nav=_navigation(view),
            )
        )
        tag = f'"{hashlib.sha256(text.encode()).hexdigest()[:24]}"'
        if self.status_code == 200 and view.request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers={**HEADERS, "ETag": tag})
        answer = HTMLResponse(text, self.status_code, {**HEADERS, "ETag": tag})
        if view.said:
            answer.delete_cookie("said", httponly=True, samesite="strict")
        return answer


async def view_of(request: Request, *, least: Role = Role.READ) -> View:
    """The view for somebody who may see it; raises HTTPException 401, 403, 429."""
    service = service_of(request)
    person = await person_of(request, service, least=least)
    return bare_view(request, person)


def bare_view(request: Request, person: Person | None = None) -> View:
    """The view for anybody."""
    service = service_of(request)
    header = request.headers.get("accept-language", "")
    return View(
        request=request,
        service=service,
        person=person,
        words=Words(wished(header, service.settings.language)),
        zone=zone_of(request.cookies.get(ZONE_COOKIE, "UTC")),
        now=time.time(),
    )


def _navigation(view: View) -> list[tuple[str, str, bool]]:
    """Path, title and whether it is this one: what this person may see."""
    from pipeline.web.console.pages import PAGES  # the table names the functions that stand on this module

    path = view.request.url.path
    return [
        (page.path, page.title, path == page.path or path.startswith(f"{page.path}/"))
        for page in PAGES
        if page.title and view.person and view.person.role >= page.least
    ]


def warm(service: Service) -> None:
    """Loads what the first page would wait for: the archive's libraries, its database, the templates."""
    try:
        for name in environment().list_templates():
            environment().get_template(name)
        service.tools.archive.calls(limit=1)
    except CallscribeError as error:
        log.info("archive_not_warmed", why=error.message)  # whoever asks it hears so
    except Exception:
        log.exception("warming_failed")
    gc.freeze()  # no collection has to look through all of it again


@cache
def environment() -> Environment:
    """The templates; every value passes `printable` and is escaped."""
    made = Environment(
        loader=PackageLoader("pipeline.web.console"),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"clock": clock, "utc": moment, "is_web": _is_web}
    made.globals |= {"static": static_path}
    return made


def _shown(value: Any) -> Any:
    if value is None:
        return ""
    return printable(value) if type(value) is str else value  # Markup is made of what went through here


def _is_web(address: str | None) -> bool:
    """Whether a link may lead there; `javascript:` is none."""
    return bool(address) and str(address).startswith(("https://", "http://"))


@cache
def static_file(name: str) -> bytes:
    """A file of ours that browsers take; raises FileNotFoundError."""
    return files("pipeline.web.console").joinpath("static", name).read_bytes()


@cache
def static_path(name: str) -> str:
    """Its address, which changes when it does, so that browsers may keep it."""
    return f"/static/{name}?{hashlib.sha256(static_file(name)).hexdigest()[:12]}"

"""Our engines on a portal: registering, moving, listing, taking back.

https://apidocs.bitrix24.com/api-reference/ai/. One code per category, since older portals find the
engine of a running job by its code alone.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from pipeline.bitrix24.rest import Bitrix24
from pipeline.clients.transport import Transport, Unreachable
from pipeline.contract.php import filled, mapping
from pipeline.domain.errors import (
    BadAnswer,
    CallscribeError,
    ForbiddenURL,
    PortalRefused,
    PortalUnavailable,
    Upstream,
)
from pipeline.domain.job import Category

PREFIX = "callscribe_"
CHECK_SECONDS = 5.0  # what the portal gives us
FILTERS = ("ID", "APP_CODE", "NAME", "CODE", "CATEGORY", "COMPLETIONS_URL", "DATE_CREATE")
FILTER = re.compile(r"(>=|<=|>|<|!@|@|!%|%=|=%|%|!=|=|!)?([A-Za-z_]+)")
MOST_ENGINES = 200
PAUSES = (1.0, 2.0, 5.0, 10.0, 20.0, 20.0)  # between attempts at what passes: a minute in all
LONGEST_PAUSE_SECONDS = 60.0
TAKEN = "ENGINE_REGISTER_ERROR_CODE_UNIQUE"

REMINDERS = {
    "select": "An administrator must still choose the engine on the portal: CRM > CoPilot (AI) settings, "
    "one choice per kind of work.",
    "audio": "The audio engine stays invisible to the CRM until the portal has some text engine.",
    "auth": "Registered through a webhook, engine requests carry no authorization: the token in the URL is "
    "the only secret, so keep it out of sight.",
}
BOXED = (
    "this portal has no ai.engine.*: the webhook lacks the scope ai_admin, or it is a boxed portal, whose "
    "REST cannot register engines (there they are added in PHP by the administrator)"
)


class UnfitURL(CallscribeError):
    """The portal would not accept our completions URL."""

    slug: ClassVar[str] = "unfit_url"
    hint = (
        "CALLSCRIBE_PUBLIC_URL must be https, public and lead to this service, which answers 200 by itself."
    )


@dataclass(frozen=True, kw_only=True)
class Engine:
    """An engine as the portal lists it; created_at is unix seconds."""

    id: int
    code: str
    name: str
    category: str
    completions_url: str = field(repr=False)
    settings: Mapping[str, Any] = field(default_factory=dict)
    created_at: int | None = None

    @property
    def masked_url(self) -> str:
        """Its URL with the token hidden."""
        return re.sub(r"(/engines/)[^/]+", r"\1***", self.completions_url)


@dataclass(frozen=True, kw_only=True)
class Wish:
    """How an engine should stand."""

    category: Category
    completions_url: str = field(repr=False)
    name: str = "Callscribe"
    alias: str | None = None
    context_type: Literal["token", "symbol"] | None = None
    context_limit: int | None = None

    @property
    def code(self) -> str:
        return PREFIX + self.category

    @property
    def settings(self) -> dict[str, Any]:
        """What the portal may assume of the model; what is unset is the portal's default."""
        wanted = {
            "code_alias": self.alias,
            "model_context_type": self.context_type,
            "model_context_limit": self.context_limit,
        }
        return {key: value for key, value in wanted.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one engine."""

    code: str
    what: Literal["registered", "moved", "unchanged", "left out", "unregistered", "unknown"]
    note: str | None = None


def completions_url(public_url: str, token: str, category: Category) -> str:
    """Where a portal sends its requests of a category."""
    return f"{public_url.rstrip('/')}/engines/{token}/{category}"


def check(url: str, *, outside: Transport, inside: Transport) -> str | None:
    """Asks our own URL as the portal will: public, https, exactly 200. A warning, or None when all is well.

    outside: a transport that trusts no host; inside: one with the operator's trusted hosts. A private
    address that is trusted passes with a warning. Raises UnfitURL.
    """
    warning = None
    try:
        status = _get(url, outside)
    except ForbiddenURL as error:
        try:
            status = _get(url, inside)
        except ForbiddenURL:
            raise UnfitURL(f"Portals will not call our URL: {error.message}") from None
        warning = f"{error.message} A portal of the cloud will refuse it; go on only with a portal of yours."
    if status != 200:
        raise UnfitURL(f"Our URL must answer a GET with 200, and answers {status}.")
    return warning


def _get(url: str, transport: Transport) -> int:
    try:
        return transport.request("GET", url, timeout_seconds=CHECK_SECONDS, max_answer_bytes=1 << 20).status
    except Unreachable as error:
        raise UnfitURL(f"Our URL does not answer: {error.message}") from error


def register(
    rest: Bitrix24,
    wishes: Iterable[Wish],
    *,
    required: bool = True,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Outcome]:
    """Makes the portal's engines as wished: registers, moves (unregister and register), or leaves alone.

    required: a category that the portal does not know is an error, else it is left out. What passes is asked
    again for a minute. An engine that could not be moved, or not before somebody interrupts, is put back as
    it was. Raises PortalRefused, PortalUnavailable, BadAnswer.
    """
    outcomes = []
    standing = {engine.code: engine for engine in listing(rest, sleep=sleep)}
    # text first: without one an audio engine is invisible
    for wish in sorted(wishes, key=lambda wish: wish.category is not Category.TEXT):
        old = standing.get(wish.code)
        if old is not None and _same(old, wish):
            outcomes.append(Outcome(code=wish.code, what="unchanged"))
            continue
        try:
            if old is not None:
                _call(rest, "ai.engine.unregister", {"code": wish.code}, sleep=sleep)
            _register(rest, wish, sleep=sleep)
        except BaseException as error:  # also an operator's impatience: the engine was on its way
            if old is not None:
                _put_back(rest, old, error, sleep=sleep)
            if not isinstance(error, PortalRefused):
                raise
            if error.provider_code == "ENGINE_REGISTER_ERROR_CATEGORY_FORMAT" and not required:
                note = "this portal does not know the category"
                outcomes.append(Outcome(code=wish.code, what="left out", note=note))
                continue
            raise
        moved = "jobs in flight at the old address lose their engine" if old else None
        outcomes.append(Outcome(code=wish.code, what="moved" if old else "registered", note=moved))
    return outcomes


def listing(
    rest: Bitrix24,
    filters: Mapping[str, str] | None = None,
    limit: int | None = None,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Engine]:
    """The engines of this webhook's owner. Filters as `read_filter` gives them."""
    params: dict[str, Any] = {"filter": dict(filters)} if filters else {}
    answer = _call(rest, "ai.engine.list", {**params, "limit": limit or MOST_ENGINES}, sleep=sleep)
    found = []
    for item in answer.values() if isinstance(answer, dict) else answer or ():
        fields = mapping(item)
        number, created = filled(fields.get("id")), filled(fields.get("date_create"))
        found.append(
            Engine(
                id=int(number) if number and number.isdigit() else 0,
                code=filled(fields.get("code")) or "",
                name=filled(fields.get("name")) or "",
                category=filled(fields.get("category")) or "",
                completions_url=filled(fields.get("completions_url")) or "",
                settings=mapping(fields.get("settings")),
                created_at=int(created) if created and created.isdigit() else None,
            )
        )
    return found[:limit]


def unregister(
    rest: Bitrix24, codes: Sequence[str] = (), *, sleep: Callable[[float], None] = time.sleep
) -> list[Outcome]:
    """Takes engines back; none named: ours. An unknown code is told, and no error."""
    wanted = codes or [e.code for e in listing(rest, sleep=sleep) if e.code.startswith(PREFIX)]
    outcomes = []
    for code in wanted:
        gone = _call(rest, "ai.engine.unregister", {"code": code}, sleep=sleep)
        outcomes.append(Outcome(code=code, what="unregistered" if gone else "unknown"))
    return outcomes


def read_filter(key: str, value: str) -> tuple[str, Any]:
    """`>=ID 5`, `CATEGORY audio`, `@CODE a,b` as ai.engine.list takes them; ValueError when it does not."""
    match = FILTER.fullmatch(key.strip())
    if match is None or match[2].upper() not in FILTERS:
        raise ValueError(f"expected one of {', '.join(FILTERS)}, perhaps after a prefix such as >= or %")
    prefix = match[1] or ""
    several = prefix in ("@", "!@")
    return prefix + match[2].upper(), [part.strip() for part in value.split(",")] if several else value


def _same(old: Engine, wish: Wish) -> bool:
    settings = all(str(old.settings.get(key)) == str(value) for key, value in wish.settings.items())
    return settings and (old.category, old.name, old.completions_url) == (
        wish.category, wish.name, wish.completions_url,
    )  # fmt: skip


def _register(rest: Bitrix24, wish: Wish | Engine, *, sleep: Callable[[float], None]) -> None:
    """Registers it; that it stands already, since the answer to an earlier attempt was lost, is as good."""
    settings = dict(wish.settings)
    params: dict[str, Any] = {
        "name": wish.name, "code": wish.code, "category": str(wish.category),
        "completions_url": wish.completions_url, **({"settings": settings} if settings else {}),
    }  # fmt: skip
    try:
        _call(rest, "ai.engine.register", params, sleep=sleep)
    except PortalRefused as error:
        if error.provider_code != TAKEN:
            raise
        found = [engine for engine in listing(rest, sleep=sleep) if engine.code == wish.code]
        if not (found and found[0].completions_url == wish.completions_url):
            raise


def _put_back(rest: Bitrix24, old: Engine, why: BaseException, *, sleep: Callable[[float], None]) -> None:
    """The engine as it was before a move that failed; it may not have been taken away yet."""
    try:
        _register(rest, old, sleep=sleep)
    except Upstream as error:
        if error.provider_code == TAKEN:
            return
        said = why.message if isinstance(why, CallscribeError) else "Interrupted."
        text = (
            f"{said} The engine {old.code} could not be put back either: it is gone now. Run `callscribe "
            "engines register` again once the portal answers; until then it sends us no calls."
        )
        raise PortalRefused(text, provider_code=getattr(why, "provider_code", None)) from None


def _call(rest: Bitrix24, method: str, params: Mapping[str, Any], *, sleep: Callable[[float], None]) -> Any:
    """One call, asked again while what is wrong passes: repeating any of these methods does no harm."""
    for pause in (*PAUSES, None):
        try:
            return rest.call(method, params)
        except PortalRefused as error:
            if (error.provider_code or "").upper() in ("ERROR_METHOD_NOT_FOUND", "METHOD_NOT_FOUND"):
                raise PortalRefused(f"{method}: {BOXED}", provider_code=error.provider_code) from None
            raise
        except (PortalUnavailable, BadAnswer) as error:
            if pause is None:
                raise
            sleep(min(max(pause, error.retry_after_seconds or 0.0), LONGEST_PAUSE_SECONDS))
    raise AssertionError("unreachable")

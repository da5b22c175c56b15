"""What PHP makes of JSON and of forms: `[]` for an empty object, numbers as strings, nulls anywhere.

The readers below take such values as they come and return what was meant; where nothing sensible can
be meant they raise BadRequest naming the field.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import structlog

from pipeline.domain.errors import BadRequest
from pipeline.domain.hosts import MAX_URL_CHARACTERS

log = structlog.get_logger()

MAX_MEMBERS = 50_000  # of JSON; the largest request of a portal has some hundreds
MAX_FIELDS = 2000  # of a form; an event has about twenty
MAX_DEPTH = 8  # of brackets in a form's key
MAX_NESTING = 40  # of objects that we keep
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
# most URLs: what needs no closer look
_PLAIN_URL = re.compile(r"https?://[A-Za-z0-9.-]*[A-Za-z0-9](?::[1-9][0-9]{0,3})?(?:[/?#][^\x00-\x1f]*)?")
_CONTROL = re.compile(r"[\x00-\x1f]")


def read_json(body: bytes, *, what: str = "body") -> dict[str, Any]:
    """The JSON object in `body`; `[]` counts as an empty one. BadRequest when it is none."""
    if _members(body) > MAX_MEMBERS:
        raise BadRequest(f"{what}: has too many members", field=what)
    try:
        plain = _DECODE(body.decode(json.detect_encoding(body), "surrogatepass"))
    except (ValueError, RecursionError):
        raise BadRequest(f"{what}: expected a JSON object", field=what) from None
    if plain == []:
        return {}
    if not isinstance(plain, dict):
        raise BadRequest(f"{what}: expected a JSON object", field=what)
    return plain


def _members(body: bytes) -> int:
    """About how many values JSON holds, told before it is parsed: each costs far more than its bytes."""
    most = body.count(b",") + body.count(b"[") + body.count(b"{")
    if most > MAX_MEMBERS:  # many of them may stand inside of strings
        bare = _STRING.sub(b"", body)
        most = bare.count(b",") + bare.count(b"[") + bare.count(b"{")
    return most


def _no_constant(name: str) -> Any:
    raise ValueError(name)


_DECODE = json.JSONDecoder(parse_constant=_no_constant).decode


def read_form(body: bytes) -> dict[str, Any]:
    """A form with PHP brackets as nested dicts: `data[FIELDS][ID]=7` -> {"data": {"FIELDS": {"ID": "7"}}}.

    `key[]` gets the next free number, as in PHP; a later value replaces an earlier one. BadRequest when
    it is not UTF-8, has too many fields or nests too deep.
    """
    try:
        pairs = parse_qsl(
            body.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS
        )
    except ValueError:
        raise BadRequest(
            "body: expected a form in UTF-8 with a sane number of fields", field="body"
        ) from None
    form: dict[str, Any] = {}
    free: dict[int, int] = {}  # id of a dict -> the number that `[]` takes in it
    for name, value in pairs:
        first, *rest = name.replace("]", "").split("[")
        keys = [first, *rest]
        if len(keys) > MAX_DEPTH:
            raise BadRequest("body: a field nests too deep", field="body")
        place = form
        for key in keys[:-1]:
            inner = place.get(key)
            if not isinstance(inner, dict):
                inner = place[key] = {}
            place = inner
        last = keys[-1]
        if last == "" and len(keys) > 1:
            last = str(free.get(id(place), 0))
        if last.isdecimal() and len(last) < 10:
            free[id(place)] = max(free.get(id(place), 0), int(last) + 1)
        place[last] = value
    return form


def text(value: Any) -> str | None:
    """A string, or a number as a string; None for anything else. Lone surrogates become `?`."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    found = str(value)
    return found if found.isascii() else found.encode("utf-8", "replace").decode("utf-8")


def filled(value: Any) -> str | None:
    """Like `text`, with blank strings as None."""
    if value is None:
        return None
    found = text(value)
    return found if found and not found.isspace() else None


def mapping(value: Any) -> dict[str, Any]:
    """An object whose strings are fit to be stored; PHP's empty array, or anything else, is an empty one.

    BadRequest when it nests deeper than anything that is meant.
    """
    return _clean(value, MAX_NESTING) if isinstance(value, dict) else {}


def _clean(value: Any, depth: int) -> Any:
    if depth == 0:
        raise BadRequest("body: nests too deep", field="body")
    if isinstance(value, str):
        return text(value)
    if isinstance(value, dict):
        return {str(text(key)): _clean(item, depth - 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_clean(item, depth - 1) for item in value]
    return value


def items(value: Any) -> Sequence[Any]:
    """A list; PHP sends one with holes as an object, whose values are meant."""
    if isinstance(value, list):
        return value
    return list(value.values()) if isinstance(value, Mapping) else ()


def flag(value: Any) -> bool:
    """Whether PHP, JSON or Bitrix (`Y`, `N`) mean true by it."""
    if isinstance(value, str):
        return value.strip().lower() not in ("", "0", "false", "n", "no", "off", "null")
    return bool(value)


def number(value: Any, *, field: str) -> float | None:
    """A finite number, also as a string; None for null, blank or `[]`. BadRequest naming the field."""
    if value is None or value == [] or (isinstance(value, str) and not value.strip()):
        return None
    if not isinstance(value, bool) and isinstance(value, int | float | str):
        try:
            found = float(value)
        except (ValueError, OverflowError):
            found = math.nan
        if math.isfinite(found):
            return found
    raise BadRequest(f"{field}: expected a number", field=field)


def whole(value: Any, *, field: str) -> int | None:
    """Like `number`, cut to a whole one."""
    found = number(value, field=field)
    return None if found is None else int(found)


def optional_number(value: Any, *, field: str) -> float | None:
    """Like `number`; what is none counts as absent, and the log tells it: no job is lost for a wish."""
    if value is None:
        return None
    try:
        return number(value, field=field)
    except BadRequest:
        log.warning("optional_number_ignored", field=field, kind=type(value).__name__)
        return None


def optional_whole(value: Any, *, field: str) -> int | None:
    """Like `optional_number`, cut to a whole one."""
    found = optional_number(value, field=field)
    return None if found is None else int(found)


def http_url(value: Any, *, field: str) -> str:
    """An http(s) URL, unchanged; BadRequest naming the field (never the URL: it carries secrets)."""
    found = text(value)
    if found is None or not found.strip():
        raise BadRequest(f"{field}: expected a URL, found none", field=field)
    if len(found) > MAX_URL_CHARACTERS:
        raise BadRequest(f"{field}: is longer than {MAX_URL_CHARACTERS} characters", field=field)
    if _PLAIN_URL.fullmatch(found):
        return found
    try:
        parts = urlsplit(found)
        good = parts.scheme.lower() in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or _CONTROL.search(found):
        raise BadRequest(f"{field}: expected an http or https URL", field=field)
    return found

"""What the sandbox was told to do wrong, and what it was sent.

A `Rule` says which requests it is for and what becomes of them; tests post rules to `/_script`. Every
request, answered well or badly, is written down in the ledger, which `/_ledger` shows.
"""

from __future__ import annotations

import fnmatch
import hashlib
import itertools
import json
import re
import time
from dataclasses import dataclass, field, fields
from typing import Any, Literal


@dataclass(kw_only=True)
class Rule:
    """One scripted behaviour. The first rule that matches and is not used up wins.

    Which requests: `path` is a glob over the path; `method`; `contains` is looked for in the body's bytes
    (a form field, a model's name) and in the query; `sha256` starts the digest of the uploaded audio. The
    first `skip` matching requests pass untouched, then `times` are treated, None for ever.

    What becomes of them: with a `status` (or a `body`) that answer is given, the request is not served;
    without, it is served truly, and delay, drip and reset still apply. `reset`: "before" cuts the
    connection unserved; "after" serves the request, then cuts in place of an answer; "midway" sends the
    head and half of the body first. `delay_seconds` passes before anything happens, `drip_seconds` while
    the body goes out. `text` (and `segments`) replace what recognition hears or chat says, truly priced
    and shaped; `recognition` "pauses" says of each sound between pauses how long it was, in a
    hundredth of the time that hearing words takes.
    """

    path: str = "*"
    method: str | None = None
    contains: str | None = None
    sha256: str | None = None
    skip: int = 0
    times: int | None = 1
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    delay_seconds: float = 0.0
    drip_seconds: float = 0.0
    reset: Literal["before", "after", "midway"] | None = None
    text: str | None = None
    segments: list[dict[str, Any]] | None = None
    recognition: Literal["pauses"] | None = None
    seen: int = 0

    @classmethod
    def read(cls, plain: dict[str, Any]) -> Rule:
        """A rule from JSON; ValueError naming a key that is none."""
        unknown = set(plain) - {f.name for f in fields(cls)}
        if unknown:
            raise ValueError(f"not a key of a rule: {', '.join(sorted(unknown))}")
        return cls(**plain)

    @property
    def answers(self) -> bool:
        """Whether the rule itself answers, so that the request is not served."""
        return self.status is not None or self.body is not None

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the scripted answer."""
        if isinstance(self.body, str):
            kind, content = "text/html; charset=utf-8", self.body.encode()
        else:
            plain = {} if self.body is None else self.body
            kind, content = "application/json", json.dumps(plain, ensure_ascii=False).encode()
        given = {name.lower(): value for name, value in self.headers.items()}
        return self.status or 200, {"content-type": kind, **given}, content


class Script:
    """The rules in force, in the order in which they came."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []

    def add(self, **rule: Any) -> Rule:
        """Adds a rule; the keyword arguments are its fields."""
        made = Rule.read(rule)
        self.rules.append(made)
        return made

    def clear(self) -> None:
        self.rules.clear()

    def take(self, *, method: str, path: str, query: str, body: bytes, sha256: str | None) -> Rule | None:
        """The rule for this request, counted as used once."""
        for rule in self.rules:
            if not fnmatch.fnmatchcase(path, rule.path) or (rule.method or method) != method:
                continue
            if rule.contains and rule.contains.encode() not in body and rule.contains not in query:
                continue
            if rule.sha256 and not (sha256 or "").startswith(rule.sha256):
                continue
            used = rule.seen - rule.skip
            if rule.times is not None and used >= rule.times:
                continue
            rule.seen += 1
            if used < 0:
                continue
            return rule
        return None


class Ledger:
    """Every request the sandbox received, oldest first."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        self._numbers = itertools.count(1)

    def open(self, **facts: Any) -> dict[str, Any]:
        """Writes down a request that just came; what is learnt later is put into the returned dict."""
        entry = {
            "number": next(self._numbers),
            "at": time.time(),
            "finished_at": None,
            "status": None,
            **facts,
        }
        self.entries.append(entry)
        return entry

    def find(self, path: str = "*", **facts: Any) -> list[dict[str, Any]]:
        """Entries whose path matches the glob and whose facts are as given."""
        return [
            entry
            for entry in self.entries
            if fnmatch.fnmatchcase(entry["path"], path) and all(entry.get(k) == v for k, v in facts.items())
        ]

    def clear(self) -> None:
        self.entries.clear()


def masked(secret: str | None) -> str | None:
    """The first characters of a key and its length: enough to tell two apart."""
    if not secret:
        return None
    return f"{secret[:4]}...({len(secret)})" if len(secret) > 8 else f"...({len(secret)})"


def uploaded(body: bytes, content_type: str) -> dict[str, Any]:
    """File name, size and sha256 of the `file` part, and the other fields, of a multipart body.

    Read by hand, so that it is known also of requests that are refused before they are parsed.
    """
    found = re.search(r'boundary="?([^";]+)"?', content_type)
    if not found:
        return {}
    facts: dict[str, Any] = {"fields": {}}
    for part in body.split(b"--" + found[1].encode())[1:-1]:
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        content = content.removesuffix(b"\r\n")
        header = head.decode("utf-8", "replace")
        name = re.search(r'\bname="([^"]*)"', header)
        filename = re.search(r'filename="([^"]*)"', header)
        if filename:
            facts |= {
                "filename": filename[1],
                "size_bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
        elif name:
            key, value = name[1], content.decode("utf-8", "replace")
            facts["fields"][key] = value
    return facts

"""The last thing that outsiders' text passes, one function for each place that it goes to.

What a caller says, a model answers or a portal sends must be plain text wherever it ends. In a deal's
timeline, exports and the callbacks of recordings it must hold no markup either, since portals and players
make links, mentions and layout of it. A text engine's answer keeps its markup: the portal asked for that
text, often for JSON or for a letter with links.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

from pipeline.domain.printable import printable, unmarked
from pipeline.domain.transcript import Transcript

_FORMULA = re.compile(r"((?:^|[;\n])\s*)(?=[=+\-@＝＋－＠])")


def to_crm(text: str) -> str:
    """For timeline entries, comments, files beside them, and the telephony's record of a call."""
    return unmarked(text)


def to_callback(body: Any, *, spoken: bool) -> Any:
    """For a callback's body: all its strings, those within JSON in a string included.

    spoken: of a recording, where the text is what people said.
    """
    if isinstance(body, str):
        inner = _json_in(body) if spoken else None
        if inner is not None:
            return json.dumps(to_callback(inner, spoken=True), ensure_ascii=False)
        return unmarked(body) if spoken else printable(body)
    if isinstance(body, dict):
        return {key: to_callback(value, spoken=spoken) for key, value in body.items()}
    if isinstance(body, list):
        return [to_callback(value, spoken=spoken) for value in body]
    return body


def to_reader(view: Any, *, spoken: bool) -> Any:
    """For a job as `/v1` and `--json` show it: all its strings; spoken: of a recording."""
    return to_callback(view, spoken=spoken)


def to_archive(call: Any) -> Any:
    """For a call as the archive keeps it: all its strings."""
    return to_callback(call, spoken=False)


def to_file(transcript: Transcript) -> Transcript:
    """For exports of a transcript."""
    segments = tuple(replace(segment, text=unmarked(segment.text)) for segment in transcript.segments)
    return replace(transcript, text=unmarked(transcript.text), segments=segments)


def to_terminal(text: object) -> str:
    """For what a command prints: no escape sequence, nothing that turns the text around."""
    return printable(str(text))


def to_cell(value: object) -> str:
    """For a cell of CSV: spreadsheets take what begins with one of these letters for a formula (OWASP). So do
    those that part cells at semicolons, or know no quotes, with what begins behind one, or on a new line.
    """
    if value is None:
        return ""
    text = printable(str(value))
    return _FORMULA.sub(r"\1'", text) if isinstance(value, str) else text


def _json_in(text: str) -> Any:
    if not text.startswith('{"'):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None

"""The report: bench/truth/README.md and its picture, from the rows of a run."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from bench.truth.bounds import (
    ADDED_SHARE,
    LANGUAGES_SHARE,
    ORDER_POINTS,
    START_SECONDS,
    UPLOADED_SHARE,
    WHOLE_POINTS,
    WRONG_SHARE,
    missed,
)
from bench.truth.measuring import MODEL, Row

HERE = Path(__file__).resolve().parent
COLUMNS = (
    ("recording", 22), ("flat", 6), ("by side", 8), ("Whisper alone", 14), ("inserted", 9), ("lost", 5),
    ("wrong side", 11), ("inversions", 11), ("p50", 5), ("p90", 5), ("max", 5), ("holes", 6), ("uploads", 8),
    ("sent/speech", 12), ("quality", 8), ("took", 5),
)  # fmt: skip
HEAD = " ".join(f"{name:<{width}}" for name, width in COLUMNS)


def alone(row: Row) -> str:
    """What Whisper makes of the whole file: word errors, or how many words where nobody speaks."""
    if row.whole is None:
        return "-"
    return f"+{row.whole.inserted}" if row.whole.wer_flat is None else str(row.whole.wer_flat)


def cells(row: Row) -> list[str]:
    """The row's figures, as they stand in the table."""
    found = row.figures

    def shown(value: object) -> str:
        return "-" if value is None else str(value)

    sent = shown(row.uploaded_share) if row.recording.truth.lines else f"{row.uploaded_seconds:.0f} s"
    return [
        row.recording.name, shown(found.wer_flat), shown(found.wer_by_side),
        alone(row),
        shown(found.inserted), shown(found.lost), shown(found.wrong_side), shown(found.inversions),
        shown(found.start_p50), shown(found.start_p90), shown(found.start_max), shown(found.hole_seconds),
        shown(row.uploads), sent, shown(found.quality), f"{row.took_seconds:.0f}",
    ]  # fmt: skip


def line(row: Row) -> str:
    return " ".join(f"{cell:<{width}}" for cell, (_, width) in zip(cells(row), COLUMNS, strict=True))


def write(rows: Sequence[Row]) -> None:
    """The report over these rows."""
    (HERE / "report.svg").write_text(picture(rows), encoding="utf-8")
    (HERE / "README.md").write_text(page(rows), encoding="utf-8")


def page(rows: Sequence[Row]) -> str:
    """The README as Markdown."""
    head = ["recording", "what it is", *(name for name, _ in COLUMNS[1:])]
    table = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for row in rows:
        name, *figures = cells(row)
        table.append(f"| {' | '.join([f'`{name}`', row.recording.about, *figures])} |")
    wrong = [f"- `{row.recording.name}`: {'; '.join(found)}." for row in rows if (found := missed(row))]
    kept = len(rows) - len(wrong)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return TEXT.format(
        table="\n".join(table), model=MODEL, today=today, cores=os.cpu_count(), system=platform.system(),
        kept=kept, count=len(rows), missed="\n".join(wrong) or "None was missed.",
        order=ORDER_POINTS, whole=WHOLE_POINTS, start=START_SECONDS,
        sent=UPLOADED_SHARE, languages=LANGUAGES_SHARE,
        added=f"{ADDED_SHARE:.0%}".replace("%", " %"), wrong=f"{WRONG_SHARE:.0%}".replace("%", " %"),
    )  # fmt: skip


TEXT = (HERE / "report.md").read_text(encoding="utf-8")  # the page, with places for figures


def picture(rows: Sequence[Row]) -> str:
    """Word errors of each recording as bars: by side, what the order adds, and Whisper alone as a mark."""
    shown = [row for row in rows if row.figures.wer_flat is not None]
    most = max([10.0, *(row.figures.wer_flat or 0 for row in shown)])
    left, width, step = 200, 620, 34
    scale = width / most
    height = 70 + step * len(shown) + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 80} {height}" '
        'font-family="system-ui, sans-serif" font-size="13">',
        f'<rect width="{left + width + 80}" height="{height}" fill="#ffffff"/>',
        '<text x="16" y="26" font-size="16" font-weight="600" fill="#1f2937">'
        "Word errors, % of the words that were said</text>",
        _bar(16, 37, 12, "#2563eb", height=12), _text(34, 48, "each speaker's words", "#374151"),
        _bar(190, 37, 12, "#f59e0b", height=12), _text(208, 48, "added by the order", "#374151"),
        _mark(345, 36, 50), _text(353, 48, "Whisper alone, whole file, sides mixed", "#374151"),
    ]  # fmt: skip
    for tick in range(0, int(most) + 1, 5 if most <= 40 else 20):
        x = left + tick * scale
        parts.append(f'<line x1="{x:.1f}" y1="62" x2="{x:.1f}" y2="{height - 30}" stroke="#e5e7eb"/>')
        parts.append(f'<text x="{x:.1f}" y="{height - 12}" text-anchor="middle" fill="#6b7280">{tick}</text>')
    for number, row in enumerate(shown):
        y = 70 + step * number
        flat = row.figures.wer_flat or 0.0
        side = min(flat, row.figures.wer_by_side if row.figures.wer_by_side is not None else flat)
        end, own = left + flat * scale, left + side * scale
        alone_at = left + min((row.whole and row.whole.wer_flat) or 0.0, most) * scale
        parts += [
            _text(left - 10, y + 16, row.recording.name, "#1f2937", anchor="end"),
            _bar(left, y + 3, own - left, "#2563eb"),
            _bar(own, y + 3, end - own, "#f59e0b"),
            _text(max(end, alone_at) + 8, y + 17, str(flat), "#374151"),
        ]
        if row.whole and row.whole.wer_flat is not None:
            parts.append(_mark(alone_at, y, y + 24))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _bar(x: float, y: float, width: float, colour: str, *, height: int = 18) -> str:
    return f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{height}" fill="{colour}"/>'


def _mark(x: float, top: float, bottom: float) -> str:
    return f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}" stroke="#111827" stroke-width="3"/>'


def _text(x: float, y: float, text: str, colour: str, *, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'

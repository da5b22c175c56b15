"""The benchmarks' own sums: what a report says, and the simulation behind docs/sizing.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import report, sizing


def test_a_figure_stands_beside_its_rival_with_the_ratio_of_medians() -> None:
    """Medians, the spread of the rounds, and how much of the other's ours is."""
    row = report.Row(
        what="claims",
        unit="1/s",
        ours=[300.0, 100.0, 200.0],
        beside={"floor": [400.0]},
        more=True,
        wanted="many",
    )
    assert row.told() == "| claims, 1/s | 200 (100 to 300) | floor: 400 (0.50 of it) | many |"


def test_a_report_replaces_the_one_before_and_keeps_the_words_around_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Table and picture are new, head and tail stay."""
    monkeypatch.setattr(report, "FOLDER", tmp_path)
    readme = tmp_path / "README.md"
    readme.write_text(f"head\n{report.BEGIN}\nold\n{report.END}\ntail\n")
    report.write([report.Row(what="start", unit="s", ours=[1.5], wanted="< 2")], "here")
    text = readme.read_text()
    assert text.startswith("head\n")
    assert text.endswith("\ntail\n")
    assert "old" not in text
    assert "| start, s | 1.5 |  | < 2 |" in text
    assert "start, s (less is better; wanted &lt; 2)" in (tmp_path / "report.svg").read_text()


def test_calls_wait_where_places_are_too_few_and_texts_go_first() -> None:
    """With places to spare nobody waits; with half of what is needed calls do, and texts hardly."""
    ample = sizing.hour(3000, media=4, upstream=100, seed=1)
    assert ample["call_p95"] < 0.1
    scarce = sizing.hour(3000, media=4, upstream=10, seed=1)
    assert scarce["call_p95"] > 60
    assert scarce["text_p99"] < 5
    assert scarce["upstream_busy"] > 0.95

"""What was measured, as a table and a picture: bench/README.md and bench/report.svg."""

from __future__ import annotations

import os
import platform
import statistics
import textwrap
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
BEGIN, END = "<!-- figures -->", "<!-- end -->"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure of ours beside a floor or a rival, a value for each round of the same run.

    more: whether more is better. wanted: the bound, in words.
    """

    what: str
    unit: str
    ours: Sequence[float]
    beside: Mapping[str, Sequence[float]] = field(default_factory=dict)
    more: bool = False
    wanted: str = ""

    def told(self) -> str:
        """Its line of the table."""
        mine = statistics.median(self.ours)
        others = [
            f"{name}: {shown(statistics.median(values))} ({mine / statistics.median(values):.2f} of it)"
            for name, values in self.beside.items()
        ]
        spread = f" ({shown(min(self.ours))} to {shown(max(self.ours))})" if len(self.ours) > 1 else ""
        return f"| {self.what}, {self.unit} | {shown(mine)}{spread} | {'; '.join(others)} | {self.wanted} |"


def shown(value: float) -> str:
    """Three figures that count."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def machine(load: float) -> str:
    """Where it was measured, and how busy that was with other things."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    day = time.strftime("%Y-%m-%d", time.gmtime())
    cores = os.cpu_count() or 1
    busy = (
        " Rates and times are worse than on a machine of its own by about as much: compare the columns."
        if load > cores
        else ""
    )
    return (
        f"{day}, {cores} cores ({model}), Python {platform.python_version()}; "
        f"{load:.1f} processes wanted to run beside it when it began.{busy}"
    )


def write(rows: Sequence[Row], where: str) -> None:
    """Puts table and picture in the place of those before."""
    table = "\n".join(
        ["| what | callscribe | beside it, in the same run | wanted |", "|---|---|---|---|"]
        + [row.told() for row in rows]
    )
    put(f"{where}\n\n{table}", BEGIN, END)
    draw(rows, FOLDER / "report.svg")


def put(told: str, begin: str, end: str) -> None:
    """Puts it between two marks of bench/README.md, in the place of what stands there."""
    path = FOLDER / "README.md"
    text = path.read_text(encoding="utf-8")
    head, tail = text.partition(begin)[0], text.partition(end)[2]
    path.write_text(f"{head}{begin}\n{told}\n{end}{tail}", encoding="utf-8")


def draw(rows: Sequence[Row], path: Path) -> None:
    """A small chart for each row: the median as a bar, every round as a dot."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "callscribe"
    from matplotlib import pyplot as plt

    columns = 2
    lines = -(-len(rows) // columns)
    figure, axes = plt.subplots(lines, columns, figsize=(12, 1.6 * lines), squeeze=False)
    for axis in axes.flat[len(rows) :]:
        axis.axis("off")
    for axis, row in zip(axes.flat, rows, strict=False):
        sides = {"callscribe": row.ours, **row.beside}
        for number, (name, values) in enumerate(reversed(sides.items())):
            axis.barh(
                number, statistics.median(values), color="#2a6f97" if name == "callscribe" else "#b8c4cc"
            )
            axis.plot(values, [number] * len(values), "o", color="#1b1b1b", markersize=2.5)
        axis.set_yticks(range(len(sides)), [name[:44] for name in reversed(sides)], fontsize=7)
        axis.tick_params(axis="x", labelsize=7)
        axis.set_xlim(left=0)
        better = "more is better" if row.more else "less is better"
        title = f"{row.what}, {row.unit} ({better}; wanted {row.wanted})"
        axis.set_title(textwrap.fill(title, 80), fontsize=7.5, loc="left")
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")
    plt.close(figure)

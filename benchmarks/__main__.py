"""All measures in one table: `python -m benchmarks`."""

import json
from pathlib import Path
from typing import Annotated

import typer
from matplotlib.figure import Figure as Plot
from rich.console import Console
from rich.table import Table

from benchmarks import fill, pool, serve
from benchmarks.figures import ROUNDS, Figure

_MEASURES = {"fill": fill.measure, "serve": serve.measure, "pool": pool.measure}
_WIDTH = 120


def main(
    only: Annotated[list[str] | None, typer.Option(help="Of fill, serve and pool.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write NAME.json and NAME.png.")] = None,
) -> None:
    """Measure ours and others by turns; ratios are of medians within one run. Takes some ten minutes.

    \b
    Examples:
        python -m benchmarks --out docs/benchmarks
        python -m benchmarks --only serve
    """
    figures = [figure for name in only or _MEASURES for figure in _MEASURES[name]()]
    Console(width=_WIDTH).print(_table(figures))
    if out:
        rows = [figure._asdict() | {"ratio": figure.ratio} for figure in figures]
        out.with_suffix(".json").write_text(json.dumps(rows, indent=1) + "\n")
        _plot(figures).savefig(out.with_suffix(".png"), dpi=100)


def _table(figures: list[Figure]) -> Table:
    table = Table("measure", title=f"medians of {ROUNDS} rounds or more, by turns")
    for column in ("ours", "", "theirs", "ratio", "against"):
        table.add_column(column, justify="left" if column in ("", "against") else "right")
    for one in figures:
        theirs, ratio = (f"{value:,.2f}" if value else "" for value in (one.theirs, one.ratio))
        table.add_row(one.measure, f"{one.ours:,.2f}", one.unit, theirs, ratio, one.against)
    return table


def _plot(figures: list[Figure]) -> Plot:
    compared = [figure for figure in figures if figure.gain]
    plot = Plot(figsize=(9, 0.4 * len(compared) + 1), layout="constrained")
    axes = plot.subplots()
    names = [f"{figure.measure}\nagainst {figure.against}" for figure in compared]
    gains = [figure.gain or 0 for figure in compared]
    colours = ["#0b5cad" if gain >= 1 else "#c9762b" for gain in gains]
    bars = axes.barh(names, [gain - 1 for gain in gains], left=1, color=colours)
    axes.bar_label(bars, [f"{gain:,.2f}" if gain < 10 else f"{gain:,.0f}" for gain in gains], padding=3, fontsize=8)
    axes.axvline(1, color="#888888", linewidth=1)
    axes.set_xscale("log")
    axes.margins(x=0.15)
    axes.invert_yaxis()
    axes.tick_params(axis="y", labelsize=7)
    axes.set_xlabel("times as good: right of the line ours is faster or takes less")
    return plot


if __name__ == "__main__":
    typer.run(main)

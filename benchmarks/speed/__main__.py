"""All measures in one table: `python -m benchmarks.speed`."""

import json
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.speed.figures import Figure
from gantcha.terminal import run

if TYPE_CHECKING:  # only developers have it
    from matplotlib.figure import Figure as Plot

_MEASURES = ("fill", "serve", "journey", "pool", "capacity")
_WIDTH = 120


def main(
    only: Annotated[list[str] | None, typer.Option(help="Measure only fill, serve, journey, pool or capacity.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write NAME.json and NAME.png.")] = None,
) -> None:
    """Measure ours and others in turn; each ratio compares medians of one run. Takes 40 minutes.

    \b
    Examples:
        python -m benchmarks.speed --out docs/benchmarks
        python -m benchmarks.speed --only serve
    """
    if unknown := set(only or ()) - set(_MEASURES):
        raise typer.BadParameter(f"no measure {unknown.pop()!r}; they are {', '.join(_MEASURES)}")
    try:
        import_module("matplotlib")
        measures = {name: import_module(f"benchmarks.speed.{name}").measure for name in only or _MEASURES}
    except ModuleNotFoundError as error:
        raise SystemExit(
            f"error: {error.name} is missing, and benchmarks need it: pip install -r requirements-dev.txt"
        ) from error
    figures: list[Figure] = []
    drawn: list[Figure] = []
    for name, measure in measures.items():
        measured = measure()
        Console(width=_WIDTH).print(_table(name, measured))
        figures += measured
        drawn += measured if name != "journey" else []  # its many steps would fill the picture
        if out:  # after each: the next one may fail
            rows = [figure._asdict() | {"ratio": figure.ratio} for figure in figures]
            out.with_suffix(".json").write_text(json.dumps(rows, indent=1) + "\n")
            _plot(drawn).savefig(out.with_suffix(".png"), dpi=100)


def _table(name: str, figures: list[Figure]) -> Table:
    table = Table("measure", title=f"{name}: medians of several rounds, in turn")
    for column in ("ours", "", "theirs", "ratio", "against"):
        table.add_column(column, justify="left" if column in ("", "against") else "right")
    for one in figures:
        theirs, ratio = (f"{value:,.2f}" if value else "" for value in (one.theirs, one.ratio))
        table.add_row(one.measure, f"{one.ours:,.2f}", one.unit, theirs, ratio, one.against)
    return table


def _plot(figures: list[Figure]) -> "Plot":
    from matplotlib.figure import Figure as Plot  # noqa: PLC0415 - only developers have it

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
    axes.set_xlabel("times better: right of the line ours is faster or needs less")
    return plot


if __name__ == "__main__":
    run(main)

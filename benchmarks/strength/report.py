"""What attacks found, as a table, JSON and a plot."""

from collections.abc import Sequence
from typing import BinaryIO

import numpy as np
from rich.table import Table

from benchmarks.strength.untrained import Success

Results = dict[str, dict[str, Success]]
"""Success by source of the captchas, and by attack."""


def best_attack(found: dict[str, Success]) -> str:
    """Say which attack reads most, and how much."""
    name = max(found, key=lambda name: found[name].codes)
    best = found[name]
    return f"best attack: {name} reads {best.codes:.1%} of codes (95 % interval {best.low:.1%} - {best.high:.1%})"


def as_table(results: Results) -> Table:
    """Set one attack beside another."""
    table = Table("attack", title="codes read whole (95 % interval); characters; what was chosen on other captchas")
    for source in results:
        table.add_column(source, justify="right")
    for name in next(iter(results.values())):
        table.add_row(name, *(_cell(found[name]) if name in found else "-" for found in results.values()))
    return table


def _cell(found: Success) -> str:
    cell = f"{found.codes:.1%} ({found.low:.1%} - {found.high:.1%}); {found.characters:.1%}"
    return cell if found.chosen_at is None else f"{cell}\n{found.variant}: {found.chosen_at:.1%} where chosen"


def as_json(found: dict[str, Success]) -> dict[str, dict[str, float | str]]:
    """Round the figures, and leave out what an attack has not."""
    return {
        name: {
            key: value if isinstance(value, str) else round(float(value), 4)
            for key, value in success._asdict().items()
            if value not in ("", None)
        }
        for name, success in found.items()
    }


def plot(file: BinaryIO, results: Results, counts: Sequence[int]) -> None:
    """Draw success of the trained solvers against the number of labelled captchas; lines show the best untrained."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - only developers have it

    figure = Figure((7, 4), layout="constrained")
    axes = figure.subplots()
    for colour, (source, found) in enumerate(results.items()):
        untrained = [
            success.codes for name, success in found.items() if name.rpartition("-")[0] not in ("crnn", "detector")
        ]
        axes.axhline(
            100 * max(untrained, default=0), color=f"C{colour}", linestyle=":", label=f"{source}, best untrained"
        )
        measured = [(count, found[name]) for count in counts if (name := f"crnn-{count}") in found]
        if not measured:
            continue
        middles = np.array([success.codes for _, success in measured])
        reach = np.abs(np.array([(success.low, success.high) for _, success in measured]).T - middles)
        places, label = [count for count, _ in measured], f"{source}, crnn"
        axes.errorbar(places, 100 * middles, 100 * reach, fmt=f"oC{colour}-", capsize=3, label=label)
    axes.set(xscale="log", xlim=(min(counts) / 2, max(counts) * 2), ylim=(0, 100))
    axes.set(xlabel="labelled captchas to learn from", ylabel="codes read whole, %")
    axes.set_xticks(counts, [f"{count:,}" for count in counts])
    axes.legend()
    figure.savefig(file, format="png", dpi=120)

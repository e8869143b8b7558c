"""What attacks found, as a table, JSON and a plot."""

from collections.abc import Sequence
from typing import BinaryIO

import numpy as np
from rich.table import Table

from benchmarks.strength.untrained import Success

CENTS = 3.0
"""US cents that an hour of one core costs: clouds ask about two for spare ones and four for others."""

Results = dict[str, dict[str, Success]]
"""Success by source of the captchas, and by attack."""


def best_attack(found: dict[str, Success]) -> str:
    """Say which attack reads most, and how much."""
    name = max(found, key=lambda name: found[name].codes)
    best = found[name]
    return f"best attack: {name} reads {best.codes:.1%} of codes (95 % interval {best.low:.1%} - {best.high:.1%})"


def as_table(results: Results) -> Table:
    """Set one attack beside another."""
    table = Table(
        "attack",
        title="codes read whole (95 % interval); characters; what was chosen on other captchas\n"
        f"costs of processor time at {CENTS:g} cents an hour of one core",
    )
    for source in results:
        table.add_column(source, justify="right")
    for name in next(iter(results.values())):
        table.add_row(name, *(_cell(found[name]) if name in found else "-" for found in results.values()))
    return table


def _cell(found: Success) -> str:
    lines = [f"{found.codes:.1%} ({found.low:.1%} - {found.high:.1%}); {found.characters:.1%}"]
    if found.chosen_at is not None:
        lines.append(f"{found.variant}: {found.chosen_at:.1%} where chosen")
    if found.trained_seconds is not None:
        lines.append(
            f"trained: {found.steps} steps, {_cost(found.trained_seconds)}; drawing {found.drawing_seconds:.0f} s"
        )
    if found.seconds is not None and found.codes > 0:
        lines.append(f"1,000 codes: {_cost(1000 * found.seconds / found.codes)}")
    return "\n".join(lines)


def _cost(seconds: float) -> str:
    return f"{seconds:,.0f} s, {seconds / 3600 * CENTS:.2g} cents"


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


def plot(file: BinaryIO, results: Results, minutes: Sequence[float]) -> None:
    """Draw success of the CRNN against the minutes of its training; lines show the best untrained."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - only developers have it

    figure = Figure((7, 4), layout="constrained")
    axes = figure.subplots()
    for colour, (source, found) in enumerate(results.items()):
        untrained = [success.codes for name, success in found.items() if not name.startswith(("crnn", "detector"))]
        axes.axhline(
            100 * max(untrained, default=0), color=f"C{colour}", linestyle=":", label=f"{source}, best untrained"
        )
        measured = {of: found[name] for of in minutes if (name := f"crnn-{of:g}") in found}
        if not measured:
            continue
        middles = np.array([success.codes for success in measured.values()])
        reach = np.abs(np.array([(success.low, success.high) for success in measured.values()]).T - middles)
        label = f"{source}, crnn"
        axes.errorbar([*measured], 100 * middles, 100 * reach, fmt=f"oC{colour}-", capsize=3, label=label)
    axes.set(xscale="log", xlim=(min(minutes) / 2, max(minutes) * 2), ylim=(0, 100))
    axes.set(xlabel="minutes of one core that the solver was trained", ylabel="codes read whole, %")
    axes.set_xticks(minutes, [f"{of:g}" for of in minutes])
    axes.legend()
    figure.savefig(file, format="png", dpi=120)

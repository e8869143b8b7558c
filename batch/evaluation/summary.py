"""The measures of all classes and seeds reduced to the figures that a set of generators is judged by."""

from typing import NamedTuple

import numpy as np

from batch.evaluation.comparison import Metrics

_RATIOS = (
    "legibility",
    "legibility_lookalikes",
    "precision",
    "recall",
    "density",
    "coverage",
    "accuracy_score",
    "frechet",
    "nearest",
)


class Measured(NamedTuple):
    """Measures of one kind of glyphs, drawn with several seeds."""

    classes: dict[str, Metrics]
    """means over the seeds, by name of class"""
    summary: Metrics
    """means over the classes, and ratios to real glyphs: the mean of the classes' ratios, and the worst of them"""
    errors: Metrics
    """standard deviation of the summary between seeds"""


def over_seeds(seeds: list[dict[str, Metrics]]) -> Measured:
    """Summarise the measures of each seed, by name of class; those of real glyphs have names that end in `_real`."""
    classes = {
        name: {measure: float(np.mean([rows[name][measure] for rows in seeds])) for measure in row}
        for name, row in seeds[0].items()
    }
    of_seeds = [_summarise(rows) for rows in seeds]
    summary = _summarise(classes)
    errors = {name: float(np.std([of_seed[name] for of_seed in of_seeds], ddof=1)) for name in summary}
    return Measured(classes, summary, errors)


def to_real(row: Metrics, name: str) -> float:
    """Divide a measure of generated glyphs by that of real ones; 0 where the real ones have none."""
    return row[name] / row[f"{name}_real"] if row[f"{name}_real"] else 0.0


def _summarise(rows: dict[str, Metrics]) -> Metrics:
    classes = list(rows.values())
    summary = {name: float(np.mean([row[name] for row in classes])) for name in classes[0]}
    for name in (name for name in _RATIOS if name in summary):
        ratios = [to_real(row, name) for row in classes]
        summary[f"{name}_to_real"] = float(np.mean(ratios))
        summary[f"worst_{name}_to_real"] = max(ratios) if name == "frechet" else min(ratios)
    if "accuracy_score" in summary:  # a ratio of accuracies over all classes, as it is published
        summary["accuracy_score_to_real"] = to_real(summary, "accuracy_score")
    summary["worst_two_sample"] = max(row["two_sample"] for row in classes)
    return summary

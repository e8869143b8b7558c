"""Measure generated glyphs against real handwriting: `python -m batch.evaluate`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from batch.evaluation import CACHE_DIR
from batch.images.source import read_images_of
from batch.packages import training_packages
from batch.progress import progress_bar
from batch.sheets import contact_sheet, writing
from batch.training.recipe import Architecture
from batch.training.writing import CheckpointWriter
from gantcha.errors import GantchaError, one_line_errors
from gantcha.glyphs.sampler import Sampler
from gantcha.home import CHECKPOINTS
from gantcha.terminal import run
from pool.cores import available_cores

if TYPE_CHECKING:
    from batch.evaluation.comparison import Metrics
    from batch.evaluation.glyphs import Evaluation
    from batch.evaluation.summary import Measured

_CORES = available_cores()
_LEAST = 20  # test images of a class that it can be compared with
_OFTEN = 0.04  # pairs of characters confused more often are reported
_TABLE_WIDTH = 220  # off a terminal
_COLUMNS = {
    "legibility": 3,
    "legibility_lookalikes": 3,
    "frechet": 2,
    "kernel": 3,
    "precision": 2,
    "recall": 2,
    "density": 2,
    "coverage": 2,
    "specks": 3,
    "two_sample": 3,
    "nearest": 2,
    "accuracy_score": 3,
}
"""Measures and their digits."""


def main(
    data: Annotated[Path, typer.Option(help="What the generators were trained on.")],
    checkpoints: Annotated[Path, typer.Option(help="Folder of the generators.")] = CHECKPOINTS,
    record: Annotated[
        bool,
        typer.Option("--record", help="Write the metrics to evaluation.json beside the generators, and a picture."),
    ] = False,
    classes: Annotated[str, typer.Option(help="`all`, or names with commas: 10-upper-a,36-lower-a.")] = "all",
    per_class: Annotated[
        int, typer.Option(min=20, help="Glyphs drawn of each class and seed; 100 give a quick look.")
    ] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 1,
    repeats: Annotated[int, typer.Option(min=2, help="Seeds to draw them with, for the error bars.")] = 3,
    jobs: Annotated[int, typer.Option(min=1, help="Processes, one core each.")] = _CORES,
    cache: Annotated[Path, typer.Option(help="Folder that keeps the trained reference classifier.")] = CACHE_DIR,
) -> None:
    """Compare generated glyphs with real ones, class by class: as captchas contain them, and without the filter.

    What real glyphs would come to, were they chosen for captchas by the same filter, is measured beside them.
    A reference classifier trained on real images only (some minutes, once) reads them. The measures are printed; with
    --record they also go into evaluation.json in the folder of the generators, and a picture of generated beside real
    glyphs, worst class first, into evaluation.png.

    \b
    Examples:
        python -m batch.evaluate --data emnist
        python -m batch.evaluate --data emnist --per-class 100
        python -m batch.evaluate --data emnist --checkpoints trained --record
    """
    with one_line_errors():
        with training_packages():
            from batch.evaluation.glyphs import evaluate
            from batch.evaluation.judge import ReferenceClassifier
            from batch.evaluation.metrics import confusions
            from batch.training.filter import filter_flops
        folder = CheckpointWriter(checkpoints)
        sampler = Sampler(folder)
        train, test = (read_images_of(sampler.classes, data, split) for split in ("train", "test"))
        meanings = sampler.classes.meanings
        try:
            chosen = sampler.classes.named(classes)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
        scarce = min(chosen, key=lambda c: test.counts()[c.index])
        if (count := test.counts()[scarce.index]) < _LEAST:
            raise GantchaError(
                f"there are {count} test images of {scarce.symbol} ({scarce.name}); {_LEAST} are the least"
            )
        with progress_bar(TimeElapsedColumn(), TimeRemainingColumn()) as progress:
            bar = progress.add_task("reference classifier", total=1)
            judge = ReferenceClassifier.cached(train, cache, lambda share: progress.advance(bar, share))
            truth, read = meanings[test.labels], meanings[judge.judge(test.images).classes]
            seeds = list(range(seed, seed + repeats))
            found = evaluate(sampler, judge, train, test, chosen, per_class, seeds, jobs, progress)
        by_frequency = sorted(confusions(truth, read).items(), key=lambda pair: -pair[1])
        confused = {chr(one) + chr(other): round(share, 3) for (one, other), share in by_frequency if share > _OFTEN}
        accuracy = float((truth == read).mean())
        measured = {
            "reference_accuracy": round(accuracy, 4),
            "confused_real": confused,
            "classes": classes,
            "per_class": per_class,
            "seeds": seeds,
            "discarded": round(1 - 1 / found.drawn_for_each, 4),
            "flops_per_glyph": round(found.drawn_for_each * (Architecture().flops + filter_flops(len(train.classes)))),
            "in_captchas": _rounded(found.in_captchas.summary),
            "in_captchas_errors": _rounded(found.in_captchas.errors),
            "unfiltered": _rounded(found.unfiltered.summary),
            "unfiltered_errors": _rounded(found.unfiltered.errors),
            "real_filtered": _rounded(found.real_filtered.summary),
            "real_filtered_errors": _rounded(found.real_filtered.errors),
            "by_class": {name: _rounded(row) for name, row in found.in_captchas.classes.items()},
        }
        if record:
            folder.write_evaluation(measured)
            with writing(checkpoints / "evaluation.png") as file:
                contact_sheet(found.picture).save(file, "PNG")
    console = Console(width=None if sys.stdout.isatty() else _TABLE_WIDTH)
    console.print(_table(found, repeats))
    characters = f"{len(set(meanings))} characters, without case"
    console.print(f"The reference classifier reads {accuracy:.1%} of the test images ({characters}).")
    told = ", ".join(f"{pair} {share:.1%}" for pair, share in confused.items())
    console.print(f"Real characters most often confused, the shares of both directions added up: {told}.")


def _rounded(row: "Metrics") -> "Metrics":
    return {name: round(value, 4) for name, value in row.items()}


def _table(found: "Evaluation", repeats: int) -> Table:
    """Lay out one row for each class, as captchas contain it, and below them means, errors and ratios to real ones."""
    title = (
        "First a row for each class: glyphs as captchas contain them (real ones in brackets). "
        f"Below, over all classes: means, ratios to real and the worst class, ± deviation between {repeats} seeds."
    )
    table = Table(title=title, title_justify="left", row_styles=("", "dim"))
    for column in ("class", *_COLUMNS):
        table.add_column(
            column.replace("_", " "), justify="left" if column == "class" else "right", no_wrap=column == "class"
        )
    for name, row in found.in_captchas.classes.items():
        table.add_row(
            name, *(f"{row[of]:.{digits}f} ({row[f'{of}_real']:.{digits}f})" for of, digits in _COLUMNS.items())
        )
    kinds = {"in captchas": found.in_captchas, "unfiltered": found.unfiltered, "real, filtered": found.real_filtered}
    for kind, measured in kinds.items():
        table.add_section()
        table.add_row(f"{kind}, mean", *(_with_error(measured, of) for of in _COLUMNS))
        table.add_row(f"{kind}, ratio to real", *(_with_error(measured, f"{of}_to_real") for of in _COLUMNS))
        table.add_row(f"{kind}, worst class", *(_with_error(measured, _worst(of)) for of in _COLUMNS))
    table.add_section()
    real = found.in_captchas.summary
    table.add_row("real, mean", *(f"{real[f'{of}_real']:.{digits}f}" for of, digits in _COLUMNS.items()))
    return table


def _worst(measure: str) -> str:
    return "worst_two_sample" if measure == "two_sample" else f"worst_{measure}_to_real"


def _with_error(measured: "Measured", name: str) -> str:
    """Return a figure of the summary with the standard deviation between seeds, where there is such a figure."""
    if name not in measured.summary:
        return ""
    return f"{measured.summary[name]:.3f} ±{measured.errors[name]:.3f}"


if __name__ == "__main__":
    run(main)

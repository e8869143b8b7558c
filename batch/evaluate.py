"""Measure generated glyphs against real handwriting: `python -m batch.evaluate`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

<<<<<<< ours
from batch.evaluation import CACHE_DIR
=======
from batch.alphabet import CHARACTER_OF_CLASS
from batch.evaluation.glyphs import Evaluation, Measured, Metrics, evaluate
from batch.evaluation.judge import CACHE_DIR, ReferenceClassifier
from batch.evaluation.metrics import confusions
>>>>>>> theirs
from batch.glyphs.checkpoints import Checkpoints
from batch.glyphs.sampler import OVERSAMPLING, Sampler
from batch.progress import progress_bar
from batch.sheets import contact_sheet, writing
from batch.training.architecture import Architecture
from batch.training.emnist import read_emnist
<<<<<<< ours
from batch.training.packages import training_packages
=======
from batch.training.filter import FLOPS
from batch.training.tensorflow import require_tensorflow
>>>>>>> theirs
from pool.errors import one_line_errors
from pool.settings import DEFAULT_CHECKPOINTS_DIR

<<<<<<< ours
if TYPE_CHECKING:
    from batch.evaluation.glyphs import Evaluation

_TABLE_WIDTH = 160  # off a terminal
=======
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
    "two_sample": 3,
    "nearest": 2,
    "accuracy_score": 3,
}
"""Measures and their digits."""
>>>>>>> theirs


def main(
    data: Annotated[Path, typer.Option(help="Folder of the official EMNIST ByMerge files (gzip IDX).")],
    checkpoints: Annotated[Path, typer.Option(help="Folder of the generators.")] = DEFAULT_CHECKPOINTS_DIR,
    record: Annotated[
        bool,
        typer.Option("--record", help="Write the metrics to the manifest of the generators, and a picture beside it."),
    ] = False,
    per_class: Annotated[int, typer.Option(min=100, help="Glyphs drawn of each class and seed.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 1,
    repeats: Annotated[int, typer.Option(min=2, help="How often to draw them anew, for the error bars.")] = 3,
    cache: Annotated[Path, typer.Option(help="Folder that keeps the trained reference classifier.")] = CACHE_DIR,
) -> None:
    """Compare generated glyphs with real ones, class by class: as captchas contain them, and without the filter.

    A reference classifier trained on real images only (some minutes, once) reads them. The measures are printed; with
    --record they also go into the manifest, and a picture of generated beside real glyphs, worst class first, into
    evaluation.png in the same folder.

    \b
    Examples:
        python -m batch.evaluate --data emnist
        python -m batch.evaluate --data emnist --checkpoints trained --record
    """
    with one_line_errors():
<<<<<<< ours
        with training_packages():
            from batch.evaluation.glyphs import evaluate
            from batch.evaluation.judge import ReferenceClassifier
        alphabet = load_settings().alphabet
=======
        require_tensorflow()
>>>>>>> theirs
        folder = Checkpoints(checkpoints)
        sampler = Sampler(folder)
        train, test = read_emnist(data, "train"), read_emnist(data, "test")
        with progress_bar(TimeElapsedColumn(), TimeRemainingColumn()) as progress:
            bar = progress.add_task("reference classifier", total=1)
            judge = ReferenceClassifier.cached(train, cache, lambda share: progress.advance(bar, share))
            truth, read = CHARACTER_OF_CLASS[test.labels], CHARACTER_OF_CLASS[judge.judge(test.images).classes]
            bar = progress.add_task("glyphs", total=1)
            seeds = list(range(seed, seed + repeats))
            found = evaluate(sampler, judge, train, test, per_class, seeds, lambda share: progress.advance(bar, share))
        by_frequency = sorted(confusions(truth, read).items(), key=lambda pair: -pair[1])
        confused = {chr(one) + chr(other): round(share, 3) for (one, other), share in by_frequency if share > _OFTEN}
        accuracy = float((truth == read).mean())
        manifest = folder.manifest()
        for name, row in found.in_captchas.classes.items():
            manifest["classes"][name]["metrics"] = _rounded(row)
        manifest["evaluation"] = {
            "recogniser_accuracy": round(accuracy, 4),
            "confused_real": confused,
            "per_class": per_class,
            "seeds": seeds,
            "discarded": round(1 - 1 / OVERSAMPLING, 4),
            "flops_per_glyph": round(OVERSAMPLING * (Architecture().flops + FLOPS)),
            "in_captchas": _rounded(found.in_captchas.summary),
            "in_captchas_errors": _rounded(found.in_captchas.errors),
            "unfiltered": _rounded(found.unfiltered.summary),
            "unfiltered_errors": _rounded(found.unfiltered.errors),
        }
        if record:
            folder.write_manifest(manifest)
            with writing(checkpoints / "evaluation.png") as file:
                contact_sheet(found.picture).save(file, "PNG")
<<<<<<< ours
    _report(found)


def _report(found: "Evaluation") -> None:
=======
>>>>>>> theirs
    console = Console(width=None if sys.stdout.isatty() else _TABLE_WIDTH)
    console.print(_table(found))
    console.print(f"The reference classifier reads {accuracy:.1%} of EMNIST test (36 characters, without case).")
    told = ", ".join(f"{pair} {share:.1%}" for pair, share in confused.items())
    console.print(f"Real characters most often confused, the shares of both directions added up: {told}.")


def _rounded(row: Metrics) -> Metrics:
    return {name: round(value, 4) for name, value in row.items()}


<<<<<<< ours
def _table(found: "Evaluation") -> Table:
    table = Table(title="generated (real beside it)", row_styles=("", "dim"))
    pairs = ("legibility", "legibility_lookalikes", "frechet", "precision", "recall", "nearest")
    sizes = [name.removeprefix("two_sample_") for name in found.summary if name.startswith("two_sample_")]
    for column in ("class", *pairs, *(f"two-sample, {size} a side" for size in sizes)):
        table.add_column(column.replace("_", " "), justify="left" if column == "class" else "right")
    for name, row in (*found.metrics.items(), ("mean", found.summary)):
        digits = {pair: 1 if pair in ("frechet", "nearest") else 3 for pair in pairs}
        cells = [f"{row[pair]:.{digits[pair]}f} ({row[f'{pair}_real']:.{digits[pair]}f})" for pair in pairs]
        two_sample = [f"{row[f'two_sample_{size}']:.3f}" for size in sizes]
        table.add_row(name, *cells, *two_sample, end_section=name == list(found.metrics)[-1])
=======
def _table(found: Evaluation) -> Table:
    """Lay out one row for each class, as captchas contain it, and below them means, errors and ratios to real ones."""
    table = Table(title="glyphs as captchas contain them (real ones beside)", row_styles=("", "dim"))
    for column in ("class", *_COLUMNS):
        table.add_column(
            column.replace("_", " "), justify="left" if column == "class" else "right", no_wrap=column == "class"
        )
    for name, row in found.in_captchas.classes.items():
        table.add_row(
            name, *(f"{row[of]:.{digits}f} ({row[f'{of}_real']:.{digits}f})" for of, digits in _COLUMNS.items())
        )
    for kind, measured in {"in captchas": found.in_captchas, "unfiltered": found.unfiltered}.items():
        table.add_section()
        table.add_row(f"mean, {kind}", *(_with_error(measured, of) for of in _COLUMNS))
        table.add_row("ratio to real", *(_with_error(measured, f"{of}_to_real") for of in _COLUMNS))
        table.add_row("worst class", *(_with_error(measured, _worst(of)) for of in _COLUMNS))
    table.add_section()
    real = found.in_captchas.summary
    table.add_row("mean, real", *(f"{real[f'{of}_real']:.{digits}f}" for of, digits in _COLUMNS.items()))
>>>>>>> theirs
    return table


def _worst(measure: str) -> str:
    return "worst_two_sample" if measure == "two_sample" else f"worst_{measure}_to_real"


def _with_error(measured: Measured, name: str) -> str:
    """Give a figure of the summary with the standard deviation between seeds, where there is such a figure."""
    if name not in measured.summary:
        return ""
    return f"{measured.summary[name]:.3f} ±{measured.errors[name]:.3f}"


if __name__ == "__main__":
    typer.run(main)

"""Measure the generators against real handwriting: `python -m batch.evaluate`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import TimeRemainingColumn
from rich.table import Table

from batch.evaluation import CACHE_DIR
from batch.glyphs.checkpoints import Checkpoints
from batch.glyphs.sampler import Sampler
from batch.progress import progress_bar
from batch.sheets import contact_sheet, writing
from batch.training.emnist import read_emnist
from batch.training.packages import training_packages
from pool.errors import one_line_errors
from pool.settings import DEFAULT_CHECKPOINTS_DIR, load_settings

if TYPE_CHECKING:
    from batch.evaluation.glyphs import Evaluation

_TABLE_WIDTH = 160  # off a terminal


def main(
    data: Annotated[Path, typer.Option(help="Folder of the official EMNIST ByMerge files (gzip IDX).")],
    checkpoints: Annotated[Path, typer.Option(help="Folder of the generators.")] = DEFAULT_CHECKPOINTS_DIR,
    record: Annotated[
        bool,
        typer.Option("--record", help="Write the metrics to the manifest of the generators, and a picture beside it."),
    ] = False,
    per_class: Annotated[int, typer.Option(min=100, help="Glyphs drawn of each class.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 1,
    cache: Annotated[Path, typer.Option(help="Folder that keeps the trained reference classifier.")] = CACHE_DIR,
) -> None:
    """Compare generated glyphs with real ones, class by class.

    A reference classifier trained on real images only (some minutes, once) reads both. The metrics are
    printed; with --record they also go into the manifest, and a picture of generated beside real glyphs, worst class
    first, into evaluation.png in the same folder.

    \b
    Examples:
        python -m batch.evaluate --data emnist
        python -m batch.evaluate --data emnist --checkpoints trained --record
    """
    with one_line_errors():
        with training_packages():
            from batch.evaluation.glyphs import evaluate
            from batch.evaluation.judge import ReferenceClassifier
        alphabet = load_settings().alphabet
        folder = Checkpoints(checkpoints)
        sampler = Sampler(folder)
        train, test = read_emnist(data, "train"), read_emnist(data, "test")
        with progress_bar(TimeRemainingColumn()) as progress:
            bar = progress.add_task("reference classifier", total=1)
            judge = ReferenceClassifier.cached(train, cache, lambda share: progress.advance(bar, share))
            found = evaluate(
                sampler,
                judge,
                train,
                test,
                alphabet,
                per_class,
                seed,
                lambda classes: progress.track(classes, description="classes"),
            )
        manifest = folder.manifest()
        for name, row in found.metrics.items():
            manifest["classes"][name]["metrics"] = row
        manifest["evaluation"] = {
            "reference_accuracy": round(found.accuracy, 4),
            "confused_real": found.confused_real,
            "in_captchas": found.in_captchas,
            "per_class": per_class,
            **found.summary,
        }
        if record:
            folder.write_manifest(manifest)
            with writing(checkpoints / "evaluation.png") as file:
                contact_sheet(found.picture).save(file, "PNG")
    _report(found)


def _report(found: "Evaluation") -> None:
    console = Console(width=None if sys.stdout.isatty() else _TABLE_WIDTH)
    console.print(_table(found))
    console.print(f"The reference classifier reads {found.accuracy:.1%} of EMNIST test (36 characters, without case).")
    console.print(
        f"The legibility filter discards {found.in_captchas['discarded']:.0%} of the glyphs drawn for captchas; of the "
        f"rest in the alphabet {found.in_captchas['alphabet']} {found.in_captchas['legibility']:.1%} are read rightly."
    )
    confused = ", ".join(f"{pair} {share:.1%}" for pair, share in found.confused_real.items())
    console.print(f"Real characters most often confused, the shares of both directions added up: {confused}.")
    for name in (name for name in found.summary if name not in next(iter(found.metrics.values()))):
        console.print(f"{name.replace('_', ' ')}: {found.summary[name]}")


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
    return table


if __name__ == "__main__":
    typer.run(main)

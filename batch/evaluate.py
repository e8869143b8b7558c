"""Measure the generators against real handwriting: `python -m batch.evaluate`."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer
from rich.console import Console
from rich.progress import TimeRemainingColumn
from rich.table import Table

from batch.alphabet import CHARACTER_OF_CLASS, GLYPH_CLASSES
from batch.architecture import flops_per_reading
from batch.checkpoints import Checkpoints
from batch.emnist import SIDE, Emnist, read_emnist
from batch.metrics import TwoSampleTest, confusions, frechet_distance, nearest_distances, precision_and_recall
from batch.progress import progress_bar
from batch.quiet_tensorflow import require_tensorflow
from batch.recogniser import FOLDED_OF_CLASS, Recogniser
from batch.sample import contact_sheet, writing
from batch.sampler import OVERDRAW, Sampler
from pool.errors import one_line_errors
from pool.settings import DEFAULT_CHECKPOINTS_DIR, load_settings

_REPEATS = 5  # small test sets: the mean over so many draws of as many images
_TWO_SAMPLE_SIZES = (400, 1000)
_PICTURE_COLUMNS = 16
_OFTEN = 0.04  # pairs of characters confused more often are told
_TABLE_WIDTH = 160  # off a terminal
CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "gantcha"

Images = npt.NDArray[np.uint8]
Metrics = dict[str, float]


class _Evaluation:
    """What it takes to measure one class after the other."""

    def __init__(self, recogniser: Recogniser, seed: int) -> None:
        self._recogniser = recogniser
        self._rng = np.random.default_rng(seed)
        self._two_sample_test = TwoSampleTest()

    def measure(self, index: int, fake: Images, train: Images, test: Images) -> Metrics:
        """Compare generated images of a class `[N, 28, 28]` with real ones, and real ones with each other."""
        images = {"fake": fake, "train": train, "test": test}
        judged = {name: self._recogniser.judge(images[name]) for name in images}
        features = {name: judgement.features for name, judgement in judged.items()}
        count = min(len(test), len(train), len(fake))

        def mean_over_draws(measure: Callable[..., Any], of: str) -> Any:
            draws = (self._rng.choice(features[of], count, replace=False) for _ in range(_REPEATS))
            return np.mean([measure(features["test"][:count], draw) for draw in draws], axis=0)

        def legibility(of: str, meaning: npt.NDArray[np.int64]) -> float:
            return float((meaning[judged[of].classes] == meaning[index]).mean())

        def nearest(to_train: Images) -> float:
            # At one size: the 1st percentile of few is nearly their least.
            distances = nearest_distances(to_train, train)
            draws = [self._rng.choice(distances, count, replace=False) for _ in range(_REPEATS)]
            return float(np.percentile(draws, 1, axis=1).mean())

        precision, recall = mean_over_draws(precision_and_recall, "fake")
        precision_real, recall_real = mean_over_draws(precision_and_recall, "train")
        metrics = {
            "legibility": legibility("fake", CHARACTER_OF_CLASS),
            "legibility_real": legibility("test", CHARACTER_OF_CLASS),
            "legibility_folded": legibility("fake", FOLDED_OF_CLASS),
            "legibility_folded_real": legibility("test", FOLDED_OF_CLASS),
            "frechet": float(mean_over_draws(frechet_distance, "fake")),
            "frechet_real": float(mean_over_draws(frechet_distance, "train")),
            "precision": precision,
            "precision_real": precision_real,
            "recall": recall,
            "recall_real": recall_real,
            "nearest": nearest(fake),
            "nearest_real": nearest(test),
        }
        for size in _TWO_SAMPLE_SIZES:
            draw_size = min(size, len(train), len(fake))
            real, generated = (self._rng.choice(images[of], draw_size, replace=False) for of in ("train", "fake"))
            metrics[f"two_sample_{size}"] = self._two_sample_test.accuracy(real, generated, self._rng)
        return {name: round(float(value), 4) for name, value in metrics.items()}


def _by_class(emnist: Emnist) -> list[Images]:
    return [emnist.images[emnist.labels == glyph_class.index] for glyph_class in GLYPH_CLASSES]


def _to_real(row: Metrics, name: str) -> float:
    """Divide a figure of the generated glyphs by that of the real ones; 0 where the real ones have none."""
    return row[name] / row[f"{name}_real"] if row[f"{name}_real"] else 0.0


def _summary(metrics: dict[str, Metrics]) -> Metrics:
    """Reduce the metrics of all classes to the figures a set of generators is judged by."""
    rows = list(metrics.values())

    def mean(name: str) -> float:
        return float(np.mean([row[name] for row in rows]))

    summary = {name: mean(name) for name in rows[0]}
    summary |= {f"{name}_to_real": _to_real(summary, name) for name in ("frechet", "precision", "recall")}
    summary |= {
        "worst_legibility_folded_to_real": min(_to_real(row, "legibility_folded") for row in rows),
        "worst_recall_to_real": min(_to_real(row, "recall") for row in rows),
        "classes_with_copies": sum(row["nearest"] < row["nearest_real"] for row in rows),
    }
    return {name: round(value, 4) for name, value in summary.items()}


def _table(metrics: dict[str, Metrics], summary: Metrics) -> Table:
    table = Table(title="generated (real beside it)", row_styles=("", "dim"))
    pairs = ("legibility", "legibility_folded", "frechet", "precision", "recall", "nearest")
    for column in ("class", *pairs, *(f"two-sample, {size} a side" for size in _TWO_SAMPLE_SIZES)):
        table.add_column(column.replace("_", " "), justify="left" if column == "class" else "right")
    for name, row in (*metrics.items(), ("mean", summary)):
        digits = {pair: 1 if pair in ("frechet", "nearest") else 3 for pair in pairs}
        cells = [f"{row[pair]:.{digits[pair]}f} ({row[f'{pair}_real']:.{digits[pair]}f})" for pair in pairs]
        two_sample = [f"{row[f'two_sample_{size}']:.3f}" for size in _TWO_SAMPLE_SIZES]
        table.add_row(name, *cells, *two_sample, end_section=name == list(metrics)[-1])
    return table


def main(
    data: Annotated[Path, typer.Option(help="Folder of the official EMNIST ByMerge files (gzip IDX).")],
    checkpoints: Annotated[Path, typer.Option(help="Folder of the generators.")] = DEFAULT_CHECKPOINTS_DIR,
    record: Annotated[
        bool,
        typer.Option("--record", help="Write the metrics to the manifest of the generators, and a picture beside it."),
    ] = False,
    per_class: Annotated[int, typer.Option(min=100, help="Glyphs drawn of each class.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 1,
    cache: Annotated[Path, typer.Option(help="Folder that keeps the trained recogniser.")] = CACHE,
) -> None:
    """Compare generated glyphs with real ones, class by class.

    A recogniser trained on real images only (some minutes, once) reads both. The metrics are printed; with --record
    they also go into the manifest, and a picture of generated beside real glyphs, worst class first, into
    evaluation.png in the folder of the generators.

    \b
    Examples:
        python -m batch.evaluate --data emnist
        python -m batch.evaluate --data emnist --checkpoints trained --record
    """
    with one_line_errors():
        require_tensorflow()
        alphabet = load_settings().alphabet
        folder = Checkpoints(checkpoints)
        sampler = Sampler(folder)
        train, test = read_emnist(data, "train"), read_emnist(data, "test")
        with progress_bar(TimeRemainingColumn()) as progress:
            bar = progress.add_task("recogniser", total=1)
            recogniser = Recogniser.cached(train, cache, lambda share: progress.advance(bar, share))
            read = recogniser.judge(test.images).classes
            truth, taken_for = CHARACTER_OF_CLASS[test.labels], CHARACTER_OF_CLASS[read]
            accuracy = float((truth == taken_for).mean())
            often = {pair: share for pair, share in confusions(truth, taken_for).items() if share > _OFTEN}
            evaluation = _Evaluation(recogniser, seed)
            labels = np.repeat(np.arange(len(GLYPH_CLASSES), dtype=np.uint8), per_class)
            fakes = np.split(sampler.draw(labels, np.random.default_rng(seed)), len(GLYPH_CLASSES))
            reals, trains = _by_class(test), _by_class(train)
            metrics = {
                c.name: evaluation.measure(c.index, fakes[c.index], trains[c.index], reals[c.index])
                for c in progress.track(GLYPH_CLASSES, description="classes")
            }
            legible = sampler.draw_legible(labels, np.random.default_rng(seed))
            right = CHARACTER_OF_CLASS[recogniser.judge(legible).classes] == CHARACTER_OF_CLASS[labels]
        manifest = folder.manifest()
        in_captchas = {
            "alphabet": alphabet,
            "discarded": round(1 - 1 / OVERDRAW, 4),
            "flops_per_glyph": round(OVERDRAW * (manifest["flops_per_glyph"] + flops_per_reading())),
            "legibility": round(float(right[np.isin(CHARACTER_OF_CLASS[labels], list(map(ord, alphabet)))].mean()), 4),
        }
        summary = _summary(metrics)
        for name, row in metrics.items():
            manifest["classes"][name]["metrics"] = row
        confused_real = {
            chr(one) + chr(other): round(share, 3)
            for (one, other), share in sorted(often.items(), key=lambda pair: -pair[1])
        }
        manifest["evaluation"] = {
            "recogniser_accuracy": round(accuracy, 4),
            "confused_real": confused_real,
            "in_captchas": in_captchas,
            "per_class": per_class,
            **summary,
        }
        if record:
            folder.write_manifest(manifest)
            _draw_picture(checkpoints / "evaluation.png", metrics, fakes, reals)
    console = Console(width=None if sys.stdout.isatty() else _TABLE_WIDTH)
    console.print(_table(metrics, summary))
    console.print(f"The recogniser reads {accuracy:.1%} of EMNIST test (36 characters, without case).")
    console.print(
        f"Captchas leave out {in_captchas['discarded']:.0%} of the glyphs drawn, illegible ones first; of those in the "
        f"alphabet {alphabet} it then reads {in_captchas['legibility']:.1%}."
    )
    told = ", ".join(f"{pair} {share:.1%}" for pair, share in confused_real.items())
    console.print(f"Real characters it confuses, the shares of either that it takes for the other added up: {told}.")
    for name in (name for name in summary if name not in next(iter(metrics.values()))):
        console.print(f"{name.replace('_', ' ')}: {summary[name]}")


def _draw_picture(path: Path, metrics: dict[str, Metrics], fakes: list[Images], reals: list[Images]) -> None:
    """Draw a row for each class: generated glyphs, a gap, real glyphs; the worst class first."""
    worst_first = sorted(GLYPH_CLASSES, key=lambda c: -_to_real(metrics[c.name], "frechet"))
    gap = np.zeros((1, SIDE, SIDE), np.uint8)
    shape = (_PICTURE_COLUMNS, SIDE, SIDE)
    rows = [
        np.concatenate([np.resize(fakes[c.index], shape), gap, np.resize(reals[c.index], shape)]) for c in worst_first
    ]
    with writing(path) as file:
        contact_sheet(np.stack(rows)).save(file, "PNG")


if __name__ == "__main__":
    typer.run(main)

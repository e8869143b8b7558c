"""Generated glyphs against real ones, class by class."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from batch.alphabet import CHARACTER_OF_CLASS, GLYPH_CLASSES, SIDE, GlyphClass
from batch.evaluation.judge import LOOKALIKES_OF_CLASS, ReferenceClassifier
from batch.evaluation.metrics import confusions, frechet_distance, nearest_distances, precision_and_recall
from batch.evaluation.two_sample import TwoSampleTest
from batch.glyphs.sampler import OVERSAMPLING, Sampler
from batch.training.architecture import Architecture
from batch.training.emnist import Emnist
from batch.training.filter import FLOPS

_TWO_SAMPLE_SIZES = (400, 1000)
_REPEATS = 5  # for small test sets: means over so many draws of as many images
_COLUMNS = 16  # of glyphs of either kind in the picture
_OFTEN = 0.04  # pairs of characters confused more often are reported

Images = npt.NDArray[np.uint8]
Metrics = dict[str, float]


class Evaluation(NamedTuple):
    """What an evaluation found."""

    metrics: dict[str, Metrics]
    """by name of class"""
    summary: Metrics
    in_captchas: dict[str, Any]
    """of glyphs that passed the legibility filter"""
    accuracy: float
    """of the reference classifier on EMNIST test, 36 characters without case"""
    confused_real: dict[str, float]
    """real characters that it confuses: the shares of either taken for the other, added up"""
    picture: Images
    """a row for each class, the worst first: generated glyphs, a gap, real glyphs"""


def evaluate(
    sampler: Sampler,
    judge: ReferenceClassifier,
    train: Emnist,
    test: Emnist,
    alphabet: str,
    per_class: int,
    seed: int,
    track: Callable[[Iterable[GlyphClass]], Iterable[GlyphClass]],
) -> Evaluation:
    """Compare `per_class` generated glyphs of each class with real ones; `track` shows progress over the classes."""
    truth, read = CHARACTER_OF_CLASS[test.labels], CHARACTER_OF_CLASS[judge.judge(test.images).classes]
    by_frequency = sorted(confusions(truth, read).items(), key=lambda pair: -pair[1])
    labels = np.repeat(np.arange(len(GLYPH_CLASSES), dtype=np.uint8), per_class)
    fakes = np.split(sampler.draw(labels, np.random.default_rng(seed)), len(GLYPH_CLASSES))
    reals, trains = ([emnist.images[emnist.labels == c.index] for c in GLYPH_CLASSES] for emnist in (test, train))
    comparison = _Comparison(judge, seed)
    metrics = {
        c.name: comparison.measure(c.index, fakes[c.index], trains[c.index], reals[c.index])
        for c in track(GLYPH_CLASSES)
    }
    legible = sampler.draw_legible(labels, np.random.default_rng(seed))
    right = CHARACTER_OF_CLASS[judge.judge(legible).classes] == CHARACTER_OF_CLASS[labels]
    in_captchas = {
        "alphabet": alphabet,
        "discarded": round(1 - 1 / OVERSAMPLING, 4),
        "flops_per_glyph": round(OVERSAMPLING * (Architecture().flops + FLOPS)),
        "legibility": round(float(right[np.isin(CHARACTER_OF_CLASS[labels], list(map(ord, alphabet)))].mean()), 4),
    }
    return Evaluation(
        metrics,
        _summarise(metrics),
        in_captchas,
        float((truth == read).mean()),
        {chr(one) + chr(other): round(share, 3) for (one, other), share in by_frequency if share > _OFTEN},
        _picture(metrics, fakes, reals),
    )


class _Comparison:
    """Measures one class after another."""

    def __init__(self, judge: ReferenceClassifier, seed: int) -> None:
        self._judge = judge
        self._rng = np.random.default_rng(seed)
        self._two_sample_test = TwoSampleTest()

    def measure(self, index: int, fake: Images, train: Images, test: Images) -> Metrics:
        """Compare generated images of a class `[N, 28, 28]` with real ones, and real ones with each other."""
        images = {"fake": fake, "train": train, "test": test}
        judged = {name: self._judge.judge(images[name]) for name in images}
        features = {name: judgement.features for name, judgement in judged.items()}
        count = min(len(test), len(train), len(fake))

        def mean_over_draws(measure: Callable[..., Any], of: str) -> Any:
            draws = (self._rng.choice(features[of], count, replace=False) for _ in range(_REPEATS))
            return np.mean([measure(features["test"][:count], draw) for draw in draws], axis=0)

        def legibility(of: str, meaning: npt.NDArray[np.int64]) -> float:
            return float((meaning[judged[of].classes] == meaning[index]).mean())

        def nearest(to_train: Images) -> float:
            # From equally many: the 1st percentile of few images is nearly their minimum.
            distances = nearest_distances(to_train, train)
            draws = [self._rng.choice(distances, count, replace=False) for _ in range(_REPEATS)]
            return float(np.percentile(draws, 1, axis=1).mean())

        precision, recall = mean_over_draws(precision_and_recall, "fake")
        precision_real, recall_real = mean_over_draws(precision_and_recall, "train")
        metrics = {
            "legibility": legibility("fake", CHARACTER_OF_CLASS),
            "legibility_real": legibility("test", CHARACTER_OF_CLASS),
            "legibility_lookalikes": legibility("fake", LOOKALIKES_OF_CLASS),
            "legibility_lookalikes_real": legibility("test", LOOKALIKES_OF_CLASS),
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


def _to_real(row: Metrics, name: str) -> float:
    """Divide a figure of the generated glyphs by that of the real ones; 0 where the real ones have none."""
    return row[name] / row[f"{name}_real"] if row[f"{name}_real"] else 0.0


def _summarise(metrics: dict[str, Metrics]) -> Metrics:
    """Reduce the metrics of all classes to the figures a set of generators is judged by."""
    rows = list(metrics.values())

    def mean(name: str) -> float:
        return float(np.mean([row[name] for row in rows]))

    summary = {name: mean(name) for name in rows[0]}
    summary |= {f"{name}_to_real": _to_real(summary, name) for name in ("frechet", "precision", "recall")}
    summary |= {
        "worst_legibility_lookalikes_to_real": min(_to_real(row, "legibility_lookalikes") for row in rows),
        "worst_recall_to_real": min(_to_real(row, "recall") for row in rows),
        "classes_with_copies": sum(row["nearest"] < row["nearest_real"] for row in rows),
    }
    return {name: round(value, 4) for name, value in summary.items()}


def _picture(metrics: dict[str, Metrics], fakes: list[Images], reals: list[Images]) -> Images:
    """Set generated glyphs, a gap and real glyphs in a row for each class: `[47, columns, 28, 28]`."""
    worst_first = sorted(GLYPH_CLASSES, key=lambda c: -_to_real(metrics[c.name], "frechet"))
    gap = np.zeros((1, SIDE, SIDE), np.uint8)
    shape = (_COLUMNS, SIDE, SIDE)
    rows = [
        np.concatenate([np.resize(fakes[c.index], shape), gap, np.resize(reals[c.index], shape)]) for c in worst_first
    ]
    return np.stack(rows)

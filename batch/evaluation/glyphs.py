"""Generated glyphs against real ones, class by class: as captchas contain them, and as the generators draw them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from batch.alphabet import CHARACTER_OF_CLASS, GLYPH_CLASSES, LOOKALIKES_OF_CLASS, SIDE
from batch.evaluation.accuracy_score import accuracy_by_class
from batch.evaluation.judge import Judgement, ReferenceClassifier
from batch.evaluation.metrics import (
    density_and_coverage,
    frechet_distance,
    kernel_distance,
    nearest_distances,
    precision_and_recall,
)
from batch.evaluation.two_sample import TwoSampleTest
from batch.glyphs.sampler import Sampler
from batch.training.emnist import Emnist

<<<<<<< ours
_TWO_SAMPLE_SIZES = (400, 1000)
_REPEATS = 5  # for small test sets: means over so many draws of as many images
=======
_REPEATS = 3  # for small test sets: means over so many draws of as many images
_TWO_SAMPLE_SIZE = 400
>>>>>>> theirs
_COLUMNS = 16  # of glyphs of either kind in the picture
_HIGHER_IS_BETTER = (
    "legibility",
    "legibility_lookalikes",
    "precision",
    "recall",
    "density",
    "coverage",
    "accuracy_score",
)
_RATIOS = (*_HIGHER_IS_BETTER, "frechet", "nearest")

Images = npt.NDArray[np.uint8]
Metrics = dict[str, float]


class Measured(NamedTuple):
    """Measures of one kind of glyphs, drawn with several seeds."""

    classes: dict[str, Metrics]
    """by name of class, means over the seeds"""
    summary: Metrics
    """means over the classes, and ratios to real glyphs: the mean of the classes' ratios, and the worst of them"""
    errors: Metrics
    """of the summary: standard deviation between seeds"""


class Evaluation(NamedTuple):
    """What an evaluation found."""

    in_captchas: Measured
    """of glyphs as captchas contain them"""
    unfiltered: Measured
    """of all that the generators draw"""
    picture: Images
    """a row for each class, the worst first: glyphs as in captchas, a gap, real glyphs"""


def evaluate(
    sampler: Sampler,
    judge: ReferenceClassifier,
    train: Emnist,
    test: Emnist,
    per_class: int,
    seeds: list[int],
    report: Callable[[float], Any],
) -> Evaluation:
    """Compare `per_class` generated glyphs of each class with real ones, drawn anew with each seed.

    `report` is called with each finished share of the work, 1 in all.
    """
    kinds = {"in_captchas": sampler.draw_legible, "unfiltered": sampler.draw}
    share = 1 / (1 + len(seeds) * len(kinds))
    labels = np.repeat(np.arange(len(GLYPH_CLASSES), dtype=np.uint8), per_class)
    comparison = _Comparison(judge, train, test, per_class, lambda done: report(done * share))
    measured = {}
    for kind, draw in kinds.items():
        rows = [comparison.measure(draw(labels, np.random.default_rng(seed)), seed) for seed in seeds]
        measured[kind] = _over_seeds(rows)
    glyphs = sampler.draw_legible(labels, np.random.default_rng(seeds[0])).reshape(-1, per_class, SIDE, SIDE)
    picture = _picture(measured["in_captchas"].classes, glyphs, comparison.tests)
    return Evaluation(**measured, picture=picture)


class _Comparison:
    """Real glyphs, and what generated ones are compared with them in."""

    def __init__(
        self,
        judge: ReferenceClassifier,
        train: Emnist,
        test: Emnist,
        per_class: int,
        report: Callable[[float], Any],
    ) -> None:
        self._judge, self._test, self._per_class, self._report = judge, test, per_class, report
        self._two_sample_test = TwoSampleTest()
        self._trains, self.tests = ([of.images[of.labels == c.index] for c in GLYPH_CLASSES] for of in (train, test))
        self._judged_tests = [judge.judge(images) for images in self.tests]
        self._real = self._measure_real(np.random.default_rng(0))

    def measure(self, fakes: Images, seed: int) -> dict[str, Metrics]:
        """Compare generated glyphs `[47 * per_class, 28, 28]`, sorted by class, with real ones."""
        rng = np.random.default_rng(seed)
        by_class = np.split(fakes, len(GLYPH_CLASSES))
        scores = self._accuracy_scores([images[: len(self._trains[c])] for c, images in enumerate(by_class)])
        rows = {}
        for c, images in zip(GLYPH_CLASSES, by_class, strict=True):
            size = min(_TWO_SAMPLE_SIZE, len(images), len(self._trains[c.index]))
            real, fake = (rng.choice(of, size, replace=False) for of in (self._trains[c.index], images))
            rows[c.name] = {
                **self._measure_class(c.index, images, self._judge.judge(images), rng),
                "two_sample": self._two_sample_test.accuracy(real, fake, rng),
                "accuracy_score": scores[c.index],
                **{f"{name}_real": value for name, value in self._real[c.index].items()},
            }
            self._report(0.5 / len(GLYPH_CLASSES))
        return rows

    def _measure_real(self, rng: np.random.Generator) -> list[Metrics]:
        """Compare images of the training set with the test set, as generated ones are compared with it."""
        chosen = [rng.permutation(images)[: self._per_class] for images in self._trains]
        scores = self._accuracy_scores(chosen)
        rows = []
        for c, images in zip(GLYPH_CLASSES, chosen, strict=True):
            row = self._measure_class(c.index, images, self._judge.judge(images), rng)
            # Legible is what the judge reads of images it has not seen; and each training image is its own nearest.
            of_test = self._measure_class(c.index, self.tests[c.index], self._judged_tests[c.index], rng)
            row |= {name: of_test[name] for name in ("legibility", "legibility_lookalikes", "nearest")}
            rows.append(row | {"two_sample": 0.5, "accuracy_score": scores[c.index]})
            self._report(0.5 / len(GLYPH_CLASSES))
        return rows

    def _accuracy_scores(self, by_class: list[Images]) -> npt.NDArray[np.float64]:
        labels = np.repeat(np.arange(len(by_class), dtype=np.uint8), [len(images) for images in by_class])
        taught = Emnist(np.concatenate(by_class), labels, digest="")
        return accuracy_by_class(taught, self._test, lambda done: self._report(0.5 * done))

    def _measure_class(self, index: int, images: Images, judged: Judgement, rng: np.random.Generator) -> Metrics:
        real, train = self._judged_tests[index].features, self._trains[index]
        count = min(len(real), len(images))
        draws = [rng.choice(judged.features, count, replace=False) for _ in range(_REPEATS)]
        # From equally many: the 1st percentile of few distances is nearly their minimum.
        distances = nearest_distances(images, train)
        firsts = [np.percentile(rng.choice(distances, count, replace=False), 1) for _ in range(_REPEATS)]
        precision, recall = np.mean([precision_and_recall(real[:count], draw) for draw in draws], axis=0)
        density, coverage = np.mean([density_and_coverage(real[:count], draw) for draw in draws], axis=0)
        return {
            "legibility": float((CHARACTER_OF_CLASS[judged.classes] == CHARACTER_OF_CLASS[index]).mean()),
            "legibility_lookalikes": float((LOOKALIKES_OF_CLASS[judged.classes] == LOOKALIKES_OF_CLASS[index]).mean()),
            "frechet": float(np.mean([frechet_distance(real[:count], draw) for draw in draws])),
            "kernel": float(np.mean([kernel_distance(real[:count], draw) for draw in draws])),
            "precision": float(precision),
            "recall": float(recall),
            "density": float(density),
            "coverage": float(coverage),
            "nearest": float(np.mean(firsts)),
        }
<<<<<<< ours
        for size in _TWO_SAMPLE_SIZES:
            draw_size = min(size, len(train), len(fake))
            real, generated = (self._rng.choice(images[of], draw_size, replace=False) for of in ("train", "fake"))
            metrics[f"two_sample_{size}"] = self._two_sample_test.accuracy(real, generated, self._rng)
        return {name: round(float(value), 4) for name, value in metrics.items()}
=======
>>>>>>> theirs


def _to_real(row: Metrics, name: str) -> float:
    """Divide a measure of generated glyphs by that of real ones; 0 where the real ones have none."""
    return row[name] / row[f"{name}_real"] if row[f"{name}_real"] else 0.0


def _summarise(rows: dict[str, Metrics]) -> Metrics:
    """Reduce the measures of all classes to the figures a set of generators is judged by."""
    classes = list(rows.values())
    summary = {name: float(np.mean([row[name] for row in classes])) for name in classes[0]}
    for name in _RATIOS:
        ratios = [_to_real(row, name) for row in classes]
        summary[f"{name}_to_real"] = float(np.mean(ratios))
        summary[f"worst_{name}_to_real"] = max(ratios) if name == "frechet" else min(ratios)
    # A ratio of accuracies over all classes, as it is published.
    summary["accuracy_score_to_real"] = _to_real(summary, "accuracy_score")
    summary["worst_two_sample"] = max(row["two_sample"] for row in classes)
    return summary


def _over_seeds(seeds: list[dict[str, Metrics]]) -> Measured:
    classes = {
        c.name: {name: float(np.mean([rows[c.name][name] for rows in seeds])) for name in seeds[0][c.name]}
        for c in GLYPH_CLASSES
    }
    of_seeds = [_summarise(rows) for rows in seeds]
    summary = _summarise(classes)
    errors = {name: float(np.std([of_seed[name] for of_seed in of_seeds], ddof=1)) for name in summary}
    return Measured(classes, summary, errors)


def _picture(metrics: dict[str, Metrics], fakes: Images, reals: list[Images]) -> Images:
    """Set generated glyphs, a gap and real glyphs in a row for each class: `[47, columns, 28, 28]`."""
    worst_first = sorted(GLYPH_CLASSES, key=lambda c: -_to_real(metrics[c.name], "frechet"))
    gap = np.zeros((1, SIDE, SIDE), np.uint8)
    shape = (_COLUMNS, SIDE, SIDE)
    rows = [
        np.concatenate([np.resize(fakes[c.index], shape), gap, np.resize(reals[c.index], shape)]) for c in worst_first
    ]
    return np.stack(rows)

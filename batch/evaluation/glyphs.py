"""Generated glyphs against real ones, class by class: as captchas contain them, and as the generators draw them."""

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from rich.progress import Progress

from batch.evaluation.accuracy_score import accuracy_by_class
from batch.evaluation.comparison import Comparison, Images, Metrics
from batch.evaluation.judge import ReferenceClassifier
from batch.evaluation.summary import Measured, over_seeds, to_real
from batch.evaluation.two_sample import TwoSampleTest
from batch.images.labelled import LabelledImages
from batch.processes import started
from batch.training.tensorflow import use_one_thread
from gantcha.alphabet import SIDE, GlyphClass
from gantcha.glyphs.sampler import Sampler, chances, legibility

_KINDS = {"in_captchas": Sampler.draw_legible, "unfiltered": Sampler.draw}
_COLUMNS = 16  # of glyphs of either kind in the picture


class Evaluation(NamedTuple):
    """What an evaluation found."""

    in_captchas: Measured
    """measures of glyphs as captchas contain them"""
    unfiltered: Measured
    """measures of all that the generators draw"""
    real_filtered: Measured
    """measures of real glyphs, chosen as captchas choose: what generators can come to"""
    drawn_for_each: float
    """glyphs drawn for each one that captchas contain, if all classes are equally frequent"""
    picture: Images
    """`[classes, columns, 28, 28]`, a row for each class, the worst first: glyphs as in captchas, a gap, real glyphs"""


class _Rows(NamedTuple):
    """The measures of one class."""

    real: Metrics
    generated: dict[str, list[Metrics]]
    """measures by kind, for each seed"""
    real_filtered: list[Metrics]
    """measures for each seed"""


def evaluate(
    sampler: Sampler,
    judge: ReferenceClassifier,
    train: LabelledImages,
    test: LabelledImages,
    classes: list[GlyphClass],
    per_class: int,
    seeds: list[int],
    jobs: int,
    progress: Progress,
) -> Evaluation:
    """Compare `per_class` generated glyphs of each of `classes` with real ones, drawn anew with each seed.

    The work is shared by `jobs` processes.

    Raises:
        ProcessDiedError: a process died.
    """
    trains, tests = ({c.index: split.images[split.labels == c.index] for c in classes} for split in (train, test))
    rng = np.random.default_rng(0)
    chosen = {index: rng.permutation(images)[:per_class] for index, images in trains.items()}
    counts = {index: len(images) for index, images in chosen.items()}
    tested = _labelled(tests, sampler)
    with started(jobs, _prepare, sampler, judge.weights, per_class, seeds) as processes:
        # The longest first: the classes fill up what is left of the cores.
        real_score = processes.submit(accuracy_by_class, _labelled(chosen, sampler), tested)
        scores = {
            (kind, seed): processes.submit(_score, kind, seed, counts, tested) for kind in _KINDS for seed in seeds
        }
        measuring = [processes.submit(_measure, c, trains[c.index], tests[c.index]) for c in classes]
        _show(progress, "classifier accuracy scores", [real_score, *scores.values()])
        _show(progress, "classes", measuring)
        rows = [future.result() for future in measuring]
        scored = {of: future.result() for of, future in scores.items()}
        scored_real = real_score.result()
    for c, row in zip(classes, rows, strict=True):
        row.real["accuracy_score"] = scored_real[c.index]
        for kind in _KINDS:
            for seed, generated in zip(seeds, row.generated[kind], strict=True):
                generated["accuracy_score"] = scored[kind, seed][c.index]
    of_kinds = {kind: [row.generated[kind] for row in rows] for kind in _KINDS}
    of_kinds["real_filtered"] = [row.real_filtered for row in rows]
    measured = {}
    for kind, of_classes in of_kinds.items():
        beside = [
            [of_seed | {f"{name}_real": row.real[name] for name in of_seed} for of_seed in of_class]
            for row, of_class in zip(rows, of_classes, strict=True)
        ]
        names = [c.name for c in classes]
        measured[kind] = over_seeds([dict(zip(names, of_seed, strict=True)) for of_seed in zip(*beside, strict=True)])
    return Evaluation(
        **measured,
        drawn_for_each=_drawn_for_each(classes, sampler, per_class, seeds[0]),
        picture=_picture(classes, measured["in_captchas"].classes, sampler, tests, seeds[0]),
    )


def _show(progress: Progress, name: str, futures: Sequence[Future[Any]]) -> None:
    bar = progress.add_task(name, total=len(futures))
    for future in futures:
        future.add_done_callback(lambda _: progress.advance(bar))


class _Worker:
    """What a worker keeps between tasks."""

    sampler: Sampler
    judge: ReferenceClassifier
    two_sample_test: TwoSampleTest
    per_class: int
    seeds: list[int]

    @classmethod
    def draw(cls, kind: str, class_index: int, seed: int) -> Images:
        """Draw `[per_class, 28, 28]`: the same for the same arguments."""
        labels = np.full(cls.per_class, class_index, np.uint8)
        return _KINDS[kind](cls.sampler, labels, np.random.default_rng([seed, class_index]))


def _prepare(sampler: Sampler, judge_weights: list[npt.NDArray[np.float32]], per_class: int, seeds: list[int]) -> None:
    use_one_thread()
    _Worker.sampler, _Worker.judge = sampler, ReferenceClassifier.of(judge_weights)
    _Worker.two_sample_test = TwoSampleTest()
    _Worker.per_class, _Worker.seeds = per_class, seeds


def _measure(glyph_class: GlyphClass, train: Images, test: Images) -> _Rows:
    worker, index = _Worker, glyph_class.index
    classes = worker.sampler.classes
    comparison = Comparison(glyph_class, classes, train, test, worker.per_class, worker.judge, worker.two_sample_test)
    generated = {
        kind: [
            comparison.measure(worker.draw(kind, index, seed), np.random.default_rng([seed, index]))
            for seed in worker.seeds
        ]
        for kind in _KINDS
    }
    real_filtered = [
        comparison.measure_filtered(worker.sampler, np.random.default_rng([seed, index])) for seed in worker.seeds
    ]
    return _Rows(comparison.measure_real(np.random.default_rng(index)), generated, real_filtered)


def _score(kind: str, seed: int, counts: dict[int, int], test: LabelledImages) -> dict[int, float]:
    """Return the accuracy score of each class, taught with so many generated glyphs of each."""
    glyphs = {index: _Worker.draw(kind, index, seed)[:count] for index, count in counts.items()}
    return accuracy_by_class(_labelled(glyphs, _Worker.sampler), test)


def _drawn_for_each(classes: list[GlyphClass], sampler: Sampler, per_class: int, seed: int) -> float:
    labels = np.repeat(np.array([c.index for c in classes], np.uint8), per_class)
    glyphs = sampler.draw(labels, np.random.default_rng(seed))
    kept = chances(legibility(glyphs, labels, sampler.filter, sampler.classes)).reshape(-1, per_class).mean(1)
    return float((1 / kept).mean())


def _labelled(by_class: dict[int, Images], sampler: Sampler) -> LabelledImages:
    labels = np.repeat(np.array(list(by_class), np.uint8), [len(images) for images in by_class.values()])
    return LabelledImages(np.concatenate(list(by_class.values())), labels, digest="", classes=sampler.classes)


def _picture(
    classes: list[GlyphClass], metrics: dict[str, Metrics], sampler: Sampler, tests: dict[int, Images], seed: int
) -> Images:
    worst_first = sorted(classes, key=lambda c: -to_real(metrics[c.name], "frechet"))
    labels = np.repeat(np.array([c.index for c in worst_first], np.uint8)[:, None], _COLUMNS, 1)
    fakes = sampler.draw_legible(labels, np.random.default_rng(seed))
    reals = np.stack([np.resize(tests[c.index], (_COLUMNS, SIDE, SIDE)) for c in worst_first])
    gap = np.zeros((len(worst_first), 1, SIDE, SIDE), np.uint8)
    return np.concatenate([fakes, gap, reals], 1)

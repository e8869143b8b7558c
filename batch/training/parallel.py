"""Glyph classes trained in parallel, each in a process of its own."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from batch.processes import SPAWN, started
from batch.training.export import generator_to_onnx
from batch.training.features import Features
from batch.training.gan import Gan, StartingWeights, TrainingSet
from batch.training.journal import Journal
from batch.training.recipe import Architecture, TrainingSettings
from batch.training.refine import Refinement
from batch.training.tensorflow import use_one_thread
from gantcha.alphabet import GlyphClass, GlyphClasses
from gantcha.glyphs.network import Network
from gantcha.glyphs.sampler import chances, legibility

_SAVE_EVERY = 50
_REPORT_EVERY = 10
_POLL_SECONDS = 0.5
_MEASURED = 500  # glyphs


@dataclass(frozen=True)
class Task:
    """All that a worker needs to train one class."""

    glyph_class: GlyphClass
    training_set: TrainingSet
    start: StartingWeights
    architecture: Architecture
    settings: TrainingSettings
    state: Path
    recipe: str


class Trained(NamedTuple):
    """A finished class."""

    task: Task
    generator: bytes
    """its `.onnx` file"""
    legible: float
    """share of the glyphs it draws that captchas take"""
    seconds: float


def run_training(gan: Gan, state: Path, recipe: str, report: Callable[[int], Any]) -> None:
    """Train to the last step, from `state` if it exists, and save it regularly; report the number of steps done.

    The journal of the training is kept beside the state, and stays when it is finished.

    Raises:
        RecipeError: the state is damaged or of another training.
        StorageError: the state can't be saved.
    """
    if state.exists():
        gan.restore(state, recipe)
        report(gan.step)
    journal, losses = Journal(state, gan.steps, gan.step), []
    while gan.step < gan.steps:
        losses.append(gan.train_step())
        is_last = gan.step == gan.steps
        if gan.step % _REPORT_EVERY == 0 or is_last:
            report(len(losses))
            journal.note(gan.step, *np.mean(losses, axis=0).tolist())
            losses = []
        if gan.step % _SAVE_EVERY == 0 or is_last:
            if journal.wants_row(gan.step):  # before the save: a resumed training drops rows that it will draw again
                journal.draw(gan.sketch())
            gan.save(state, recipe)


def train_in_parallel(
    tasks: list[Task],
    classes: GlyphClasses,
    jobs: int,
    features: Path,
    legibility_filter: Path,
    report: Callable[[int], Any],
) -> Iterator[Trained]:
    """Train `jobs` classes at a time; yield each as it is finished, and report the steps done so far meanwhile.

    `classes` are all that the data has, and `features` is the folder of the classifiers that the refinement needs.

    Raises:
        ProcessDiedError: a process died; what the others saved can be resumed.
    """
    steps_done = SPAWN.Value("q")
    with started(min(jobs, len(tasks)), _prepare, steps_done, classes, features, legibility_filter) as processes:
        waiting: set[Future[Trained]] = {processes.submit(_train, task) for task in tasks}
        while waiting:
            finished, waiting = wait(waiting, _POLL_SECONDS, FIRST_COMPLETED)
            report(steps_done.value)
            for future in finished:
                yield future.result()


class _Worker:
    """What a worker keeps between tasks."""

    steps_done: Any
    classes: GlyphClasses
    features: Features
    legibility_filter: Network


def _prepare(steps_done: Any, classes: GlyphClasses, features: Path, legibility_filter: Path) -> None:
    use_one_thread()
    _Worker.steps_done, _Worker.classes = steps_done, classes
    _Worker.features, _Worker.legibility_filter = Features(features, len(classes)), Network(legibility_filter)


def _count(steps: int) -> None:
    with _Worker.steps_done:
        _Worker.steps_done.value += steps


def _train(task: Task) -> Trained:
    started, settings, training_set = time.monotonic(), task.settings, task.training_set
    if task.glyph_class.name in settings.copied:
        training_set = training_set.with_copies(settings.copies, settings.seed)
    gan = Gan([training_set], task.architecture, settings, steps=settings.steps, rate=settings.rate)
    gan.start_from(task.start)
    run_training(gan, task.state, task.recipe, _count)
    shared = _Worker.classes, _Worker.features, _Worker.legibility_filter, settings
    weights = Refinement(gan.fused_generator(), task.glyph_class, training_set, *shared).run(settings.refined_steps)
    generator = generator_to_onnx(weights)
    return Trained(task, generator, _legible_share(generator, task), time.monotonic() - started)


def _legible_share(generator: bytes, task: Task) -> float:
    rng, frequencies = np.random.default_rng(task.settings.seed), task.training_set.style_frequencies
    styles = rng.choice(len(frequencies), _MEASURED, p=frequencies)
    latent = rng.standard_normal((_MEASURED, task.architecture.latent_size), np.float32)
    glyphs = Network(generator).run(latent=latent * np.float32(task.settings.latent_scale), style=styles)
    labels = np.full(_MEASURED, task.glyph_class.index, np.uint8)
    return float(chances(legibility(glyphs, labels, _Worker.legibility_filter, _Worker.classes)).mean())

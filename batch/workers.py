"""Glyph classes trained side by side, each in a process of its own."""

import multiprocessing
import queue
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from batch.alphabet import GlyphClass
from batch.gan import Gan, StartingWeights, TrainingSet, TrainingSettings
from batch.networks import Architecture, FoldedGenerator
from batch.quiet_tensorflow import tf
from pool.errors import GantchaError

_SAVE_EVERY = 100
_REPORT_EVERY = 10
_POLL_SECONDS = 0.5


class WorkerError(GantchaError):
    """A worker process died, most likely killed for want of memory."""


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
    generator: FoldedGenerator
    seconds: float


def run_training(gan: Gan, state: Path, recipe: str, report: Callable[[int], Any]) -> None:
    """Train to the last step from where `state` left off, saving as it goes; report how many steps were done.

    Raises:
        RecipeError: the state is damaged or of another training.
        StorageError: the state can't be saved.
    """
    if state.exists():
        gan.restore(state, recipe)
        report(gan.step)
    reported = gan.step
    while gan.step < gan.steps:
        gan.train_step()
        if gan.step % _REPORT_EVERY == 0 or gan.step == gan.steps:
            report(gan.step - reported)
            reported = gan.step
        if gan.step % _SAVE_EVERY == 0 or gan.step == gan.steps:
            gan.save(state, recipe)


def train_side_by_side(tasks: list[Task], jobs: int, report: Callable[[int], Any]) -> Iterator[Trained]:
    """Train `jobs` classes at a time; yield each as it is finished and report steps meanwhile.

    Raises:
        WorkerError: a worker died; what the others saved can be resumed.
    """
    context = multiprocessing.get_context("spawn")  # TensorFlow does not survive a fork
    steps_done = context.Queue()
    workers = ProcessPoolExecutor(min(jobs, len(tasks)), context, _start_worker, (steps_done,))
    try:
        waiting: set[Future[Trained]] = {workers.submit(_train, task) for task in tasks}
        while waiting:
            finished, waiting = wait(waiting, _POLL_SECONDS, FIRST_COMPLETED)
            report(_drain(steps_done))
            for future in finished:
                yield future.result()
    except BrokenProcessPool as error:
        raise WorkerError(
            f"a worker process died, perhaps for want of memory: go on with --resume and fewer --jobs than {jobs}"
        ) from error
    finally:
        for process in multiprocessing.active_children():
            process.terminate()
        workers.shutdown(cancel_futures=True)


class _Worker:
    """What a worker process holds from task to task."""

    steps_done: Any


def _start_worker(steps_done: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to act on
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    _Worker.steps_done = steps_done


def _train(task: Task) -> Trained:
    started, settings = time.monotonic(), task.settings
    training_set = task.training_set
    if task.glyph_class.name in settings.copied:
        training_set = training_set.with_copies(settings.copies, settings.seed)
    gan = Gan([training_set], task.architecture, settings, steps=settings.steps, rate=settings.rate)
    gan.start_from(task.start)
    run_training(gan, task.state, task.recipe, _Worker.steps_done.put)
    return Trained(task, gan.fold(), time.monotonic() - started)


def _drain(steps_done: Any) -> int:
    total = 0
    while True:
        try:
            total += steps_done.get_nowait()
        except queue.Empty:
            return total

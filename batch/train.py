"""Train the generators: `python -m batch.train`."""

import json
import multiprocessing
import os
import queue
import signal
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer
from rich.progress import Progress, TimeElapsedColumn, TimeRemainingColumn

from batch.alphabet import CLASSES_BY_NAME, GLYPH_CLASSES, GlyphClass
from batch.checkpoints import CheckpointError, Checkpoints
from batch.emnist import read_emnist
from batch.gan import Gan, TrainingSet, TrainingSettings
from batch.networks import Architecture, FoldedGenerator, flops_per_glyph
from batch.progress import progress_bar
from batch.quiet_tensorflow import tf
from pool.errors import GantchaError, one_line_errors

_SAVE_EVERY = 200
_REPORT_EVERY = 10


class Plan(NamedTuple):
    """What all processes of a training share."""

    sets: list[TrainingSet]
    """One for each glyph class, in the order of the labels."""
    architecture: Architecture
    settings: TrainingSettings
    state_folder: Path
    recipe: str
    """Settings and data in one line, so that no state of another training is taken for this one's."""


class Trained(NamedTuple):
    """A finished class."""

    glyph_class: GlyphClass
    generator: FoldedGenerator
    seconds: float


class _Worker:
    """What a worker process holds from class to class."""

    plan: Plan
    pretrained: Gan
    steps_done: Any  # a multiprocessing queue of ints


def _start_worker(plan: Plan, steps_done: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    _Worker.plan, _Worker.steps_done = plan, steps_done
    _Worker.pretrained = _joint_gan(plan)
    _Worker.pretrained.restore(_pretraining_path(plan), plan.recipe)


def _train_class(glyph_class: GlyphClass) -> Trained:
    plan, started = _Worker.plan, time.monotonic()
    settings = plan.settings
    gan = Gan([plan.sets[glyph_class.index]], plan.architecture, settings, steps=settings.steps, rate=settings.rate)
    gan.start_from(_Worker.pretrained, glyph_class.index)
    _run(gan, _class_path(plan, glyph_class), f"{plan.recipe} {settings.steps} steps", _Worker.steps_done.put)
    return Trained(glyph_class, gan.fold(), time.monotonic() - started)


def _joint_gan(plan: Plan) -> Gan:
    settings = plan.settings
    return Gan(
        plan.sets,
        plan.architecture,
        settings,
        steps=settings.pretraining_steps,
        rate=settings.pretraining_rate,
        runs=settings.pretraining_runs,
    )


def _pretraining_path(plan: Plan) -> Path:
    return plan.state_folder / "pretraining.npz"


def _class_path(plan: Plan, glyph_class: GlyphClass) -> Path:
    return plan.state_folder / f"{glyph_class.name}.npz"


def _run(gan: Gan, path: Path, recipe: str, report: Any) -> None:
    """Train to the last step from where `path` left off, saving as it goes."""
    if path.exists():
        gan.restore(path, recipe)
        report(gan.step)
    reported = gan.step
    while gan.step < gan.steps:
        gan.train_step()
        if gan.step % _REPORT_EVERY == 0 or gan.step == gan.steps:
            report(gan.step - reported)
            reported = gan.step
        if gan.step % _SAVE_EVERY == 0 or gan.step == gan.steps:
            gan.save(path, recipe)


def _train_classes(plan: Plan, glyph_classes: list[GlyphClass], jobs: int, progress: Progress) -> Any:
    """Yield each class as it is finished, `jobs` of them trained side by side."""
    context = multiprocessing.get_context("spawn")  # TensorFlow does not survive a fork
    steps_done = context.Queue()
    bar = progress.add_task("classes", total=len(glyph_classes) * plan.settings.steps)
    with context.Pool(jobs, _start_worker, (plan, steps_done)) as workers:
        results = workers.imap_unordered(_train_class, glyph_classes)
        for _ in glyph_classes:
            trained = None
            while trained is None:
                try:
                    trained = results.next(timeout=0.5)
                except multiprocessing.TimeoutError:
                    progress.advance(bar, _drain(steps_done))
            yield trained
    progress.advance(bar, _drain(steps_done))


def _drain(steps_done: Any) -> int:
    total = 0
    while True:
        try:
            total += steps_done.get_nowait()
        except queue.Empty:
            return total


def _choose(names: str) -> list[GlyphClass]:
    if names == "all":
        return list(GLYPH_CLASSES)
    if unknown := [name for name in names.split(",") if name not in CLASSES_BY_NAME]:
        raise typer.BadParameter(f"no glyph class {unknown[0]!r}; they are {', '.join(CLASSES_BY_NAME)}")
    return [CLASSES_BY_NAME[name] for name in names.split(",")]


def _without_steps(settings: TrainingSettings) -> dict[str, Any]:
    """Give what all classes have in common; the steps are told class by class."""
    return {name: value for name, value in asdict(settings).items() if name != "steps"}


def _new_manifest(plan: Plan, digest: str) -> dict[str, Any]:
    return {
        "architecture": asdict(plan.architecture),
        "flops_per_glyph": flops_per_glyph(plan.architecture),
        "training": _without_steps(plan.settings),
        "data": {"name": "EMNIST ByMerge", "split": "train", "sha256": digest},
        "classes": {},
    }


def _merged_manifest(checkpoints: Checkpoints, fresh: dict[str, Any]) -> dict[str, Any]:
    """Keep the classes that are there already, as long as they were trained alike."""
    if not checkpoints.exist():
        return fresh
    found = checkpoints.manifest()
    for part in ("architecture", "training", "data"):
        if found[part] != fresh[part]:
            raise CheckpointError(
                f"{checkpoints.folder} holds classes trained with another {part}: give --out another folder"
            )
    return found


def main(
    data: Annotated[Path, typer.Option(help="Folder of the official EMNIST ByMerge files (gzip IDX).")],
    out: Annotated[Path, typer.Option(help="Folder for the checkpoints and their manifest.")] = Path("checkpoints"),
    classes: Annotated[str, typer.Option(help="`all`, or names with commas: 10-upper-a,36-lower-a.")] = "all",
    steps: Annotated[int, typer.Option(min=1, help="Steps for each class.")] = TrainingSettings.steps,
    pretraining_steps: Annotated[
        int, typer.Option(min=1, help="Steps on all classes together, from which each class starts.")
    ] = TrainingSettings.pretraining_steps,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = TrainingSettings.seed,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where a stopped training left off.")] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Classes trained side by side, one core each.")] = os.cpu_count()
    or 1,
    state: Annotated[Path, typer.Option(help="Folder for what --resume needs.")] = Path("var/training"),
) -> None:
    """Train one small generator for each glyph class.

    A conditional GAN over all classes comes first and gives each class its start. Both save as they go.

    \b
    Examples:
        python -m batch.train --data emnist --out checkpoints
        python -m batch.train --data emnist --out checkpoints --resume
        python -m batch.train --data emnist --out trial --classes 10-upper-a,36-lower-a --steps 500
    """
    chosen = _choose(classes)
    with one_line_errors():
        _train(
            data,
            Checkpoints(out),
            chosen,
            replace(TrainingSettings(), steps=steps, pretraining_steps=pretraining_steps, seed=seed),
            resume,
            jobs,
            state,
        )


def _train(
    data: Path,
    checkpoints: Checkpoints,
    chosen: list[GlyphClass],
    settings: TrainingSettings,
    resume: bool,
    jobs: int,
    state: Path,
) -> None:
    started = time.monotonic()
    emnist = read_emnist(data, "train")
    architecture = Architecture()
    counts = np.bincount(emnist.labels, minlength=len(GLYPH_CLASSES))
    if counts.min() < settings.batch_size:
        scarce = GLYPH_CLASSES[int(counts.argmin())]
        raise GantchaError(f"{data} has {counts.min()} images of {scarce.name}; {settings.batch_size} are the least")
    recipe = json.dumps([asdict(architecture), _without_steps(settings), emnist.digest])
    sets = [
        TrainingSet.of(emnist.images[emnist.labels == c.index], architecture.shape_count, settings.seed)
        for c in GLYPH_CLASSES
    ]
    plan = Plan(sets, architecture, settings, state, recipe)
    manifest = _merged_manifest(checkpoints, _new_manifest(plan, emnist.digest))
    checkpoints.write_manifest(manifest)  # an unwritable folder is better found out now
    if resume:
        chosen = [c for c in chosen if manifest["classes"].get(c.name, {}).get("steps") != settings.steps]
    else:
        for path in (_pretraining_path(plan), *(_class_path(plan, c) for c in chosen)):
            path.unlink(missing_ok=True)
    with progress_bar(TimeElapsedColumn(), TimeRemainingColumn()) as progress:
        bar = progress.add_task("all classes together", total=settings.pretraining_steps)
        _run(_joint_gan(plan), _pretraining_path(plan), recipe, lambda done: progress.advance(bar, done))
        for trained in _train_classes(plan, chosen, jobs, progress):
            training_set = sets[trained.glyph_class.index]
            manifest["classes"][trained.glyph_class.name] = {
                **checkpoints.write(trained.glyph_class, trained.generator),
                "images": len(training_set.images),
                "shape_frequencies": [round(float(share), 4) for share in training_set.shape_frequencies],
                "steps": settings.steps,
                "seconds": round(trained.seconds),
            }
            manifest["classes"] = dict(sorted(manifest["classes"].items()))
            checkpoints.write_manifest(manifest)
            _class_path(plan, trained.glyph_class).unlink()
    seconds, held = time.monotonic() - started, len(manifest["classes"])
    print(
        f"{len(chosen)} classes trained in {seconds:.0f} s; {checkpoints.folder} holds {held} of {len(GLYPH_CLASSES)}"
    )


if __name__ == "__main__":
    typer.run(main)

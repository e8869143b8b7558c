"""Train the generators: `python -m batch.train`."""

import json
import os
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.progress import Progress, TimeElapsedColumn, TimeRemainingColumn

from batch.alphabet import CLASSES_BY_NAME, GLYPH_CLASSES, GlyphClass
from batch.architecture import Architecture, flops_per_glyph, flops_per_reading
from batch.checkpoints import CheckpointError, Checkpoints
from batch.emnist import Emnist, read_emnist
from batch.gan import Gan, TrainingSet, TrainingSettings
from batch.progress import progress_bar
from batch.reader import train_reader
from batch.sampler import USUAL_SPREAD
from batch.workers import Task, Trained, run_training, train_side_by_side
from pool.durable import file_lock
from pool.errors import GantchaError, StorageError, one_line_errors

_STATE = ".training"
"""Folder within the checkpoints for what a resumed training needs."""
_CORES = os.cpu_count() or 1


def main(
    data: Annotated[Path, typer.Option(help="Folder of the official EMNIST ByMerge files (gzip IDX).")],
    out: Annotated[Path, typer.Option(help="Folder for the checkpoints and their manifest.")] = Path("checkpoints"),
    classes: Annotated[str, typer.Option(help="`all`, or names with commas: 10-upper-a,36-lower-a.")] = "all",
    steps: Annotated[int, typer.Option(min=1, help="Steps for each class.")] = TrainingSettings.steps,
    pretraining_steps: Annotated[
        int, typer.Option(min=1, help="Steps on all classes together, from which each class starts.")
    ] = TrainingSettings.pretraining_steps,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Seed of everything random.")] = TrainingSettings.seed,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where a stopped training left off.")] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Classes trained side by side, one core each.")] = _CORES,
) -> None:
    """Train one small generator for each glyph class.

    First a reader that later leaves out illegible glyphs (a minute), then a conditional GAN over all classes, which
    gives each class its start. Trainings save as they go.

    \b
    Examples:
        python -m batch.train --data emnist --out checkpoints
        python -m batch.train --data emnist --out checkpoints --resume
        python -m batch.train --data emnist --out trial --classes 10-upper-a,36-lower-a --steps 500
    """
    chosen = _choose(classes)
    settings = replace(TrainingSettings(), steps=steps, pretraining_steps=pretraining_steps, seed=seed)
    started = time.monotonic()
    with one_line_errors(), file_lock(out / _STATE / "lock") as is_ours:
        if not is_ours:
            raise StorageError(f"another training is at work in {out}: give --out another folder")
        training = _Training(read_emnist(data, "train"), Checkpoints(out), settings)
        chosen = training.left_over(chosen) if resume else training.start_over(chosen)
        with progress_bar(TimeElapsedColumn(), TimeRemainingColumn()) as progress:
            training.train_reader(progress)
            if chosen:
                training.train_generators(chosen, jobs, progress)
        held = len(training.manifest["classes"])
    print(f"{len(chosen)} classes trained in {time.monotonic() - started:.0f} s; {out} holds {held} of the 47")


def _choose(names: str) -> list[GlyphClass]:
    if names == "all":
        return list(GLYPH_CLASSES)
    chosen = list(dict.fromkeys(names.split(",")))
    if unknown := [name for name in chosen if name not in CLASSES_BY_NAME]:
        raise typer.BadParameter(f"no glyph class {unknown[0]!r}; they are {', '.join(CLASSES_BY_NAME)}")
    return [CLASSES_BY_NAME[name] for name in chosen]


class _Training:
    """A training of some or all classes into one folder."""

    def __init__(self, emnist: Emnist, checkpoints: Checkpoints, settings: TrainingSettings) -> None:
        self._emnist, self._checkpoints, self._settings = emnist, checkpoints, settings
        self._architecture = Architecture()
        counts = np.bincount(emnist.labels, minlength=len(GLYPH_CLASSES))
        if counts.min() < settings.batch_size:
            scarce = GLYPH_CLASSES[int(counts.argmin())].name
            raise GantchaError(f"there are {counts.min()} images of {scarce}; {settings.batch_size} are the least")
        # Steps are told class by class; all else is the same for every class of a folder.
        common = {name: value for name, value in asdict(settings).items() if name != "steps"}
        self._recipe = json.dumps([asdict(self._architecture), common, emnist.digest])
        fresh = {
            "architecture": asdict(self._architecture),
            "flops_per_glyph": flops_per_glyph(self._architecture),
            "training": common,
            "data": {"name": "EMNIST ByMerge", "split": "train", "sha256": emnist.digest},
            "classes": {},
        }
        self.manifest = self._merged(json.loads(json.dumps(fresh)))  # as it is read back
        checkpoints.write_manifest(self.manifest)  # an unwritable folder is better found out now

    def _merged(self, fresh: dict[str, Any]) -> dict[str, Any]:
        """Keep the classes that are there already, as long as they were trained alike."""
        if not self._checkpoints.exist():
            return fresh
        found = self._checkpoints.manifest()
        for part in ("architecture", "training", "data"):
            if found.get(part) != fresh[part]:
                raise CheckpointError(
                    f"{self._checkpoints.folder} holds classes trained with another {part}: give --out another folder"
                )
        return found

    @property
    def _pretraining_state(self) -> Path:
        return self._checkpoints.folder / _STATE / "pretraining.npz"

    def _state(self, glyph_class: GlyphClass) -> Path:
        return self._checkpoints.folder / _STATE / f"{glyph_class.name}.npz"

    def left_over(self, chosen: list[GlyphClass]) -> list[GlyphClass]:
        """Leave out the classes that are finished and sound."""
        entries = self.manifest["classes"]
        return [
            c
            for c in chosen
            if entries.get(c.name, {}).get("steps") != self._settings.steps
            or not self._checkpoints.is_sound(entries[c.name])
        ]

    def start_over(self, chosen: list[GlyphClass]) -> list[GlyphClass]:
        """Forget what was saved of the pretraining and of the chosen classes."""
        for path in (self._pretraining_state, *map(self._state, chosen)):
            path.unlink(missing_ok=True)
        return chosen

    def train_reader(self, progress: Progress) -> None:
        """Train what leaves out illegible glyphs, unless this folder has it: it depends on nothing but the data."""
        entry, flops = self.manifest.get("reader"), flops_per_reading()
        if entry and entry["flops"] == flops and self._checkpoints.is_sound(entry):
            return
        bar = progress.add_task("reader", total=1)
        reader = train_reader(self._emnist, lambda share: progress.advance(bar, share))
        self.manifest["reader"] = self._checkpoints.write("reader", reader) | {"flops": flops}
        self._write_manifest()

    def train_generators(self, chosen: list[GlyphClass], jobs: int, progress: Progress) -> None:
        """Pretrain on all classes, then train each of the chosen from there."""
        settings, architecture = self._settings, self._architecture
        sets = [
            TrainingSet.of(self._emnist.images[self._emnist.labels == c.index], architecture.shape_count, settings.seed)
            for c in GLYPH_CLASSES
        ]
        joint = Gan(
            sets,
            architecture,
            settings,
            steps=settings.pretraining_steps,
            rate=settings.pretraining_rate,
            runs=settings.pretraining_runs,
        )
        bar = progress.add_task("all classes together", total=joint.steps)
        run_training(joint, self._pretraining_state, self._recipe, lambda done: progress.advance(bar, done))
        tasks = [
            Task(
                c,
                sets[c.index],
                joint.starting_weights(c.index),
                architecture,
                settings,
                self._state(c),
                f"{self._recipe} {settings.steps} steps",
            )
            for c in chosen
        ]
        bar = progress.add_task("each class", total=len(chosen) * settings.steps)
        for trained in train_side_by_side(tasks, jobs, lambda done: progress.advance(bar, done)):
            self._keep(trained)
            progress.console.print(f"{trained.task.glyph_class.name} trained in {trained.seconds:.0f} s")

    def _keep(self, trained: Trained) -> None:
        task = trained.task
        self.manifest["classes"][task.glyph_class.name] = {
            **self._checkpoints.write(task.glyph_class.name, trained.generator),
            "images": len(task.training_set.images),
            "shape_frequencies": [round(float(share), 4) for share in task.training_set.shape_frequencies],
            "latent_spread": USUAL_SPREAD,
            "steps": task.settings.steps,
            "seconds": round(trained.seconds),
        }
        self.manifest["classes"] = dict(sorted(self.manifest["classes"].items()))
        self._write_manifest()
        task.state.unlink()

    def _write_manifest(self) -> None:
        self.manifest.pop("evaluation", None)  # it was of other weights
        self._checkpoints.write_manifest(self.manifest)


if __name__ == "__main__":
    typer.run(main)

"""A training of some or all glyph classes into a folder of checkpoints."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.progress import Progress

from batch.images.labelled import EMNIST, LabelledImages
from batch.training.features import train_features
from batch.training.filter import filter_flops, train_filter
from batch.training.gan import Gan, TrainingSet
from batch.training.parallel import Task, Trained, run_training, train_in_parallel
from batch.training.recipe import FEW, STATE, Architecture, TrainingSettings
from batch.training.writing import CheckpointWriter
from gantcha.alphabet import GlyphClass
from gantcha.errors import GantchaError
from gantcha.glyphs.checkpoints import CheckpointError


class Training:
    """A training of some or all classes into one folder."""

    def __init__(self, labelled: LabelledImages, checkpoints: CheckpointWriter, settings: TrainingSettings) -> None:
        counts, classes, architecture = labelled.counts(), labelled.classes, Architecture()
        if counts.min() < architecture.style_count:
            scarce = classes[int(counts.argmin())]
            raise GantchaError(
                f"there are {counts.min()} images of {scarce.symbol} ({scarce.name}) to train on; "
                f"{architecture.style_count} are the least"
            )
        if labelled.name != EMNIST:
            copied = tuple(c.name for c in classes if counts[c.index] < FEW)
            groups = min(settings.pretraining_groups, len(classes))
            settings = replace(settings, copied=copied, pretraining_groups=groups)
        self._labelled, self._checkpoints, self._settings = labelled, checkpoints, settings
        self._architecture = architecture
        # Steps are recorded class by class; all else is the same for every class of a folder.
        common = {name: value for name, value in asdict(settings).items() if name != "steps"}
        self._recipe = json.dumps([asdict(self._architecture), common, labelled.digest])
        fresh = {
            "architecture": asdict(self._architecture),
            "flops_per_glyph": self._architecture.flops,
            "training": common,
            "data": {"name": labelled.name, "split": "train", "sha256": labelled.digest},
            "symbols": classes.symbols,
            "classes": {},
        }
        self.manifest = self._merged(json.loads(json.dumps(fresh)))  # as it is read back
        checkpoints.write_manifest(self.manifest)  # find out now if the folder is not writable

    def _merged(self, fresh: dict[str, Any]) -> dict[str, Any]:
        """Keep the classes of an earlier training with the same settings and data."""
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
        return self._checkpoints.folder / STATE / "pretraining.npz"

    def _state(self, glyph_class: GlyphClass) -> Path:
        return self._checkpoints.folder / STATE / f"{glyph_class.name}.npz"

    def left_over(self, chosen: list[GlyphClass]) -> list[GlyphClass]:
        """Return the classes that are not finished, or whose file is damaged."""
        entries = self.manifest["classes"]
        return [
            c
            for c in chosen
            if entries.get(c.name, {}).get("steps") != self._settings.steps
            or not self._checkpoints.is_sound(entries[c.name])
        ]

    def start_over(self, chosen: list[GlyphClass]) -> list[GlyphClass]:
        """Delete the saved states of the pretraining and of the chosen classes; their journals begin anew by that."""
        for path in (self._pretraining_state, *map(self._state, chosen)):
            path.unlink(missing_ok=True)
        return chosen

    def train_filter(self, progress: Progress) -> None:
        """Train the legibility filter, unless this folder has it: it depends only on the data."""
        entry, flops = self.manifest.get("legibility_filter"), filter_flops(len(self._labelled.classes))
        if entry and entry["flops"] == flops and self._checkpoints.is_sound(entry):
            return
        bar = progress.add_task("legibility filter", total=1)
        steps = self._settings.classifier_steps
        network = train_filter(self._labelled, steps, lambda share: progress.advance(bar, share))
        self.manifest["legibility_filter"] = self._checkpoints.write("legibility-filter", network) | {"flops": flops}
        self._checkpoints.write_manifest(self.manifest)

    def train_generators(self, chosen: list[GlyphClass], jobs: int, progress: Progress) -> None:
        """Pretrain on all classes, then train each of the chosen from there."""
        settings, architecture, (images, labels) = self._settings, self._architecture, self._labelled[:2]
        classes = self._labelled.classes
        sets = [TrainingSet.of(images[labels == c.index], architecture.style_count, settings.seed) for c in classes]
        joint = Gan(
            sets,
            architecture,
            settings,
            steps=settings.pretraining_steps,
            rate=settings.pretraining_rate,
            groups=settings.pretraining_groups,
        )
        bar = progress.add_task("all classes together", total=joint.steps)
        run_training(joint, self._pretraining_state, self._recipe, lambda done: progress.advance(bar, done))
        bar = progress.add_task("features", total=1)
        features = self._checkpoints.folder / STATE
        train_features(self._labelled, features, settings.classifier_steps, lambda share: progress.advance(bar, share))
        legibility_filter = self._checkpoints.folder / self.manifest["legibility_filter"]["file"]
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
        for trained in train_in_parallel(
            tasks, classes, jobs, features, legibility_filter, lambda done: progress.update(bar, completed=done)
        ):
            self._keep(trained)
            progress.console.print(f"{trained.task.glyph_class.name} trained in {trained.seconds:.0f} s")

    def _keep(self, trained: Trained) -> None:
        task = trained.task
        self.manifest["classes"][task.glyph_class.name] = {
            **self._checkpoints.write(task.glyph_class.name, trained.generator),
            "images": len(task.training_set.images),
            "style_frequencies": [round(float(share), 4) for share in task.training_set.style_frequencies],
            "latent_scale": task.settings.latent_scale,
            "steps": task.settings.steps,
            "legible": round(trained.legible, 3),
            "seconds": round(trained.seconds),
        }
        self.manifest["classes"] = dict(sorted(self.manifest["classes"].items()))
        self._checkpoints.write_manifest(self.manifest)
        task.state.unlink()

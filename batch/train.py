"""Train the generators: `python -m batch.train`."""

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import TimeElapsedColumn, TimeRemainingColumn

from batch.images.source import read_images
from batch.noise import warn_of_noise
from batch.packages import training_packages
from batch.progress import progress_bar
from batch.training.recipe import STATE, TrainingSettings, usual_classifier_steps, usual_pretraining_steps
from batch.training.writing import CheckpointWriter
from gantcha.errors import StorageError, one_line_errors
from gantcha.glyphs.checkpoints import Checkpoints
from gantcha.terminal import run
from pool.cores import available_cores
from pool.storage.atomic import file_lock

_CORES = available_cores()


def main(
    data: Annotated[
        Path, typer.Option(help="Folder of EMNIST ByMerge's files, or of a sub-folder of images for each character.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the checkpoints and their manifest.")] = Path("trained"),
    classes: Annotated[str, typer.Option(help="`all`, or names with commas: 10-upper-a,36-lower-a.")] = "all",
    steps: Annotated[int, typer.Option(min=1, help="Steps for each class.")] = TrainingSettings.steps,
    pretraining_steps: Annotated[
        int | None,
        typer.Option(min=1, help="Steps on all classes together, from which each starts; by their number if omitted."),
    ] = None,
    refine_steps: Annotated[
        int, typer.Option(min=1, help="Steps of each class's fine-tuning after that.")
    ] = TrainingSettings.refined_steps,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Seed of everything random.")] = TrainingSettings.seed,
    classifier_steps: Annotated[
        int | None,
        typer.Option(min=1, help="Least steps of the filter and the other classifiers; by the classes if omitted."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume a training that was stopped.")] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Classes trained in parallel, one core each.")] = _CORES,
) -> None:
    """Train one small generator for each glyph class: of EMNIST, or of a folder with your own characters.

    First the legibility filter (a minute), then a conditional GAN over all classes, from whose weights each class
    starts; each is fine-tuned in the end. The state is saved as training goes on.

    Last it says how many of the glyphs drawn are legible, and warns of characters that are noise yet.

    \b
    Examples:
        python -m batch.train --data emnist --out trained
        python -m batch.train --data emnist --out trained --resume
        python -m batch.train --data emnist --out trial --classes 10-upper-a,36-lower-a --steps 500
        python -m batch.train --data letters --out trained
    """
    started = time.monotonic()
    with one_line_errors(), ExitStack() as stack:
        with training_packages():
            from batch.training.run import Training
        images = read_images(data, "train")
        try:
            chosen = images.classes.named(classes)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
        if not stack.enter_context(file_lock(out / STATE / "lock")):
            raise StorageError(f"another training is at work in {out}: give --out another folder")
        count = len(images.classes)
        settings = TrainingSettings(
            steps=steps,
            pretraining_steps=pretraining_steps or usual_pretraining_steps(count),
            refined_steps=refine_steps,
            classifier_steps=classifier_steps or usual_classifier_steps(count),
            seed=seed,
        )
        training = Training(images, CheckpointWriter(out), settings)
        chosen = training.left_over(chosen) if resume else training.start_over(chosen)
        with progress_bar(TimeElapsedColumn(), TimeRemainingColumn(), lines=True) as progress:
            training.train_filter(progress)
            if chosen:
                training.train_generators(chosen, jobs, progress)
        finished = training.manifest["classes"]
    seconds = time.monotonic() - started
    print(f"{len(chosen)} classes trained in {seconds:.0f} s; {out} holds {len(finished)} of {count}")
    if chosen:
        share = sum(finished[c.name]["legible"] for c in chosen) / len(chosen)
        print(f"{share:.0%} of the glyphs that these draw are legible")
    warn_of_noise(Checkpoints(out), images.classes.characters)


if __name__ == "__main__":
    run(main)

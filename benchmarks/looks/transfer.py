"""Does what learns from our captchas read real handwriting? `python -m benchmarks.looks.transfer`."""

from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import typer
from rich.progress import TimeRemainingColumn

from batch.images.labelled import LabelledImages
from batch.images.source import read_images_of
from batch.packages import training_packages
from batch.progress import progress_bar
from gantcha.alphabet import draw_codes
from gantcha.captcha import draw_captchas
from gantcha.drawing.look import LOOKS
from gantcha.errors import one_line_errors
from gantcha.glyphs.checkpoints import Checkpoints
from gantcha.glyphs.sampler import Sampler
from gantcha.terminal import run
from pool.settings import load_settings

_TESTED = 600
_LENGTH = 6


class RealGlyphs(Sampler):
    """Draws real images in place of generated ones, all that there are and unfiltered."""

    def __init__(self, checkpoints: Checkpoints, labelled: LabelledImages) -> None:
        super().__init__(checkpoints)
        self._images = labelled.images
        self._of_class = [np.flatnonzero(labelled.labels == c.index) for c in labelled.classes]

    def draw(
        self, classes: npt.NDArray[np.uint8], rng: np.random.Generator, truncation: float = 1
    ) -> npt.NDArray[np.uint8]:
        """Choose a real image for each label of `classes` `[...]`: uint8 `[..., 28, 28]`."""
        del truncation  # hands have none
        chosen = [self._of_class[label][rng.integers(len(self._of_class[label]))] for label in classes.ravel()]
        return self._images[chosen].reshape(*classes.shape, *self._images.shape[1:])

    draw_legible = draw


def main(
    data: Annotated[Path, typer.Option(help="Folder of EMNIST, of which train teaches and test is read.")],
    alphabet: Annotated[str | None, typer.Option(help="Instead of CAPTCHA_ALPHABET.")] = None,
    seconds: Annotated[float, typer.Option(min=1, help="Processor seconds of each training.")] = 300,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each teacher.")] = 3,
) -> None:
    """Teach a recogniser by captchas of generated glyphs, and others by those of real ones; each reads new real ones.

    All are drawn in the same plain look of easy difficulty, so only the glyphs differ. Printed is the mean share of
    characters over the seeds, and how far the seeds lie from it (the standard error).

    \b
    Examples:
        python -m benchmarks.looks.transfer --data emnist
        python -m benchmarks.looks.transfer --data emnist --alphabet 0123456789abcdefghijklmnopqrstuvwxyz --seeds 1
    """
    with one_line_errors():
        with training_packages():
            from batch.recogniser import Crnn
            from benchmarks.strength.run import draw_lessons, show_labelled
        settings = load_settings(alphabet=alphabet)
        checkpoints, look = Checkpoints(settings.checkpoints_dir), LOOKS["plain"]["easy"]
        generated = Sampler(checkpoints)
        train, test = (RealGlyphs(checkpoints, read_images_of(generated.classes, data, s)) for s in ("train", "test"))
        codes = draw_codes(_TESTED, settings.alphabet, _LENGTH)
        truth = np.array([list(code) for code in codes])

        def show(
            sampler: Sampler, rng: np.random.Generator, codes: list[str]
        ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
            return show_labelled([*draw_captchas(codes, sampler, look, rng, labelled=True)], settings.alphabet)

        pictures, _ = show(test, np.random.default_rng(0), codes)
        read: dict[str, list[float]] = {}
        with progress_bar(TimeRemainingColumn()) as progress:
            bar = progress.add_task("trainings", total=2 * seeds * seconds)
            for name, teacher in {"generated": generated, "real": train}.items():
                for seed in range(1, seeds + 1):
                    crnn = Crnn(settings.alphabet, seed)
                    rng = np.random.default_rng(seed)
                    lessons = draw_lessons(partial(show, teacher, rng), settings.alphabet, _LENGTH)
                    crnn.train(lessons, lambda done: progress.advance(bar, done), seconds)
                    answers = np.array([list(answer) for answer in crnn.solve(pictures)])
                    read.setdefault(name, []).append(float((answers == truth).mean()))
    for name, shares in read.items():
        error = f" +- {np.std(shares, ddof=1) / len(shares) ** 0.5:.1%}" if len(shares) > 1 else ""
        print(
            f"taught by {name} glyphs: {np.mean(shares):.1%}{error} of the characters of {_TESTED} lines of real ones"
        )


if __name__ == "__main__":
    run(main)

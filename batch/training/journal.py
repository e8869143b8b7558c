"""How a training is followed: its losses in a CSV file, and the same latents drawn again and again."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from batch.training.tensorflow import tf
from gantcha.alphabet import SIDE
from gantcha.errors import storage_errors
from pool.storage.atomic import write_durably

ROWS = 24
"""Rows of a sheet, from the first glyphs to the last."""
_HEAD = "step,generator_loss,discriminator_loss\n"


class Journal:
    """The losses `<path>.csv` and the sheet `<path>.png`; with TensorBoard installed also a folder for it."""

    def __init__(self, path: Path, steps: int, done: int) -> None:
        """Go on after `done` of the `steps`; what was written of later ones is dropped, since they come again.

        Raises:
            StorageError: the folder is not writable.
        """
        self._csv, self._sheet, self._steps = path.with_suffix(".csv"), path.with_suffix(".png"), steps
        kept = [line for line in self._lines() if int(line.split(",")[0]) <= done]
        write_durably(self._csv, "".join([_HEAD, *kept]).encode())
        self._page: npt.NDArray[np.uint8] | None = None
        if done and self._sheet.exists():
            self._page = np.asarray(Image.open(self._sheet))[: self._row(done) * SIDE]
        self._board = tf.summary.create_file_writer(str(path.with_suffix(""))) if find_spec("tensorboard") else None

    def _lines(self) -> list[str]:
        return self._csv.read_text("utf-8").splitlines(keepends=True)[1:] if self._csv.exists() else []

    def _row(self, step: int) -> int:
        return step * ROWS // self._steps

    def note(self, step: int, generator_loss: float, discriminator_loss: float) -> None:
        """Write the losses of the last steps down. Raises StorageError when the disk is full."""
        with storage_errors(self._csv), open(self._csv, "a", encoding="utf-8") as file:
            file.write(f"{step},{generator_loss:.4f},{discriminator_loss:.4f}\n")
        if self._board:
            with self._board.as_default(step):
                tf.summary.scalar("generator_loss", generator_loss)
                tf.summary.scalar("discriminator_loss", discriminator_loss)

    def wants_row(self, step: int) -> bool:
        """Return whether the sheet lacks a row for this step."""
        return self._row(step) > (0 if self._page is None else len(self._page) // SIDE)

    def draw(self, glyphs: npt.NDArray[np.uint8]) -> None:
        """Add `[N, 28, 28]` to the sheet as its last row: dark ink on white paper. Raises StorageError as `note`."""
        row = 255 - np.concatenate([*glyphs], axis=1)
        self._page = row if self._page is None else np.concatenate([self._page, row])
        unfinished = self._sheet.with_suffix(".part.png")
        with storage_errors(self._sheet):
            Image.fromarray(self._page).save(unfinished)
            unfinished.rename(self._sheet)

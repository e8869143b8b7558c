"""Draw glyphs with the trained generators: `python -m batch.sample`."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO

import numpy as np
import numpy.typing as npt
import typer
from PIL import Image

from batch.alphabet import CHARACTER_OF_CLASS, GLYPH_CLASSES
from batch.checkpoints import Checkpoints
from batch.emnist import SIDE
from batch.inference import draw_glyphs, read_glyphs
from pool.durable import told_as_storage_error
from pool.errors import one_line_errors
from pool.settings import DEFAULT_CHECKPOINTS_DIR

USUAL_SPREAD = 1.2
"""Latents are drawn so many times wider than training did, until `batch.spread` finds what fits a class."""
TYPICAL = 0.8
"""The spread for captchas: glyphs as most people write them are the most legible."""
OVERDRAW = 1.2
"""So many times the glyphs asked for are drawn where illegible ones are left out."""
_SURE = 0.95  # the doubtful are left out up to here; asking for more gains nothing more


class Sampler:
    """All 47 generators, loaded once and called once a batch each."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        """Raises CheckpointError for a missing or damaged checkpoint."""
        loaded, self.reader = checkpoints.load()
        self._generators = {index: entry.generator for index, entry in loaded.items()}
        self._shape_thresholds = np.stack([np.cumsum(loaded[c.index].shape_frequencies) for c in GLYPH_CLASSES])
        self.spreads = np.array([loaded[c.index].latent_spread for c in GLYPH_CLASSES], np.float32)
        """`[47]`, how many times wider than in training the latents of each class are drawn"""
        inputs = loaded[0].generator.dense.shape[0]
        self._shape_count = self._shape_thresholds.shape[1]
        self._latent_size = inputs - self._shape_count

    def draw(
        self, classes: npt.NDArray[np.uint8], rng: np.random.Generator, spread: float | None = None
    ) -> npt.NDArray[np.uint8]:
        """Draw a glyph for each ByMerge index of `classes` `[...]`: uint8 `[..., 28, 28]`, bright stroke on black.

        Latents are as wide as the manifest says of each class, or all of them `spread` times as wide as in training.

        Glyphs of one class are drawn in one call of its generator, whatever their places in the batch.
        """
        labels = classes.ravel()
        shapes = (rng.random((len(labels), 1)) > self._shape_thresholds[labels, :-1]).sum(1)
        latent = rng.standard_normal((len(labels), self._latent_size), np.float32)
        latent *= self.spreads[labels, None] if spread is None else np.float32(spread)
        inputs = np.concatenate([latent, np.eye(self._shape_count, dtype=np.float32)[shapes]], 1)
        glyphs = np.empty((len(labels), SIDE, SIDE), np.uint8)
        order = np.argsort(labels, kind="stable")
        for places in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
            if len(places):
                glyphs[places] = draw_glyphs(inputs[places], self._generators[int(labels[places[0]])])
        return glyphs.reshape(*classes.shape, SIDE, SIDE)

    def draw_legible(self, classes: npt.NDArray[np.uint8], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
        """As `draw`, but leave out glyphs that look like another character.

        Of each class some more glyphs are drawn than asked for. Those that the reader is sure of are all as good; of
        the others the least legible are left out, as far as there are more than enough.
        """
        wanted = classes.ravel()
        counts = np.bincount(wanted, minlength=len(GLYPH_CLASSES))
        labels = np.repeat(np.arange(len(GLYPH_CLASSES), dtype=np.uint8), np.ceil(counts * OVERDRAW).astype(int))
        glyphs = self.draw(labels, rng, TYPICAL)
        probabilities = read_glyphs(glyphs, self.reader)
        legibility = (probabilities * (CHARACTER_OF_CLASS[labels][:, None] == CHARACTER_OF_CLASS)).sum(1)
        best_first = np.lexsort([-legibility.clip(max=_SURE), labels])
        firsts = np.searchsorted(labels, labels)
        # In the order they were drawn in: else the last captchas of a batch would get all that is doubtful.
        kept = np.sort(best_first[np.arange(len(labels)) - firsts < counts[labels]])
        legible = np.empty((len(wanted), SIDE, SIDE), np.uint8)
        legible[np.argsort(wanted, kind="stable")] = glyphs[kept]
        return legible.reshape(*classes.shape, SIDE, SIDE)


def contact_sheet(glyphs: npt.NDArray[np.uint8], enlarge: int = 2) -> Image.Image:
    """Lay `[rows, columns, 28, 28]` out as dark ink on white paper."""
    rows, columns = glyphs.shape[:2]
    page = glyphs.transpose(0, 2, 1, 3).reshape(rows * SIDE, columns * SIDE)
    size = (columns * SIDE * enlarge, rows * SIDE * enlarge)
    sheet = Image.fromarray(255 - page).resize(size, Image.Resampling.BICUBIC)
    return sheet.quantize(16)  # less than half the bytes, and nothing the eye would miss


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """Open a file to write. Raises StorageError when it can't be written."""
    with told_as_storage_error(path), open(path, "wb") as file:
        yield file


def main(
    per_class: Annotated[int, typer.Option(min=1, help="Glyphs of each of the 47 classes.")] = 200,
    seed: Annotated[int | None, typer.Option(min=0, help="Draw the same glyphs again; at random if left out.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write `images` [N,28,28] and `labels` [N] to this .npz.")] = None,
    sheet: Annotated[Path | None, typer.Option(help="Draw a contact sheet, a row for each class, to this PNG.")] = None,
    checkpoints: Annotated[
        Path, typer.Option(help="Folder of the trained generators.", envvar="CAPTCHA_CHECKPOINTS_DIR")
    ] = DEFAULT_CHECKPOINTS_DIR,
) -> None:
    """Draw glyphs of every class, to look at or to measure.

    \b
    Examples:
        python -m batch.sample --per-class 200 --seed 1 --out glyphs.npz
        python -m batch.sample --per-class 30 --sheet sheet.png
    """
    if out is None and sheet is None:
        raise typer.BadParameter("give --out, --sheet or both")
    with one_line_errors():
        rng = np.random.default_rng(secrets.randbits(128) if seed is None else seed)
        labels = np.repeat(np.arange(len(GLYPH_CLASSES), dtype=np.uint8), per_class)
        images = Sampler(Checkpoints(checkpoints)).draw(labels, rng)
        if out:
            with writing(out) as file:  # given a name, savez would add an .npz of its own
                np.savez_compressed(file, images=images, labels=labels)
        if sheet:
            with writing(sheet) as file:
                contact_sheet(images.reshape(-1, per_class, SIDE, SIDE)).save(file, "PNG")
    for written in filter(None, (out, sheet)):
        print(f"{written}: {len(images)} glyphs, {per_class} of each of {len(GLYPH_CLASSES)} classes")


if __name__ == "__main__":
    typer.run(main)

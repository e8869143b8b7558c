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

from batch.alphabet import GLYPH_CLASSES
from batch.checkpoints import Checkpoints
from batch.emnist import SIDE
from batch.sampler import Sampler
from pool.durable import told_as_storage_error
from pool.errors import one_line_errors
from pool.settings import DEFAULT_CHECKPOINTS_DIR


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

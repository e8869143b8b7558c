"""Pages of pictures to look at."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from pool.storage.atomic import storage_errors

_COLUMNS = 4
_GAP = 24  # pixels between captchas: room for their numbers


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """Open a file to write. Raises StorageError when it can't be written."""
    with storage_errors(path), open(path, "wb") as file:
        yield file


def contact_sheet(glyphs: npt.NDArray[np.uint8], enlarge: int = 2) -> Image.Image:
    """Lay `[rows, columns, H, W]` out as dark ink on white paper."""
    rows, columns, height, width = glyphs.shape
    page = glyphs.transpose(0, 2, 1, 3).reshape(rows * height, columns * width)
    size = (columns * width * enlarge, rows * height * enlarge)
    sheet = Image.fromarray(255 - page).resize(size, Image.Resampling.BICUBIC)
    return sheet.quantize(16)  # less than half the bytes, and no difference that can be seen


def numbered_sheet(pictures: npt.NDArray[np.uint8]) -> Image.Image:
    """Number grey pictures `[N, H, W]` and set them in rows of four."""
    count, height, width = pictures.shape
    page = Image.new("L", (_COLUMNS * (width + _GAP), -(-count // _COLUMNS) * (height + _GAP)), 255)
    draw = ImageDraw.Draw(page)
    for number, picture in enumerate(pictures):
        left, top = number % _COLUMNS * (width + _GAP), number // _COLUMNS * (height + _GAP)
        draw.text((left, top + _GAP // 4), str(number + 1), fill=0)
        page.paste(Image.fromarray(picture), (left, top + _GAP))
    return page

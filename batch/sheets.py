"""Pages of pictures to look at."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from gantcha.errors import storage_errors

_COLUMNS = 4
_GAP = 24  # pixels between captchas: room for captions


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


def caption(text: str) -> str:
    """Return a text as Pillow's own font can show it: other than ASCII by its code points, `u0436 u044f`."""
    return text if text.isascii() else " ".join(c if c.isascii() else f"u{ord(c):04x}" for c in text)


def captcha_sheet(pictures: Sequence[Image.Image], captions: Sequence[str]) -> Image.Image:
    """Set pictures in rows of four, each under its caption."""
    width, height = (max(sizes) + _GAP for sizes in zip(*(picture.size for picture in pictures), strict=True))
    page = Image.new(pictures[0].mode, (_COLUMNS * width, -(-len(pictures) // _COLUMNS) * height), "white")
    for number, (picture, text) in enumerate(zip(pictures, captions, strict=True)):
        left, top = number % _COLUMNS * width, number // _COLUMNS * height
        ImageDraw.Draw(page).text((left, top + _GAP // 4), caption(text), fill="black")
        page.paste(picture, (left, top + _GAP))
    return page

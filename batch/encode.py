"""PNG encoding."""

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from batch.render import GREY_LEVELS
from pool.durable import told_as_storage_error

_BITS = (GREY_LEVELS - 1).bit_length()
_PALETTE = bytes(level * 255 // (GREY_LEVELS - 1) for level in range(GREY_LEVELS) for _ in "RGB")
_COMPRESS_LEVEL = 3  # noise hardly compresses; higher levels cost time and save nothing


def encode_png(levels: npt.NDArray[np.uint8]) -> bytes:
    """Encode grey levels 0-15 `[H, W]` as a PNG of four bits a pixel."""
    height, width = levels.shape
    image = Image.frombuffer("P", (width, height), levels.tobytes())
    image.putpalette(_PALETTE)
    png = io.BytesIO()
    image.save(png, "PNG", bits=_BITS, compress_level=_COMPRESS_LEVEL)
    return png.getvalue()


def save_pic(levels: npt.NDArray[np.uint8], path: Path) -> None:
    """Write grey levels 0-15 `[H, W]` to a PNG file. Raises StorageError when the file can't be written."""
    with told_as_storage_error(path):
        path.write_bytes(encode_png(levels))

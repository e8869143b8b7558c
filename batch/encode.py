"""PNG encoding."""

import io
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from batch.render import GREY_LEVELS, to_grey
from pool.durable import told_as_storage_error

_BITS = 4
_PALETTE = to_grey(np.arange(GREY_LEVELS, dtype=np.uint8)).repeat(len("RGB")).tobytes()


def encode_png(levels: npt.NDArray[np.uint8]) -> bytes:
    """Encode grey levels `[H, W]` as a PNG of four bits a pixel."""
    height, width = levels.shape
    image = Image.frombuffer("P", (width, height), levels.tobytes())
    image.putpalette(_PALETTE)
    png = io.BytesIO()
    # Noise has no repetitions: not looking for them takes a third less time and bytes no more.
    image.save(png, "PNG", bits=_BITS, compress_type=zlib.Z_HUFFMAN_ONLY)
    return png.getvalue()


def save_pic(levels: npt.NDArray[np.uint8], path: Path) -> None:
    """Write grey levels `[H, W]` to a PNG file. Raises StorageError when the file can't be written."""
    with told_as_storage_error(path):
        path.write_bytes(encode_png(levels))

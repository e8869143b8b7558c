"""PNG encoding: four bits a pixel, no filter, one pass; a general encoder takes four times as long."""

import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
from isal import isal_zlib

from batch.drawing.style import GREY_LEVELS
from pool.storage.atomic import storage_errors

_BITS = 4
_PALETTE = 3  # PNG's colour type
_FASTEST = 1  # of isal's levels: noise has few repetitions to look for


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))


def to_grey(levels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Spread grey levels over 0 to 255."""
    grey: npt.NDArray[np.uint8] = (np.arange(GREY_LEVELS) * 255 // (GREY_LEVELS - 1)).astype(np.uint8)[levels]
    return grey


_GREYS = _chunk(b"PLTE", to_grey(np.arange(GREY_LEVELS, dtype=np.uint8)).repeat(len("RGB")).tobytes())
_END = _chunk(b"IEND", b"")


def encode_pngs(levels: npt.NDArray[np.uint8], *, repeatable: bool = False) -> list[bytes]:
    """Encode pictures in grey levels `[N, H, W]`, each as a PNG.

    `repeatable` gives the same bytes for the same picture, in twice the time: the output of the fast compressor
    depends on what was in its memory before.
    """
    count, height, width = levels.shape
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, _BITS, _PALETTE, 0, 0, 0))
    beginning = b"\x89PNG\r\n\x1a\n" + header + _GREYS
    rows = np.zeros((count, height, 1 + (width + 1) // 2), np.uint8)  # each begins with its filter type, 0 for none
    rows[:, :, 1:] = levels[:, :, ::2] << _BITS
    rows[:, :, 1 : 1 + width // 2] |= levels[:, :, 1::2]
    compress = _compress_repeatably if repeatable else _compress
    return [beginning + _chunk(b"IDAT", compress(picture)) + _END for picture in rows]


def _compress(picture: npt.NDArray[np.uint8]) -> bytes:
    return isal_zlib.compress(picture, _FASTEST)


def _compress_repeatably(picture: npt.NDArray[np.uint8]) -> bytes:
    compressor = zlib.compressobj(strategy=zlib.Z_HUFFMAN_ONLY)
    return compressor.compress(picture.tobytes()) + compressor.flush()


def save_pic(levels: npt.NDArray[np.uint8], path: Path) -> None:
    """Write grey levels `[H, W]` to a PNG file. Raises StorageError when the file can't be written."""
    (png,) = encode_pngs(levels[None])
    with storage_errors(path):
        path.write_bytes(png)

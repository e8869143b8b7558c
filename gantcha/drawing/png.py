"""PNG encoding: greyscale of four bits a pixel, no filter, one pass; a general encoder takes four times as long."""

import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
from isal import isal_zlib

from gantcha.drawing.look import GREY_LEVELS
from gantcha.errors import storage_errors

_BITS = 4
_GREYSCALE = 0  # PNG's colour type
_FASTEST = 1  # of isal's levels: noise has few repetitions to look for


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))


def to_grey(levels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Spread grey levels over 0 to 255, as programs that open the PNG do."""
    return levels * np.uint8(255 // (GREY_LEVELS - 1))


_END = _chunk(b"IEND", b"")


def _beginning(width: int, height: int, bits: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, _GREYSCALE, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header)


def encode_masks(masks: npt.NDArray[np.bool_]) -> bytes:
    """Encode masks `[L, H, W]` one below the other as a PNG of a bit a pixel, `L * H` high. Repeatable."""
    count, height, width = masks.shape
    rows = np.packbits(masks.reshape(count * height, width), 1)
    content = zlib.compress(np.pad(rows, ((0, 0), (1, 0))).tobytes())
    return _beginning(width, count * height, 1) + _chunk(b"IDAT", content) + _END


def encode_png(levels: npt.NDArray[np.uint8], *, repeatable: bool = False) -> bytes:
    """Encode a picture in grey levels `[H, W]` as a PNG.

    `repeatable` gives the same bytes for the same picture, in twice the time: the output of the fast compressor
    depends on what was in its memory before.
    """
    height, width = levels.shape
    pairs = (np.pad(levels, ((0, 0), (0, 1))) if width % 2 else levels).view("<u2")  # the left pixel in the low byte
    rows = np.zeros((height, 1 + pairs.shape[1]), np.uint8)  # each begins with its filter type, 0 for none
    rows[:, 1:] = pairs << _BITS | pairs >> 8
    compress = _compress_repeatably if repeatable else _compress
    return _beginning(width, height, _BITS) + _chunk(b"IDAT", compress(rows)) + _END


def _compress(rows: npt.NDArray[np.uint8]) -> bytes:
    return isal_zlib.compress(rows, _FASTEST)


def _compress_repeatably(rows: npt.NDArray[np.uint8]) -> bytes:
    compressor = zlib.compressobj(strategy=zlib.Z_HUFFMAN_ONLY)
    return compressor.compress(rows.tobytes()) + compressor.flush()


def save_pic(levels: npt.NDArray[np.uint8], path: Path) -> None:
    """Write grey levels `[H, W]` to a PNG file. Raises StorageError when the file can't be written."""
    with storage_errors(path):
        path.write_bytes(encode_png(levels))

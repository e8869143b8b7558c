"""Uploaded pictures: bytes and pixels are limited before decoding, and only the pixels are kept."""

import io
import struct
from concurrent.futures import ThreadPoolExecutor

from PIL import Image, UnidentifiedImageError

from server import errors

MAX_FILE_BYTES = 1024 * 1024
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHUNKS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
_MAX_SIDE = 2048
# What Pillow raises; AssertionError for a missing palette.
_BROKEN = (UnidentifiedImageError, OSError, EOFError, SyntaxError, ValueError, IndexError, AssertionError, struct.error)
# Few threads, always the same: each may need some 50 MiB, and keeps the memory that it has freed.
_decoders = ThreadPoolExecutor(2, "decoder")


def clean_png(content: bytes) -> bytes:
    """Decode a PNG and encode it anew, so that only its pixels are kept.

    Raises:
        HTTPException: 413 over 1 MiB or 2048 pixels a side, 415 if the content is not a valid PNG.
    """
    if len(content) > MAX_FILE_BYTES:
        raise errors.TOO_LARGE.error()
    return _decoders.submit(_clean, content).result()


def _clean(content: bytes) -> bytes:
    try:
        with Image.open(io.BytesIO(_only_pixels(content)), formats=["PNG"]) as image:
            if max(image.size) > _MAX_SIDE:
                raise errors.TOO_MANY_PIXELS.error()
            image.load()
            mode = "RGBA" if image.has_transparency_data else "RGB" if image.mode == "P" else image.mode
            pixels = image if image.mode == mode else image.convert(mode)
    except Image.DecompressionBombError as error:
        raise errors.TOO_MANY_PIXELS.error() from error
    except _BROKEN as error:
        raise errors.NO_PNG.error() from error
    encoded = io.BytesIO()
    pixels.info.clear()  # the encoder would take the transparent colour from here
    pixels.save(encoded, "PNG")
    return encoded.getvalue()


def _only_pixels(content: bytes) -> bytes:
    """Remove chunks that no pixel needs: texts, profiles and frames can unpack to far more than the picture."""
    if not content.startswith(_SIGNATURE):
        raise ValueError("not a PNG")
    kept, start = [_SIGNATURE], len(_SIGNATURE)
    while start < len(content):
        length, name = struct.unpack_from(">I4s", content, start)
        end = start + length + 12  # with the length itself, the name and the checksum
        if name in _CHUNKS:
            kept.append(content[start:end])
        if name == b"IEND":
            break
        start = end
    return b"".join(kept)

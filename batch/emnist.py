"""EMNIST ByMerge as its authors distribute it: gzip-compressed IDX files (Cohen et al. 2017)."""

import gzip
import hashlib
import struct
import zlib
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from batch.alphabet import GLYPH_CLASSES, SIDE
from pool.errors import GantchaError

IMAGE_MAGIC = 0x00000803  # unsigned bytes, three dimensions
LABEL_MAGIC = 0x00000801  # unsigned bytes, one dimension


class EmnistError(GantchaError):
    """An EMNIST file is missing or not what the format says."""


class Emnist(NamedTuple):
    """One split, upright."""

    images: npt.NDArray[np.uint8]
    """`[N, 28, 28]`, bright stroke on black."""
    labels: npt.NDArray[np.uint8]
    """`[N]`, ByMerge indices 0-46."""
    digest: str
    """sha256 over both files as they lie on disk."""


def read_emnist(folder: Path, split: Literal["train", "test"]) -> Emnist:
    """Read and check both files of a split.

    Raises:
        EmnistError: says which file is wrong and how.
    """
    images_path = folder / f"emnist-bymerge-{split}-images-idx3-ubyte.gz"
    labels_path = folder / f"emnist-bymerge-{split}-labels-idx1-ubyte.gz"
    digest = hashlib.sha256()
    stored = _read_idx(images_path, IMAGE_MAGIC, 3, digest)
    labels = _read_idx(labels_path, LABEL_MAGIC, 1, digest)
    if stored.shape[1:] != (SIDE, SIDE):
        raise EmnistError(f"{images_path}: images are {stored.shape[1]} x {stored.shape[2]} pixels, not 28 x 28")
    if len(stored) != len(labels):
        raise EmnistError(f"{labels_path}: {len(labels)} labels for the {len(stored)} images of {images_path.name}")
    if len(labels) and labels.max() >= len(GLYPH_CLASSES):
        raise EmnistError(f"{labels_path}: label {labels.max()}, but ByMerge labels are 0-{len(GLYPH_CLASSES) - 1}")
    # EMNIST stores each image transposed.
    return Emnist(np.ascontiguousarray(stored.transpose(0, 2, 1)), labels, digest.hexdigest())


def _read_idx(path: Path, magic: int, dimensions: int, digest: "hashlib._Hash") -> npt.NDArray[np.uint8]:
    """Read one IDX file: magic, then a big-endian uint32 for each dimension, then the bytes."""
    try:
        packed = path.read_bytes()
    except FileNotFoundError as error:
        raise EmnistError(f"{path} is missing: --data must name the folder of the EMNIST ByMerge files") from error
    except OSError as error:
        raise EmnistError(f"{path} can't be read: {error.strerror}") from error
    digest.update(packed)
    try:
        content = gzip.decompress(packed)
    except (OSError, EOFError, zlib.error) as error:
        raise EmnistError(f"{path} is not a whole gzip file: {error}") from error
    header_size = 4 * (1 + dimensions)
    if len(content) < header_size:
        raise EmnistError(f"{path}: {len(content)} bytes are too few for an IDX header")
    found_magic, *shape = struct.unpack(f">{1 + dimensions}I", content[:header_size])
    if found_magic != magic:
        raise EmnistError(f"{path}: magic number 0x{found_magic:08x}, not 0x{magic:08x}")
    expected = int(np.prod(shape, dtype=np.int64))
    if len(content) - header_size != expected:
        raise EmnistError(f"{path}: {len(content) - header_size} bytes of data where the header promises {expected}")
    return np.frombuffer(content, np.uint8, offset=header_size).reshape(shape)

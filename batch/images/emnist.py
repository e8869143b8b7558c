"""EMNIST ByMerge as its authors distribute it: IDX files, packed by gzip or unpacked (Cohen et al. 2017)."""

import gzip
import hashlib
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from batch.images.labelled import ImagesError, LabelledImages, Split
from gantcha.alphabet import BYMERGE, SIDE

IMAGE_MAGIC = 0x00000803  # unsigned bytes, three dimensions
LABEL_MAGIC = 0x00000801  # unsigned bytes, one dimension
_PLACES = "", "gzip", "EMNIST/raw", "raw"  # of NIST's zip, and where torchvision puts them


def find_emnist(folder: Path, split: Split) -> Path | None:
    """Return the place within the folder that has the images of a split; None if there is none."""
    return next((folder / place for place in _PLACES if _file(folder / place, split, "images-idx3").exists()), None)


def _file(folder: Path, split: Split, content: str) -> Path:
    unpacked = folder / f"emnist-bymerge-{split}-{content}-ubyte"
    return unpacked if unpacked.exists() else unpacked.with_name(f"{unpacked.name}.gz")


def read_emnist(folder: Path, split: Split) -> LabelledImages:
    """Read and check both files of a split.

    Raises:
        ImagesError: says which file is wrong and how.
    """
    place = find_emnist(folder, split) or folder
    images_path, labels_path = _file(place, split, "images-idx3"), _file(place, split, "labels-idx1")
    digest = hashlib.sha256()
    stored = _read_idx(images_path, IMAGE_MAGIC, 3, digest)
    labels = _read_idx(labels_path, LABEL_MAGIC, 1, digest)
    if stored.shape[1:] != (SIDE, SIDE):
        raise ImagesError(f"{images_path}: images are {stored.shape[1]} x {stored.shape[2]} pixels, not 28 x 28")
    if len(stored) != len(labels):
        raise ImagesError(f"{labels_path}: {len(labels)} labels for the {len(stored)} images of {images_path.name}")
    if len(labels) and labels.max() >= len(BYMERGE):
        raise ImagesError(f"{labels_path}: label {labels.max()}, but ByMerge labels are 0-{len(BYMERGE) - 1}")
    # EMNIST stores each image transposed.
    return LabelledImages(np.ascontiguousarray(stored.transpose(0, 2, 1)), labels, digest.hexdigest())


def _read_idx(path: Path, magic: int, dimensions: int, digest: "hashlib._Hash") -> npt.NDArray[np.uint8]:
    """Read one IDX file: magic, then a big-endian uint32 for each dimension, then the bytes."""
    try:
        packed = path.read_bytes()
    except FileNotFoundError as error:
        raise ImagesError(
            f"{path} is missing: --data must name a folder of the EMNIST ByMerge files, "
            "or one with a sub-folder of images for each character"
        ) from error
    except OSError as error:
        raise ImagesError(f"{path} can't be read: {error.strerror}") from error
    digest.update(packed)
    try:
        content = gzip.decompress(packed) if path.suffix == ".gz" else packed
    except (OSError, EOFError, zlib.error) as error:
        raise ImagesError(f"{path} is not a whole gzip file: {error}") from error
    header_size = 4 * (1 + dimensions)
    if len(content) < header_size:
        raise ImagesError(f"{path}: {len(content)} bytes are too few for an IDX header")
    found_magic, *shape = struct.unpack(f">{1 + dimensions}I", content[:header_size])
    if found_magic != magic:
        raise ImagesError(f"{path}: magic number 0x{found_magic:08x}, not 0x{magic:08x}")
    expected = int(np.prod(shape, dtype=np.int64))
    if len(content) - header_size != expected:
        raise ImagesError(f"{path}: {len(content) - header_size} bytes of data where the header promises {expected}")
    return np.frombuffer(content, np.uint8, offset=header_size).reshape(shape)

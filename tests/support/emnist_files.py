"""Small files of handwriting in EMNIST's real format, and ways to break them."""

import gzip
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image


def idx(magic: int, array: npt.NDArray[np.uint8]) -> bytes:
    return struct.pack(f">{1 + array.ndim}I", magic, *array.shape) + array.tobytes()


def paths(folder: Path, split: str) -> tuple[Path, Path]:
    stem = folder / f"emnist-bymerge-{split}"
    return Path(f"{stem}-images-idx3-ubyte.gz"), Path(f"{stem}-labels-idx1-ubyte.gz")


def write(folder: Path, images: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint8], split: str = "train") -> None:
    """Write upright images the way EMNIST does: transposed."""
    images_path, labels_path = paths(folder, split)
    images_path.write_bytes(gzip.compress(idx(0x803, images.transpose(0, 2, 1))))
    labels_path.write_bytes(gzip.compress(idx(0x801, labels)))


def strokes(count: int, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Draw upright images of one bright stroke each, at a place of its own."""
    images = np.zeros((count, 28, 28), np.uint8)
    for image in images:
        top, left = rng.integers(2, 20, 2)
        image[top : top + 8, left : left + 2] = rng.integers(128, 256)
    return images


def dots(labels: npt.NDArray[np.uint8], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Draw a dot for each label, at a place of its class in a grid of seven by seven: `[N, 28, 28]`."""
    images = rng.integers(60, size=(len(labels), 28, 28), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[4 + 3 * (label // 7) :][:3, 4 + 3 * (label % 7) :][:, :3] = 255
    return images


def write_letters(folder: Path, count: int) -> Path:
    """Write so many images of each of two characters into sub-folders: few classes, since each costs seconds."""
    for character in "Aa":
        (folder / character).mkdir(parents=True)
        for number, image in enumerate(strokes(count, np.random.default_rng(ord(character)))):
            Image.fromarray(image).save(folder / character / f"{number}.png")
    return folder


def unpack(folder: Path) -> None:
    """Unpack all files, as torchvision does."""
    for packed in folder.glob("*.gz"):
        packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
        packed.unlink()

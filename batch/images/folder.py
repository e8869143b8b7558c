"""A folder of images of one's own: a sub-folder for each character, in any script."""

import hashlib
import re
import unicodedata
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from batch.images.labelled import ImagesError, LabelledImages, Split
from gantcha.alphabet import SIDE, GlyphClasses
from gantcha.characters import to_characters

_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"}
_OF_OTHERS = (".", "@", "__MACOSX")  # such as ._A.png, .ipynb_checkpoints and @eaDir
_CODE_POINT = re.compile(r"U\+([0-9A-F]{4,6})")
_DRAWN = "LNPS"  # letters, numbers, punctuation and other symbols, by Unicode's categories
_MOST_CLASSES = 256  # labels are bytes
_TEST_EVERY = 10
_INK = SIDE - 4  # EMNIST's glyphs fill a box of so many pixels the longer way
_PAPER = 0.15  # of the darkest ink: what is paler is paper with its grain
_EDGE = 0.3  # of the darkest ink: where a glyph ends


def read_folder(folder: Path, split: Split) -> LabelledImages:
    """Read the images in `folder/<character>/`; each tenth of a character's images is for testing.

    A sub-folder is named by its character, or by its code point such as `U+0416`: on some file systems `A` and `a` are
    one. Other folders and files are ignored.

    Raises:
        ImagesError: there are no such images, or says which of them is wrong and how.
    """
    by_symbol: dict[str, list[Path]] = {}
    for place, files in find_images(folder).items():
        by_symbol.setdefault(_symbol(place), []).extend(files)
    if not 2 <= len(by_symbol) <= _MOST_CLASSES:
        raise ImagesError(f"{folder} has images of {len(by_symbol)} characters: it must be 2 to {_MOST_CLASSES}")
    symbols = "".join(sorted(by_symbol))
    images, labels = [], []
    for label, symbol in enumerate(symbols):
        for number, path in enumerate(by_symbol[symbol], 1):
            if (number % _TEST_EVERY == 0) == (split == "test"):
                images.append(normalize(_read(path), path))
                labels.append(label)
    content = np.array(images, np.uint8).reshape(-1, SIDE, SIDE), np.array(labels, np.uint8)
    digest = hashlib.sha256(b"".join([symbols.encode(), *(array.tobytes() for array in content)])).hexdigest()
    return LabelledImages(*content, digest, GlyphClasses(symbols), "a folder of images")


def find_images(folder: Path) -> dict[Path, list[Path]]:
    """List the images in each sub-folder that has some, without what other programs leave there."""
    places = [path for path in _list(folder) if path.is_dir()]
    found = {place: [path for path in _list(place) if path.suffix.lower() in _SUFFIXES] for place in places}
    return {place: files for place, files in found.items() if files}


def _list(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if not path.name.startswith(_OF_OTHERS))


def _symbol(place: Path) -> str:
    by_code = _CODE_POINT.fullmatch(place.name)
    symbol = unicodedata.normalize("NFC", chr(int(by_code[1], 16)) if by_code else place.name)
    if len(symbol) != 1 or unicodedata.category(symbol)[0] not in _DRAWN or len(to_characters(symbol)) != 1:
        raise ImagesError(f"{place}: the name must be one letter, digit or symbol, or its code point like U+0416")
    return symbol


def _read(path: Path) -> npt.NDArray[np.uint8]:
    """Return the grey levels `[H, W]` of an image, on white where it is transparent."""
    try:
        with Image.open(path) as image:
            coloured = image.convert("RGBA")
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise ImagesError(f"{path} can't be read as an image: {error}") from error
    paper = Image.new("RGBA", coloured.size, "white")
    levels: npt.NDArray[np.uint8] = np.asarray(Image.alpha_composite(paper, coloured).convert("L"))
    return levels


def normalize(levels: npt.NDArray[np.uint8], path: Path) -> npt.NDArray[np.uint8]:
    """Return an image `[H, W]`, dark on light or light on dark, as EMNIST has it: bright, centred, `[28, 28]`.

    Raises:
        ImagesError: nothing is written on it; names the `path`.
    """
    rim = np.concatenate([levels[0], levels[-1], levels[:, 0], levels[:, -1]])
    strength = np.abs(levels.astype(np.float32) - np.median(rim))  # ink is what differs from the paper
    darkest = strength.max()
    if darkest < 16:
        raise ImagesError(f"{path}: nothing is written on it")
    ink = ((strength / darkest - _PAPER) / (1 - _PAPER)).clip(0)
    (rows, columns) = (np.flatnonzero((ink > _EDGE).any(axis)) for axis in (1, 0))
    glyph = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = _INK / max(glyph.shape)
    height, width = (max(round(side * scale), 1) for side in glyph.shape)
    resized = cv2.resize(glyph, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    square = np.zeros((SIDE, SIDE), np.float32)
    top, left = (SIDE - height) // 2, (SIDE - width) // 2
    square[top : top + height, left : left + width] = resized / resized.max()  # thin strokes pale when they shrink
    bright: npt.NDArray[np.uint8] = np.rint(square.clip(0, 1) * 255).astype(np.uint8)
    return bright

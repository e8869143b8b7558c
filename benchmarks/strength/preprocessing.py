"""What an attacker does to grey pictures before reading them; each is one call of OpenCV or two."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

Pictures = npt.NDArray[np.uint8]
"""`[N, H, W]`, grey, dark ink on light paper"""
Change = Callable[[Pictures], Pictures]

BLUR = 1.2
"""As much as takes the grain away and leaves the strokes; lengths here are pixels of single density."""
HALVED = "halved, "
"""What the names of those begin with that halve pictures of double density first."""
_ALONG = 24  # the line: about a glyph
_BANDS = 0.65, 0.8  # of the height: room for a line that lies level


class Preprocessing(NamedTuple):
    """A way to prepare pictures."""

    apply: Change
    pixel_ratio: float
    """density of the pictures that it gives"""


def _each(change: Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.uint8]]) -> Change:
    def preprocess(pictures: Pictures) -> Pictures:
        return np.stack([change(picture) for picture in pictures])

    return preprocess


def _blurred(picture: npt.NDArray[np.uint8], sigma: float) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.uint8)


def _threshold(picture: npt.NDArray[np.uint8], level: int, ratio: int) -> npt.NDArray[np.uint8]:
    blurred = _blurred(picture, BLUR * ratio)
    return np.asarray(cv2.threshold(blurred, level - 1, 255, cv2.THRESH_BINARY)[1], np.uint8)


def _median(picture: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.medianBlur(picture, side), np.uint8)


def _adaptive(picture: npt.NDArray[np.uint8], ratio: int) -> npt.NDArray[np.uint8]:
    options = (255, cv2.ADAPTIVE_THRESH_GAUSSIAN_C, cv2.THRESH_BINARY, 30 * ratio + 1, 20)
    return np.asarray(cv2.adaptiveThreshold(_blurred(picture, BLUR * ratio), *options), np.uint8)


def _half(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)


def _flat(picture: npt.NDArray[np.uint8], ratio: int) -> npt.NDArray[np.uint8]:
    divided = cv2.divide(_blurred(picture, BLUR * ratio), _blurred(picture, 20 * ratio), scale=200)
    return np.asarray(cv2.threshold(divided, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[1], np.uint8)


def straighten(picture: npt.NDArray[np.uint8], band: float, ratio: int = 1) -> npt.NDArray[np.uint8]:
    """Shift the columns of `[H, W]` until the middle of their ink lies level, and keep a band of its height."""
    height, width = picture.shape
    ink = (_threshold(picture, 110, ratio) == 0).astype(float)
    ink += 1e-3 / height  # where there is none, the middle is that of the picture
    moments = np.stack([np.arange(height) @ ink, ink.sum(0)])
    smoothing = cv2.getGaussianKernel(8 * _ALONG * ratio + 1, _ALONG * ratio)
    moment, mass = cv2.sepFilter2D(moments, -1, smoothing, np.ones(1), borderType=cv2.BORDER_REPLICATE)
    reach = round(height * band / 2)
    rows = np.arange(-reach, reach, dtype=np.float32)[:, None] + (moment / mass).astype(np.float32)
    columns = np.broadcast_to(np.arange(width, dtype=np.float32), rows.shape).copy()
    return np.asarray(cv2.remap(picture, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _after(first: Change, then: Change) -> Change:
    return lambda pictures: then(first(pictures))


def _at_density(ratio: int) -> dict[str, Preprocessing]:
    plain: dict[str, Change] = {
        "none": lambda pictures: pictures,
        **{f"blur {sigma}": _each(partial(_blurred, sigma=sigma * ratio)) for sigma in (0.8, 1.2, 1.5)},
        **{f"median {side}": _each(partial(_median, side=(side - 1) * ratio + 1)) for side in (3, 5)},
        **{
            f"threshold {level}": _each(partial(_threshold, level=level, ratio=ratio))
            for level in (80, 95, 110, 125, 140)
        },
        "adaptive threshold": _each(partial(_adaptive, ratio=ratio)),
        "flattened": _each(partial(_flat, ratio=ratio)),
    }
    straightened = {
        f"straightened to {band:.0%}, {name}": _after(_each(partial(straighten, band=band, ratio=ratio)), plain[name])
        for band in _BANDS
        for name in ("none", f"blur {BLUR}", "threshold 110")
    }
    return {name: Preprocessing(change, ratio) for name, change in (plain | straightened).items()}


halve = _each(_half)
"""Halve pictures each way: a pixel becomes the mean of two by two."""


def preprocessings(pixel_ratio: int) -> dict[str, Preprocessing]:
    """Return the preprocessings of pictures of a density by name.

    Pictures of double density are prepared as they are, and halved as if they had been of single density. Thresholds
    follow a blur. `flattened` divides by the paper around (threshold: Otsu 1979).
    """
    single = _at_density(1) | {"half size": Preprocessing(halve, 0.5)}
    if pixel_ratio == 1:
        return single
    halved = {
        f"{HALVED}{name}": Preprocessing(_after(halve, change), ratio) for name, (change, ratio) in single.items()
    }
    return _at_density(pixel_ratio) | halved

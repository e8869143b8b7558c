"""What an attacker does to grey pictures before reading them; each is one call of OpenCV or two."""

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt

Pictures = npt.NDArray[np.uint8]
"""`[N, H, W]`, grey, dark ink on light paper"""
Preprocessing = Callable[[Pictures], Pictures]

BLUR = 1.2
"""Pixels: as much as takes the grain away and leaves the strokes."""
_SMOOTHING = cv2.getGaussianKernel(193, 24)  # 24 pixels along the line: about a glyph
_BANDS = 0.65, 0.8  # of the height: room for a line that lies level


def _each(change: Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.uint8]]) -> Preprocessing:
    def preprocess(pictures: Pictures) -> Pictures:
        return np.stack([change(picture) for picture in pictures])

    return preprocess


def blurred(picture: npt.NDArray[np.uint8], sigma: float) -> npt.NDArray[np.uint8]:
    """Blur `[H, W]` by a Gaussian of `sigma` pixels."""
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.uint8)


def _threshold(picture: npt.NDArray[np.uint8], level: int) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.threshold(blurred(picture, BLUR), level - 1, 255, cv2.THRESH_BINARY)[1], np.uint8)


def _median(picture: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.medianBlur(picture, side), np.uint8)


def _adaptive(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    options = (255, cv2.ADAPTIVE_THRESH_GAUSSIAN_C, cv2.THRESH_BINARY, 31, 20)
    return np.asarray(cv2.adaptiveThreshold(blurred(picture, BLUR), *options), np.uint8)


def _half(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)


def _flat(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    divided = cv2.divide(blurred(picture, BLUR), blurred(picture, 20), scale=200)
    return np.asarray(cv2.threshold(divided, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[1], np.uint8)


def straighten(picture: npt.NDArray[np.uint8], band: float) -> npt.NDArray[np.uint8]:
    """Shift the columns of `[H, W]` until the middle of their ink lies level, and keep a band of its height."""
    height, width = picture.shape
    ink = (_threshold(picture, 110) == 0).astype(float)
    ink += 1e-3 / height  # where there is none, the middle is that of the picture
    moments = np.stack([np.arange(height) @ ink, ink.sum(0)])
    moment, mass = cv2.sepFilter2D(moments, -1, _SMOOTHING, np.ones(1), borderType=cv2.BORDER_REPLICATE)
    reach = round(height * band / 2)
    rows = np.arange(-reach, reach, dtype=np.float32)[:, None] + (moment / mass).astype(np.float32)
    columns = np.broadcast_to(np.arange(width, dtype=np.float32), rows.shape).copy()
    return np.asarray(cv2.remap(picture, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _straightened(band: float, then: Preprocessing) -> Preprocessing:
    straight = _each(partial(straighten, band=band))
    return lambda pictures: then(straight(pictures))


_PLAIN: dict[str, Preprocessing] = {
    "none": lambda pictures: pictures,
    **{f"blur {sigma}": _each(partial(blurred, sigma=sigma)) for sigma in (0.8, 1.2, 1.5)},
    **{f"median {side}": _each(partial(_median, side=side)) for side in (3, 5)},
    **{f"threshold {level}": _each(partial(_threshold, level=level)) for level in (80, 95, 110, 125, 140)},
    "adaptive threshold": _each(_adaptive),
    "half size": _each(_half),
    "flattened": _each(_flat),
}
PREPROCESSINGS: dict[str, Preprocessing] = _PLAIN | {
    f"straightened to {band:.0%}, {name}": _straightened(band, _PLAIN[name])
    for band in _BANDS
    for name in ("none", f"blur {BLUR}", "threshold 110")
}
"""Preprocessings by name; thresholds follow a blur. `flattened` divides by the paper around (threshold: Otsu 1979)."""

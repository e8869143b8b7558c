"""The finish: strokes become ink on paper. All in bytes that saturate, picture by picture, which is quickest."""

from collections.abc import Sequence
from functools import cache
from statistics import NormalDist
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from gantcha.drawing.look import GREY_LEVELS, Look, Range

Bytes = npt.NDArray[np.uint8]

_LEVEL = 256 // GREY_LEVELS
WHITE = 256 - _LEVEL
"""What a brightness of 1 is in bytes, and what full ink takes from it: a multiple of the grey levels."""
_PAPER = 0.94
POINTS = 3, 7
"""Points of the grids that weight and brightness are drawn on, from top to bottom and along the line."""
_SHARPNESS = 3  # how steeply the soft edges of strokes become ink: what is steeper is harder to read
_KEPT = 64  # of a stroke's soft edge below its middle, in bytes: what lies there is needed to enlarge the edge
_NORMAL = np.array([NormalDist().inv_cdf((number + 0.5) / 256) for number in range(256)])
"""256 equally likely numbers of a normal distribution: grey levels show no finer ones"""


class Ink(NamedTuple):
    """What ink strokes are drawn in."""

    lightness: Bytes
    """share of a stroke's soft edge that is paper, in bytes less `_KEPT`: a grid, interpolated over the stroke"""
    darkness: float
    """of full ink, in bytes"""


def choose_inks(
    contrast: Range, points: tuple[int, int], count: int, rng: np.random.Generator, look: Look
) -> list[Ink]:
    """Choose inks of a contrast, whose weight varies by a grid of `points`."""
    lightness = _to_bytes(rng.uniform(*look.lightness, (count, *points)) * 255 - _KEPT)
    return [*map(Ink, lightness, (rng.uniform(*contrast, count) * WHITE).tolist())]


class Scribbles(NamedTuple):
    """Glyphs in pale ink, some of them used in several pictures."""

    windows: Bytes
    """their ink, `[M, side, side]`"""
    which: Sequence[Sequence[int]]
    """windows of each picture"""
    corners: Sequence[Sequence[Sequence[int]]]
    """top and left of each in its picture, of which it may be partly outside"""

    def draw(self, number: int, inked: Bytes) -> None:
        """Draw those of a picture over what is `inked`, `[H, W]`."""
        side = self.windows.shape[1]
        for which, (top, left) in zip(self.which[number], self.corners[number], strict=True):
            place = inked[max(top, 0) : top + side, max(left, 0) : left + side]
            height, width = place.shape
            first, start = max(-top, 0), max(-left, 0)
            cv2.max(place, self.windows[which, first : first + height, start : start + width], dst=place)


def finish(strokes: Bytes, scribbles: Scribbles, rng: np.random.Generator, look: Look) -> Bytes:
    """Draw strokes `[N, H, W]` in ink over pale scribbles on paper.

    Returns grey levels, 0 to `GREY_LEVELS - 1`, at the density of the look: `[N, H * pixel_ratio, W * pixel_ratio]`.
    """
    count, height, width = strokes.shape
    levels = np.empty((count, height * look.pixel_ratio, width * look.pixel_ratio), np.uint8)
    inks = choose_inks(look.contrast, POINTS, count, rng, look)
    # Half a level more, to round by.
    papers = _to_bytes(rng.uniform(_PAPER - 2 * look.unevenness, _PAPER, (count, *POINTS)) * WHITE + _LEVEL / 2)
    for number, (picture, paper) in enumerate(zip(levels, papers, strict=True)):
        inked = np.zeros(picture.shape, np.uint8)
        scribbles.draw(number, inked)
        draw_ink(strokes[number], inks[number], inked, look)
        cv2.subtract(draw_paper(paper, picture.shape, rng, look), inked, dst=picture)
        if look.theme == "dark":
            np.invert(picture, out=picture)
        np.right_shift(picture, _LEVEL.bit_length() - 1, out=picture)
    return levels


def draw_ink(strokes: Bytes, ink: Ink, inked: Bytes, look: Look) -> None:
    """Draw strokes `[H, W]`, 0 paper to 255 full stroke, over what is `inked`.

    `inked` has the density of the look, `[H * pixel_ratio, W * pixel_ratio]`, and 0 to `WHITE` for full ink.
    """
    height, width = strokes.shape
    ratio = look.pixel_ratio
    left, top, across, down = cv2.boundingRect(strokes)
    if not across:
        return
    box = slice(max(top - 1, 0), top + down + 1), slice(max(left - 1, 0), left + across + 1)
    darkness = cv2.subtract(strokes[box], cv2.resize(ink.lightness, (width, height))[box])
    if ratio > 1:
        darkness = cv2.resize(darkness, None, fx=ratio, fy=ratio)
    # From the soft edge's middle the ink gets darker and lighter as steeply, whatever its contrast.
    cv2.subtract(darkness, round(_KEPT - 127.5 / _SHARPNESS), dst=darkness)  # type: ignore[call-overload] # takes numbers
    cv2.convertScaleAbs(darkness, darkness, _SHARPNESS * ink.darkness / 255)
    cv2.threshold(darkness, ink.darkness, 0, cv2.THRESH_TRUNC, dst=darkness)
    place = inked[box[0].start * ratio : box[0].stop * ratio, box[1].start * ratio : box[1].stop * ratio]
    cv2.max(place, darkness, dst=place)


def draw_paper(brightness: Bytes, shape: tuple[int, ...], rng: np.random.Generator, look: Look) -> Bytes:
    """Draw paper with noise, `[H, W]`; `brightness` is a grid that is interpolated over it."""
    if not look.noise and not look.unevenness:
        return np.full(shape, brightness[0, 0])
    height, width = shape
    side = look.grain * look.pixel_ratio
    even = np.asarray(cv2.resize(brightness, (-(-width // side), -(-height // side))), np.uint8)
    paper = add_noise(even, rng, look) if look.noise else even
    return _enlarge(paper, side)[:height, :width] if side > 1 else paper


def add_noise(brightness: Bytes, rng: np.random.Generator, look: Look) -> Bytes:
    """Add Gaussian noise to brightness in bytes, `[H, W]`; less than a half counts as a half."""
    words = rng.integers(2**64, size=-(-brightness.size // 8), dtype=np.uint64)  # quicker than bytes
    numbers = words.view(np.uint8)[: brightness.size].reshape(brightness.shape)
    above_half = cv2.subtract(brightness, 128)  # type: ignore[call-overload] # takes numbers
    return np.asarray(cv2.add(above_half, cv2.LUT(numbers, _noise(look.noise))), np.uint8)


@cache
def _noise(strength: float) -> Bytes:
    """Return equally likely numbers of a normal distribution, in bytes around 128: `[256]`."""
    return _to_bytes(128 + WHITE * strength * _NORMAL)


def _enlarge(texture: Bytes, side: int) -> Bytes:
    """Enlarge `[H, W]` in whole blocks: finer grains would not compress."""
    height, width = texture.shape
    if side != 2:
        return np.asarray(cv2.resize(texture, (width * side, height * side), interpolation=cv2.INTER_NEAREST), np.uint8)
    # As both bytes of a word: the usual size, for which OpenCV takes four times as long.
    return np.multiply(texture, 0x0101, dtype=np.uint16).view(np.uint8).repeat(2, 0)


def _to_bytes(values: npt.NDArray[np.float64]) -> Bytes:
    return np.rint(values).clip(0, 255).astype(np.uint8)

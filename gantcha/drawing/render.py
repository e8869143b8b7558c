"""Rendering: glyphs to finished captchas. Each function takes a whole batch and a random generator."""

from statistics import NormalDist
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from gantcha.alphabet import SIDE
from gantcha.drawing.crossing import Crossed, cross_out
from gantcha.drawing.interpolate import Floats, interpolate
from gantcha.drawing.look import GREY_LEVELS, Look
from gantcha.drawing.text_lines import (
    Owners,
    Parameters,
    Strokes,
    TextLines,
    bend_lines,
    bits,
    concat_pics,
    distortions,
    extents,
    redraw,
)

_USES = 4  # of each rotated glyph among the scribbles of a batch
_NORMAL = np.array([NormalDist().inv_cdf((number + 0.5) / 256) for number in range(256)], np.float32)
"""256 equally likely numbers of a normal distribution: eight grey levels show no finer ones"""


class Rendered(NamedTuple):
    """Captchas and, if they are labelled, what is known of their glyphs."""

    pictures: npt.NDArray[np.uint8]
    """grey levels, 0 to `GREY_LEVELS - 1`, `[N, H, W]`"""
    boxes: npt.NDArray[np.int64]
    """left, top, right and bottom of each glyph's ink, the last two exclusive: `[N, L, 4]`"""
    owners: Owners
    """`[N, H, W]`, bit k set where glyph k has ink; not where strokes cross it out"""
    parameters: Parameters


def render(
    glyphs: npt.NDArray[np.uint8],
    straight: npt.NDArray[np.uint8],
    rng: np.random.Generator,
    look: Look,
    crossed: Crossed | None = None,
    *,
    labelled: bool = False,
) -> Rendered:
    """Draw glyphs `[N, L, 28, 28]` as captchas.

    `straight` `[M, 28, 28]` are upright strokes of the same hand, such as the digit 1, to cross the line with.
    Glyphs that are `crossed` `[N, L]`, equally many in each line, are crossed out. Up to 31 glyphs can be labelled.
    """
    lines = _lines(glyphs, straight, rng, look, crossed, owned=labelled)
    pictures = _finish(lines, glyphs, straight, rng, look)
    if not labelled:
        return Rendered(pictures, np.empty((len(pictures), 0, 4), np.int64), lines.owners, lines.parameters)
    own = bits(glyphs.shape[1])[:, None]
    (left, right), (top, bottom) = (
        extents((np.bitwise_or.reduce(lines.owners, axis)[:, None] & own) > 0) for axis in (1, 2)
    )
    return Rendered(pictures, np.stack([left, top, right, bottom], 2), lines.owners, lines.parameters)


def _lines(
    glyphs: npt.NDArray[np.uint8],
    straight: npt.NDArray[np.uint8],
    rng: np.random.Generator,
    look: Look,
    crossed: Crossed | None,
    *,
    owned: bool = False,
) -> TextLines:
    lines = concat_pics(glyphs, rng, look, owned=owned)
    length = glyphs.shape[1]
    if crossed is not None and crossed.any():
        length -= int(crossed[0].sum())
        lines = cross_out(lines, crossed, straight, rng, look)
    return bend_lines(lines, look.width(length), rng, look)


def _finish(
    lines: TextLines,
    glyphs: npt.NDArray[np.uint8],
    straight: npt.NDArray[np.uint8],
    rng: np.random.Generator,
    look: Look,
) -> npt.NDArray[np.uint8]:
    inked = vary_weight(cross(lines.strokes, straight, rng, look), rng, look)
    pale = vary_weight(scribble(glyphs, inked.shape, rng, look), rng, look)
    return add_noise(lay_on_paper(inked, pale, rng, look), rng, look)


def cross(strokes: Strokes, straight: npt.NDArray[np.uint8], rng: np.random.Generator, look: Look) -> Strokes:
    """Draw upright strokes `[M, 28, 28]` across the lines, rotated, stretched and bent, in place."""
    count, height, width = strokes.shape
    ratio = look.pixel_ratio
    columns, rows = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]

    def drawn(least: float, most: float) -> Floats:
        return rng.uniform(least, most, (count, 1)).astype(np.float32)

    for _ in range(look.strikes):
        away = columns - drawn(0.25, 0.75) * width
        wave = drawn(3, 9) * ratio * np.sin(away / (drawn(18, 40) * ratio) + drawn(0, 2 * np.pi))
        path = drawn(0.35, 0.65) * height + drawn(-0.15, 0.15) * away + wave
        along = away / (drawn(4, 7) * ratio) + SIDE / 2
        width_of_pixel = drawn(0.6, 0.8) * ratio
        chosen = straight[rng.integers(len(straight), size=count)]
        reach = width_of_pixel[:, 0] * SIDE / 2 + 1  # other rows do not change
        first = np.floor(path.min(1) - reach).clip(0, height - 1).astype(int).tolist()
        end = np.ceil(path.max(1) + reach).clip(1, height).astype(int).tolist()
        beside = SIDE / 2 - path / width_of_pixel
        for picture, stroke in enumerate(chosen):
            crossed = strokes[picture, first[picture] : end[picture]]
            from_y = rows[first[picture] : end[picture]] / width_of_pixel[picture] + beside[picture]
            from_x = np.broadcast_to(along[picture], from_y.shape).copy()
            cv2.max(crossed, cv2.remap(stroke, from_y, from_x, cv2.INTER_LINEAR), dst=crossed)
    return strokes


def scribble(glyphs: npt.NDArray[np.uint8], shape: tuple[int, ...], rng: np.random.Generator, look: Look) -> Strokes:
    """Scatter some of the glyphs `[..., 28, 28]`, rotated, over pictures of this shape `[N, H, W]`.

    A rotated glyph is used in several pictures, at different places: rotating is slow.
    """
    count, height, width = shape
    each = look.scribbles
    pool = glyphs.reshape(-1, SIDE, SIDE)
    turned = -(-count * each // _USES)
    chosen = pool[rng.integers(len(pool), size=turned)]
    windows = redraw(chosen, distortions(turned, np.pi / 2, rng, look))
    side = windows.shape[1]
    middle = rng.uniform([0.2 * height, 0], [0.8 * height, width], (count, each, 2))
    corners = np.rint(middle + side / 2).astype(int)  # in pictures padded by a window on each side
    room = np.zeros((count, height + 2 * side, width + 2 * side), np.uint8)
    which = rng.integers(turned, size=(count, each)) if turned else np.empty((count, 0), int)
    for picture, places, picture_windows in zip(room, corners.tolist(), which.tolist(), strict=True):
        for (top, left), window in zip(places, picture_windows, strict=True):
            place = picture[top : top + side, left : left + side]
            cv2.max(place, windows[window], dst=place)
    return room[:, side:-side, side:-side]


def vary_weight(strokes: Strokes, rng: np.random.Generator, look: Look) -> Floats:
    """Vary the weight of the strokes along the line: `[N, H, W]`, 0 paper to 1 ink."""
    count, height, width = strokes.shape
    sharpness = 3 * look.pixel_ratio
    edge = rng.uniform(*look.lightness, (count, 3, 7)) * sharpness - 0.5
    inked: Floats = strokes * np.float32(sharpness / 255)
    inked -= interpolate(edge, (height, width))
    return inked.clip(0, 1, out=inked)


def lay_on_paper(inked: Floats, pale: Floats, rng: np.random.Generator, look: Look) -> Floats:
    """Put ink over pale ink, `[N, H, W]` each, on uneven paper: brightness, 0 to 1."""
    count, *size = inked.shape
    points = rng.uniform(0.95 - 2 * look.unevenness, 0.95, (count, 3, 7))
    height, width = (pixels // look.pixel_ratio for pixels in size)
    paper = _as_grains(interpolate(points, (height, width)), look.pixel_ratio)
    ink, pale_ink = (
        strokes * interpolate(rng.uniform(*contrast, (count, 3, 7)), (size[0], size[1]))
        for strokes, contrast in ((inked, look.contrast), (pale, look.pale_contrast))
    )
    brightness: Floats = np.subtract(paper, np.maximum(ink, pale_ink, out=ink), out=ink)
    return 1 - brightness if look.theme == "dark" else brightness


def add_noise(brightness: Floats, rng: np.random.Generator, look: Look) -> npt.NDArray[np.uint8]:
    """Add Gaussian noise: grey levels, 0 to `GREY_LEVELS - 1`, `[N, H, W]`."""
    count, height, width = brightness.shape
    grain = look.grain * look.pixel_ratio
    grains = (count, -(-height // grain), -(-width // grain))
    steps = GREY_LEVELS - 1
    noise = _NORMAL * np.float32(look.noise * steps) + np.float32(0.5)  # adding a half turns truncation into rounding
    levels = brightness * np.float32(steps)
    levels += _as_grains(noise[rng.integers(len(noise), size=grains, dtype=np.uint8)], grain)[:, :height, :width]
    return levels.clip(0, steps, out=levels).astype(np.uint8)


def _as_grains(texture: Floats, side: int) -> Floats:
    """Enlarge `[N, H, W]` in whole blocks: finer grains would not compress."""
    if side == 1:
        return texture
    count, height, width = texture.shape
    size = (width * side, count * height * side)
    enlarged = cv2.resize(texture.reshape(-1, width), size, interpolation=cv2.INTER_NEAREST)
    return np.asarray(enlarged, np.float32).reshape(count, height * side, width * side)

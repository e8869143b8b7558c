"""Rendering: glyphs to finished captchas. Each function takes a whole batch and a random generator."""

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from gantcha.alphabet import SIDE
from gantcha.drawing.crossing import Crossed, cross_out
from gantcha.drawing.finish import Scribbles, choose_inks, draw_ink, finish
from gantcha.drawing.look import Look
from gantcha.drawing.text_lines import (
    FAINT,
    BentLines,
    Owners,
    Parameters,
    Strokes,
    bend_lines,
    bits,
    concat_pics,
    distortions,
    extents,
    redraw,
)

_USES = 8  # of each rotated glyph among the scribbles of a batch


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
    strokes = cross(lines.strokes, straight, rng, look)
    pictures = finish(strokes, scribble(glyphs, strokes.shape, rng, look), rng, look)
    if not labelled:
        return Rendered(pictures, np.empty((len(pictures), 0, 4), np.int64), lines.owners, lines.parameters)
    own = bits(glyphs.shape[1])[:, None]
    (left, right), (top, bottom) = (
        extents((np.bitwise_or.reduce(lines.owners, axis)[:, None] & own) > 0) for axis in (1, 2)
    )
    boxes = np.stack([left, top, right, bottom], 2) * look.pixel_ratio
    owners: Owners = lines.owners.repeat(look.pixel_ratio, 1).repeat(look.pixel_ratio, 2)
    return Rendered(pictures, boxes, owners, lines.parameters)


def _lines(
    glyphs: npt.NDArray[np.uint8],
    straight: npt.NDArray[np.uint8],
    rng: np.random.Generator,
    look: Look,
    crossed: Crossed | None,
    *,
    owned: bool = False,
) -> BentLines:
    lines = concat_pics(glyphs, rng, look, owned=owned)
    length = glyphs.shape[1]
    if crossed is not None and crossed.any():
        length -= int(crossed[0].sum())
        lines = cross_out(lines, crossed, straight, rng, look)
    return bend_lines(lines, look.width(length), rng, look)


def cross(strokes: Strokes, straight: npt.NDArray[np.uint8], rng: np.random.Generator, look: Look) -> Strokes:
    """Draw upright strokes `[M, 28, 28]` across the lines, rotated, stretched and bent, in place."""
    count, height, width = strokes.shape
    columns, rows = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    half_width, half_length = (_reach(straight, axis) for axis in (1, 2))

    def drawn(least: float, most: float) -> npt.NDArray[np.float32]:
        return rng.uniform(least, most, (count, 1)).astype(np.float32)

    for _ in range(look.strikes):
        middle, stretch, width_of_pixel = drawn(0.25, 0.75) * width, drawn(4, 7), drawn(0.6, 0.8)
        away = columns - middle
        path = drawn(0.35, 0.65) * height + drawn(-0.15, 0.15) * away
        path += drawn(3, 9) * np.sin(away / drawn(18, 40) + drawn(0, 2 * np.pi))
        along, beside = away / stretch + SIDE / 2, SIDE / 2 - path / width_of_pixel
        # Only the part of the picture that the stroke can reach.
        reach = half_length * stretch, half_width * width_of_pixel + 1
        reached = np.abs(away) <= reach[0]
        left, right = extents(reached)
        top = np.where(reached, path - reach[1], height).min(1).clip(0, height).astype(int)
        bottom = np.where(reached, path + reach[1] + 2, 0).max(1).clip(0, height).astype(int)
        boxes = zip(*(ends.tolist() for ends in (top, bottom, left, right)), strict=True)
        chosen = straight[rng.integers(len(straight), size=count)]
        from_rows = rows / width_of_pixel[:, None]
        for number, (stroke, (first, last, start, end)) in enumerate(zip(chosen, boxes, strict=True)):
            from_y = from_rows[number, first:last] + beside[number, start:end]
            from_x = along[number, start:end][None].repeat(len(from_y), 0)
            crossed = strokes[number, first:last, start:end]
            cv2.max(crossed, cv2.remap(stroke, from_y, from_x, cv2.INTER_LINEAR), dst=crossed)
    return strokes


def _reach(strokes: npt.NDArray[np.uint8], axis: int) -> float:
    """Return how far from the middle any of the strokes `[M, 28, 28]` has ink."""
    start, end = extents(strokes.max((0, axis)) > FAINT)
    return float(max(SIDE / 2 - start, end - SIDE / 2)) + 1


def scribble(glyphs: npt.NDArray[np.uint8], shape: tuple[int, ...], rng: np.random.Generator, look: Look) -> Scribbles:
    """Scatter some of the glyphs `[..., 28, 28]`, rotated and in pale ink, over pictures of this shape `[N, H, W]`.

    A rotated glyph is used in several pictures, at different places: rotating is slow.
    """
    count, height, width = shape
    pool = glyphs.reshape(-1, SIDE, SIDE)
    turned = -(-count * look.scribbles // _USES)
    windows = redraw(pool[rng.integers(len(pool), size=turned)], distortions(turned, np.pi / 2, rng, look))
    side = windows.shape[1] * look.pixel_ratio
    inked = np.zeros((turned, side, side), np.uint8)
    inks = choose_inks(look.pale_contrast, (1, 1), turned, rng, look)
    for window, ink, place in zip(windows, inks, inked, strict=True):
        draw_ink(window, ink, place, look)
    middle = rng.uniform([0.2 * height, 0], [0.8 * height, width], (count, look.scribbles, 2)) * look.pixel_ratio
    corners = np.rint(middle - side / 2).astype(int)
    return Scribbles(inked, rng.integers(max(turned, 1), size=(count, look.scribbles)).tolist(), corners.tolist())

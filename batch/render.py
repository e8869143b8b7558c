"""Rendering: glyphs to finished captchas. Every drawer takes a whole batch and draws its chances from one generator."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from batch.emnist import SIDE

GREY_LEVELS = 8  # a third of the bytes of 256 levels, and the noise hides the steps
HEIGHT = 80
PITCH = 40
"""Pixels of width for each character."""
MOST_BOXES = 8
"""Characters of a captcha whose boxes can be had."""
_MARGIN = 2  # beyond what the bend may add
_INKED = 96  # of 255: what counts as ink where glyphs are set close
_USES = 4  # of a turned glyph among the scribbles of a batch
_NORMAL = np.array([NormalDist().inv_cdf((number + 0.5) / 256) for number in range(256)], np.float32)
"""256 numbers of a normal distribution, alike in weight: eight grey levels show no finer ones"""
_AFFINE = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP

cv2.setNumThreads(1)  # captchas are drawn side by side on threads of our own

Floats = npt.NDArray[np.float32]
Strokes = npt.NDArray[np.uint8]
"""`[N, H, W]`, 0 paper to 255 full stroke"""
Range = tuple[float, float]


@dataclass(frozen=True)
class RenderSettings:
    """How captchas look. Lengths are pixels of an image of single density, angles radians, brightness 0 to 1."""

    pixel_ratio: int = 1
    """2 for screens of high density: twice as wide and high."""
    dark: bool = False
    """Light strokes on dark paper."""
    enlargement: Range = (1.75, 2.2)
    """Of a glyph, drawn for width and height apart."""
    size: Range = (0.78, 1.02)
    """Of a whole line: small lines lie anywhere in the picture, so that no place is a character's own."""
    slant: float = 0.2
    """Most that all glyphs of a line lean, either way, of their height."""
    turn: float = 0.1
    """Most that a glyph is turned, either way."""
    shear: float = 0.12
    """Most that a glyph's top is pushed aside, either way, of its height."""
    rise: float = 5.0
    """Most that a glyph stands above or below the line."""
    gap: Range = (-1.0, 4.0)
    """Between the ink of neighbours; below 0 they overlap."""
    lift: float = 5.0
    """Most that the whole line stands above or below the middle."""
    wave: Range = (3.0, 8.0)
    """How far the line swings above and below the middle."""
    wave_length: Range = (110.0, 200.0)
    bend: float = 2.5
    """Most that the line is pulled aside besides, at each point of a coarse grid."""
    distractors: int = 1
    """Thin strokes in the same ink that run along the line's upper or lower edge."""
    lightness: Range = (0.32, 0.45)
    """How much of a stroke's soft edge is paper: the stroke's weight, which varies along the line."""
    scribbles: int = 8
    """Glyphs in pale ink that the line is written over."""
    unevenness: float = 0.05
    """Of the paper's brightness."""
    contrast: Range = (0.82, 0.92)
    """Of ink to paper."""
    pale_contrast: Range = (0.27, 0.35)
    """Of pale ink to paper."""
    noise: float = 0.15
    """Standard deviation of the Gaussian noise, in brightness."""
    grain: int = 2
    """Side of the squares that the noise is made of: too coarse to be smoothed away."""


DIFFICULTIES = {
    "easy": RenderSettings(
        size=(0.9, 1.05), slant=0.1, gap=(0.0, 4.0), wave=(2.0, 5.0), bend=1.5, distractors=0, scribbles=3, noise=0.1
    ),
    "standard": RenderSettings(),
    "hard": RenderSettings(
        turn=0.2,
        shear=0.25,
        gap=(-4.0, 1.0),
        wave=(6.0, 10.0),
        wave_length=(80.0, 150.0),
        bend=4.0,
        distractors=2,
        scribbles=10,
        pale_contrast=(0.35, 0.45),
        noise=0.22,
    ),
}


def to_grey(levels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Spread grey levels over 0 to 255."""
    grey: npt.NDArray[np.uint8] = (np.arange(GREY_LEVELS) * 255 // (GREY_LEVELS - 1)).astype(np.uint8)[levels]
    return grey


class Lines(NamedTuple):
    """Composed lines and where their glyphs are."""

    strokes: Strokes
    places: npt.NDArray[np.float64]
    """`[N, L, 3]`, where each glyph's ink begins and ends, and the height of its middle"""
    owners: npt.NDArray[np.uint8]
    """`[N, H, W]`, bit k set where glyph k has ink; `[0, 0, 0]` where nobody asked for it"""


def render(
    glyphs: npt.NDArray[np.uint8],
    straight: npt.NDArray[np.uint8],
    rng: np.random.Generator,
    settings: RenderSettings,
) -> npt.NDArray[np.uint8]:
    """Draw glyphs `[N, L, 28, 28]` as captchas: grey levels, 0 to `GREY_LEVELS - 1`, `[N, H, W]`.

    `straight` `[M, 28, 28]` are upright strokes of the same hand, such as the digit 1, to cross the line with.
    """
    return _finish(bend_lines(concat_pics(glyphs, rng, settings), rng, settings), glyphs, straight, rng, settings)


def render_boxed(
    glyphs: npt.NDArray[np.uint8],
    straight: npt.NDArray[np.uint8],
    rng: np.random.Generator,
    settings: RenderSettings,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Draw what `render` draws of glyphs `[N, L, 28, 28]`, L up to 8, and give the boxes of their ink `[N, L, 4]`.

    A box is left, top, right and bottom, the last two exclusive.
    """
    lines = bend_lines(concat_pics(glyphs, rng, settings, owned=True), rng, settings)
    pictures = _finish(lines, glyphs, straight, rng, settings)
    bits = 1 << np.arange(glyphs.shape[1], dtype=np.uint8)[:, None]
    (left, right), (top, bottom) = (
        _extents((np.bitwise_or.reduce(lines.owners, axis)[:, None] & bits) > 0) for axis in (1, 2)
    )
    return pictures, np.stack([left, top, right, bottom], 2)


def _finish(
    lines: Lines,
    glyphs: npt.NDArray[np.uint8],
    straight: npt.NDArray[np.uint8],
    rng: np.random.Generator,
    settings: RenderSettings,
) -> npt.NDArray[np.uint8]:
    inked = vary_weight(cross(lines.strokes, straight, rng, settings), rng, settings)
    pale = vary_weight(scribble(glyphs, inked.shape, rng, settings), rng, settings)
    return add_noise(lay_on_paper(inked, pale, rng, settings), rng, settings)


def concat_pics(
    glyphs: npt.NDArray[np.uint8], rng: np.random.Generator, settings: RenderSettings, *, owned: bool = False
) -> Lines:
    """Enlarge, turn and shear glyphs `[N, L, 28, 28]`, each a little otherwise, and set them so close that they touch.

    The lines are as long as they come; `bend_lines` makes them fit.
    """
    count, length = glyphs.shape[:2]
    windows = _redraw(
        glyphs.reshape(-1, SIDE, SIDE),
        _distortions(count * length, settings.turn, rng, settings)
        @ np.repeat(_of_lines(count, rng, settings), length, 0),
    )
    side = windows.shape[1]
    left, right = _extents((windows.max(1) > _INKED).reshape(count, length, side))
    widths = right - left
    # A bar may not vanish in its neighbour: a third of it is the most that overlaps.
    most = np.minimum(widths, np.roll(widths, 1, 1)) / 3
    gaps = np.maximum(rng.uniform(*settings.gap, (count, length)) * settings.pixel_ratio, -most)
    starts = np.cumsum(widths + gaps, 1) - widths - gaps[:, :1]
    x = np.rint(left.max() + starts - left).astype(int)
    most_rise = settings.rise * settings.pixel_ratio
    y = np.rint(most_rise + rng.uniform(-most_rise, most_rise, (count, length))).astype(int)
    windows = windows.reshape(count, length, side, side)
    strokes = _set(windows, x, y, cv2.max)
    owners = np.empty((0, 0, 0), np.uint8)
    if owned:
        bits = 1 << np.arange(length, dtype=np.uint8)[:, None, None]
        owners = _set((windows > _INKED) * bits, x, y, cv2.bitwise_or)
    return Lines(strokes, np.stack([x + left, x + right, y + (side - 1) / 2], 2), owners)


def _set(
    windows: npt.NDArray[np.uint8], x: npt.NDArray[np.int64], y: npt.NDArray[np.int64], join: Callable[..., Any]
) -> npt.NDArray[np.uint8]:
    """Join windows `[N, L, side, side]` into lines at `x`, `y` `[N, L]`: `[N, H, W]`."""
    side = windows.shape[-1]
    lines = np.zeros((len(windows), side + y.max(), side + x.max()), np.uint8)
    for line, line_x, line_y, line_windows in zip(lines, x.tolist(), y.tolist(), windows, strict=True):
        for at_x, at_y, window in zip(line_x, line_y, line_windows, strict=True):
            place = line[at_y : at_y + side, at_x : at_x + side]
            join(place, window, dst=place)
    return lines


def _of_lines(count: int, rng: np.random.Generator, settings: RenderSettings) -> npt.NDArray[np.float64]:
    """Draw what happens to all glyphs of a line alike: matrices `[count, 2, 2]`."""
    size = rng.uniform(*settings.size, count)
    slant = rng.uniform(-settings.slant, settings.slant, count)
    matrices: npt.NDArray[np.float64] = np.array([[size, slant * size], [np.zeros(count), size]]).transpose(2, 0, 1)
    return matrices


def _redraw(glyphs: npt.NDArray[np.uint8], distortions: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """Draw glyphs `[N, 28, 28]` distorted in the middle of windows `[N, side, side]` that have room for them."""
    (a, b), (c, d) = distortions.transpose(1, 2, 0)
    norms = (np.hypot(a + d, b - c) + np.hypot(a - d, b + c)) / 2  # spectral: of what is longest
    side = math.ceil(SIDE * norms.max(initial=1))
    middle, glyph_middle = (side - 1) / 2, (SIDE - 1) / 2
    # Of a window only the box is drawn that a glyph, and the pixel around it that it fades out in, can reach.
    reach = np.abs(distortions).sum(2) * (glyph_middle + 1)
    starts = np.floor(middle - reach).clip(0).astype(int)
    ends = np.ceil(middle + reach + 1).clip(max=side).astype(int)
    inverse = np.linalg.inv(distortions)
    from_box = np.concatenate([inverse, glyph_middle + inverse @ (starts - middle)[:, :, None]], 2)
    windows = np.zeros((len(glyphs), side, side), np.uint8)
    boxes = zip(glyphs, from_box, windows, starts.tolist(), ends.tolist(), strict=True)
    for glyph, matrix, window, (left, top), (right, bottom) in boxes:
        box = window[top:bottom, left:right]
        cv2.warpAffine(glyph, matrix, box.shape[::-1], dst=box, flags=_AFFINE)
    return windows


def _extents(inked: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Where the True of `[..., W]` begin and end; both in the middle where there are none."""
    width = inked.shape[-1]
    none = ~inked.any(-1)
    start, end = inked.argmax(-1), width - inked[..., ::-1].argmax(-1)
    return np.where(none, width // 2, start), np.where(none, width // 2, end)


def _distortions(
    count: int, turn: float, rng: np.random.Generator, settings: RenderSettings
) -> npt.NDArray[np.float64]:
    """Draw what happens to each glyph: matrices `[count, 2, 2]` from its own frame to the picture's."""
    angle = rng.uniform(-turn, turn, count)
    across, down = rng.uniform(*settings.enlargement, (2, count)) * settings.pixel_ratio
    shear = rng.uniform(-settings.shear, settings.shear, count) * down
    turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    sheared = np.array([[across, shear], [np.zeros(count), down]])
    distortions: npt.NDArray[np.float64] = np.einsum("ijn,jkn->nik", turned, sheared)
    return distortions


def bend_lines(lines: Lines, rng: np.random.Generator, settings: RenderSettings) -> Lines:
    """Let the lines swing, pull them this way and that like a sheet of rubber, and fit them into the picture's width.

    The displacements are those of Simard et al. 2003, smooth because they are drawn on a coarse grid.
    """
    count, length = lines.places.shape[:2]
    ratio = settings.pixel_ratio
    height, width = HEIGHT * ratio, PITCH * length * ratio
    pull, margin = settings.bend * ratio, _MARGIN * ratio
    sideways, down = (rng.uniform(-pull, pull, (count, 3, 3 + length)) for _ in range(2))
    swing = rng.uniform(*settings.wave, (count, 1)) * ratio
    columns, rows = np.arange(width), np.arange(height)
    turns = columns / (rng.uniform(*settings.wave_length, (count, 1)) * ratio) + rng.random((count, 1))
    start, end = lines.places[:, :, 0].min(1), lines.places[:, :, 1].max(1)
    across = _fit(start, end, width - 2 * (margin + pull), width / 2, rng)
    room_along = height - 2 * (margin + pull + swing[:, 0])
    along = _fit(*_extents(lines.strokes.max(2) > _INKED), room_along, height / 2, rng, settings.lift * ratio)
    from_x, from_y, stretch = across.source(columns), along.source(rows), along.stretch[:, None]
    x = _ease_onto(np.zeros_like(from_y), from_x, sideways)
    y = _ease_onto(from_y, swing * np.sin(2 * np.pi * turns) * stretch, down * stretch[:, None])
    strokes = np.empty((count, height, width), np.uint8)
    for line, line_x, line_y, bent in zip(lines.strokes, x, y, strokes, strict=True):
        cv2.remap(line, line_x, line_y, cv2.INTER_LINEAR, dst=bent)
    owners = np.empty_like(strokes[: len(lines.owners)])
    for line, line_x, line_y, bent in zip(lines.owners, x, y, owners, strict=False):
        cv2.remap(line, line_x, line_y, cv2.INTER_NEAREST, dst=bent)
    places = np.stack(
        [*(across.target(lines.places[:, :, side]) for side in (0, 1)), along.target(lines.places[:, :, 2])], 2
    )
    # A point is drawn where the picture's pixel is that was pulled to it.
    picture = np.arange(count)[:, None]
    at_x = np.rint(places[:, :, :2].mean(2)).astype(int).clip(0, width - 1)
    at_y = np.rint(places[:, :, 2]).astype(int).clip(0, height - 1)
    places[:, :, :2] -= ((x[picture, at_y, at_x] - from_x[picture, at_x]) / across.stretch[:, None])[:, :, None]
    places[:, :, 2] -= (y[picture, at_y, at_x] - from_y[picture, at_y]) / stretch
    return Lines(strokes, places, owners)


class _Fit(NamedTuple):
    """How one axis of lines is pressed and moved into that of pictures; all `[N]`."""

    stretch: npt.NDArray[np.float64]
    source_middle: npt.NDArray[np.float64]
    middle: npt.NDArray[np.float64]

    def source(self, target: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Where in the lines the places `[P]` of the pictures come from: `[N, P]`."""
        return (target - self.middle[:, None]) * self.stretch[:, None] + self.source_middle[:, None]

    def target(self, source: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Where in the pictures the places `[N, P]` of the lines go to: `[N, P]`."""
        return (source - self.source_middle[:, None]) / self.stretch[:, None] + self.middle[:, None]


def _fit(
    start: npt.NDArray[np.integer[Any] | np.float64],
    end: npt.NDArray[np.integer[Any] | np.float64],
    room: npt.NDArray[np.float64] | float,
    middle: float,
    rng: np.random.Generator,
    most: float = math.inf,
) -> _Fit:
    """Press lines that are longer than their room, and move them within it, by `most` at the most."""
    stretch = np.maximum(1, (end - start) / room)
    free = np.minimum((room - (end - start) / stretch) / 2, most)
    source_middle: npt.NDArray[np.float64] = (start + end) / 2
    return _Fit(stretch, source_middle, middle + rng.uniform(-1, 1, len(start)) * free)


def cross(
    strokes: Strokes, straight: npt.NDArray[np.uint8], rng: np.random.Generator, settings: RenderSettings
) -> Strokes:
    """Draw upright strokes of the same hand `[M, 28, 28]`, laid down, drawn out and bent, along the lines, in place."""
    count, height, width = strokes.shape
    ratio = settings.pixel_ratio
    columns, rows = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]

    def drawn(least: float, most: float) -> Floats:
        return rng.uniform(least, most, (count, 1)).astype(np.float32)

    for _ in range(settings.distractors):
        away = columns - drawn(0.25, 0.75) * width
        wave = drawn(3, 9) * ratio * np.sin(away / (drawn(18, 40) * ratio) + drawn(0, 2 * np.pi))
        edge = np.where(drawn(-1, 1) < 0, drawn(0.06, 0.16), drawn(0.84, 0.94))
        path = edge * height + drawn(-0.15, 0.15) * away + wave
        along = away / (drawn(4, 7) * ratio) + SIDE / 2
        width_of_pixel = drawn(0.6, 0.8) * ratio
        chosen = straight[rng.integers(len(straight), size=count)]
        reach = width_of_pixel[:, 0] * SIDE / 2 + 1  # other rows stay as they are
        first = np.floor(path.min(1) - reach).clip(0, height - 1).astype(int).tolist()
        end = np.ceil(path.max(1) + reach).clip(1, height).astype(int).tolist()
        beside = SIDE / 2 - path / width_of_pixel
        for picture, stroke in enumerate(chosen):
            crossed = strokes[picture, first[picture] : end[picture]]
            from_y = rows[first[picture] : end[picture]] / width_of_pixel[picture] + beside[picture]
            from_x = np.broadcast_to(along[picture], from_y.shape).copy()
            cv2.max(crossed, cv2.remap(stroke, from_y, from_x, cv2.INTER_LINEAR), dst=crossed)
    return strokes


def scribble(
    glyphs: npt.NDArray[np.uint8], shape: tuple[int, ...], rng: np.random.Generator, settings: RenderSettings
) -> Strokes:
    """Scatter some of the glyphs `[..., 28, 28]`, turned any way, over pictures of this shape `[N, H, W]`.

    A turned glyph may come up in several pictures, elsewhere: fewer are turned than pictures hold.
    """
    count, height, width = shape
    each = settings.scribbles
    pool = glyphs.reshape(-1, SIDE, SIDE)
    turned = -(-count * each // _USES)
    chosen = pool[rng.integers(len(pool), size=turned)]
    windows = _redraw(chosen, _distortions(turned, np.pi / 2, rng, settings))
    side = windows.shape[1]
    middle = rng.uniform([0.2 * height, 0], [0.8 * height, width], (count, each, 2))
    corners = np.rint(middle + side / 2).astype(int)  # in a room that is wider by a window on each side
    room = np.zeros((count, height + 2 * side, width + 2 * side), np.uint8)
    which = rng.integers(turned, size=(count, each)) if turned else np.empty((count, 0), int)
    for picture, places, picture_windows in zip(room, corners.tolist(), which.tolist(), strict=True):
        for (top, left), window in zip(places, picture_windows, strict=True):
            place = picture[top : top + side, left : left + side]
            cv2.max(place, windows[window], dst=place)
    return room[:, side:-side, side:-side]


def vary_weight(strokes: Strokes, rng: np.random.Generator, settings: RenderSettings) -> Floats:
    """Thin and thicken the strokes along their way: `[N, H, W]`, 0 paper to 1 ink."""
    count, height, width = strokes.shape
    sharpness = 3 * settings.pixel_ratio
    edge = rng.uniform(*settings.lightness, (count, 3, 7)) * sharpness - 0.5
    inked: Floats = strokes * np.float32(sharpness / 255)
    inked -= _ease(edge, (height, width))
    return inked.clip(0, 1, out=inked)


def lay_on_paper(inked: Floats, pale: Floats, rng: np.random.Generator, settings: RenderSettings) -> Floats:
    """Put ink over pale ink, `[N, H, W]` each, on uneven paper: brightness, 0 to 1."""
    count, *size = inked.shape
    points = rng.uniform(0.95 - 2 * settings.unevenness, 0.95, (count, 3, 7))
    height, width = (pixels // settings.pixel_ratio for pixels in size)
    paper = _as_grains(_ease(points, (height, width)), settings.pixel_ratio)
    ink, pale_ink = (
        strokes * rng.uniform(*contrast, (count, 1, 1)).astype(np.float32)
        for strokes, contrast in ((inked, settings.contrast), (pale, settings.pale_contrast))
    )
    brightness = np.subtract(paper, np.maximum(ink, pale_ink, out=ink), out=ink)
    return 1 - brightness if settings.dark else brightness


def add_noise(brightness: Floats, rng: np.random.Generator, settings: RenderSettings) -> npt.NDArray[np.uint8]:
    """Add Gaussian noise: grey levels, 0 to `GREY_LEVELS - 1`, `[N, H, W]`."""
    count, height, width = brightness.shape
    grain = settings.grain * settings.pixel_ratio
    grains = (count, -(-height // grain), -(-width // grain))
    steps = GREY_LEVELS - 1
    noise = _NORMAL * np.float32(settings.noise * steps) + np.float32(0.5)  # the half makes a rounding of cutting off
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


def _ease(points: npt.NDArray[np.float64], size: tuple[int, int]) -> Floats:
    """Ease from one point of a grid `[N, rows, columns]` to the next: `[N, *size]`."""
    height, width = size
    smooth: Floats = _easing(height, points.shape[1]) @ (points.astype(np.float32) @ _easing(width, points.shape[2]).T)
    return smooth


def _ease_onto(
    of_rows: npt.NDArray[np.float64], of_columns: npt.NDArray[np.float64], points: npt.NDArray[np.float64]
) -> Floats:
    """Add what `_ease` gives, a number of each row `[N, H]` and one of each column `[N, W]`: `[N, H, W]`.

    One matrix product does all of it: a pass over all pictures takes as long.
    """
    (count, height), width = of_rows.shape, of_columns.shape[1]
    easing = np.broadcast_to(_easing(height, points.shape[1]), (count, height, points.shape[1]))
    eased = points @ _easing(width, points.shape[2]).T
    left = np.concatenate([easing, of_rows[:, :, None], np.ones((count, height, 1))], 2, dtype=np.float32)
    right = np.concatenate([eased, np.ones((count, 1, width)), of_columns[:, None]], 1, dtype=np.float32)
    summed: Floats = left @ right
    return summed


@cache
def _easing(size: int, points: int) -> Floats:
    """Weights `[size, points]` of the two nearest of evenly spaced points, by smoothstep."""
    place = np.linspace(0, points - 1, size)[:, None]
    away = np.abs(place - np.arange(points)).clip(0, 1)
    weights: Floats = (1 - away**2 * (3 - 2 * away)).astype(np.float32)
    return weights

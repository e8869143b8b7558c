"""Rendering: glyphs to finished captchas. Every drawer takes a whole batch and draws its chances from one generator."""

import math
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from batch.emnist import SIDE

GREY_LEVELS = 8  # a third of the bytes of 256 levels, and the noise hides the steps
HEIGHT = 80
PITCH = 40
"""Pixels of width for each character."""
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


def render(
    glyphs: npt.NDArray[np.uint8],
    straight: npt.NDArray[np.uint8],
    rng: np.random.Generator,
    settings: RenderSettings,
) -> npt.NDArray[np.uint8]:
    """Draw glyphs `[N, L, 28, 28]` as captchas: grey levels, 0 to `GREY_LEVELS - 1`, `[N, H, W]`.

    `straight` `[M, 28, 28]` are upright strokes of the same hand, such as the digit 1, to cross the line with.
    """
    strokes = bend_lines(concat_pics(glyphs, rng, settings), rng, settings).strokes
    inked = vary_weight(cross(strokes, straight, rng, settings), rng, settings)
    pale = vary_weight(scribble(glyphs, inked.shape, rng, settings), rng, settings)
    return add_noise(lay_on_paper(inked, pale, rng, settings), rng, settings)


def concat_pics(glyphs: npt.NDArray[np.uint8], rng: np.random.Generator, settings: RenderSettings) -> Lines:
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
    middle = (side - 1) / 2
    left, right = _extents((windows.max(1) > _INKED).reshape(count, length, side))
    widths = right - left
    # A bar may not vanish in its neighbour: a third of it is the most that overlaps.
    most = np.minimum(widths, np.roll(widths, 1, 1)) / 3
    gaps = np.maximum(rng.uniform(*settings.gap, (count, length)) * settings.pixel_ratio, -most)
    starts = np.cumsum(widths + gaps, 1) - widths - gaps[:, :1]
    x = np.rint(side + starts - left).astype(int)
    rise = rng.uniform(-settings.rise, settings.rise, (count, length)) * settings.pixel_ratio
    y = np.rint(side + rise).astype(int)
    strokes = np.zeros((count, 3 * side, (x + 2 * side).max()), np.uint8)
    for line, line_x, line_y, line_windows in zip(strokes, x, y, windows.reshape(*x.shape, side, side), strict=True):
        for at_x, at_y, window in zip(line_x, line_y, line_windows, strict=True):
            place = line[at_y : at_y + side, at_x : at_x + side]
            np.maximum(place, window, out=place)
    return Lines(strokes, np.stack([x + left, x + right, y + middle], 2))


def _of_lines(count: int, rng: np.random.Generator, settings: RenderSettings) -> npt.NDArray[np.float64]:
    """Draw what happens to all glyphs of a line alike: matrices `[count, 2, 2]`."""
    size = rng.uniform(*settings.size, count)
    slant = rng.uniform(-settings.slant, settings.slant, count)
    matrices: npt.NDArray[np.float64] = np.array([[size, slant * size], [np.zeros(count), size]]).transpose(2, 0, 1)
    return matrices


def _redraw(glyphs: npt.NDArray[np.uint8], distortions: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """Draw glyphs `[N, 28, 28]` distorted in the middle of windows `[N, side, side]` that have room for them."""
    side = math.ceil(SIDE * np.linalg.norm(distortions, 2, (1, 2)).max(initial=1))
    inverse = np.linalg.inv(distortions)
    middle, glyph_middle = (side - 1) / 2, (SIDE - 1) / 2
    from_window = np.concatenate([inverse, glyph_middle - inverse.sum(2, keepdims=True) * middle], 2)
    windows = np.empty((len(glyphs), side, side), np.uint8)
    for glyph, matrix, window in zip(glyphs, from_window, windows, strict=True):
        cv2.warpAffine(glyph, matrix, (side, side), dst=window, flags=_AFFINE)
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
    sideways, down = (_smooth(rng, (-pull, pull), (count, 3, 3 + length), (height, width)) for _ in range(2))
    swing = rng.uniform(*settings.wave, (count, 1)) * ratio
    turns = np.arange(width) / (rng.uniform(*settings.wave_length, (count, 1)) * ratio) + rng.random((count, 1))
    down += (swing * np.sin(2 * np.pi * turns)).astype(np.float32)[:, None]
    across = _fit(*_extents(lines.strokes.max(1) > _INKED), width - 2 * (margin + pull), width / 2, rng)
    room_along = height - 2 * (margin + pull + swing[:, 0])
    along = _fit(*_extents(lines.strokes.max(2) > _INKED), room_along, height / 2, rng, settings.lift * ratio)
    x = across.source(np.arange(width))[:, None] + sideways
    y = along.source(np.arange(height))[:, :, None] + down * along.stretch.astype(np.float32)[:, None, None]
    strokes = np.empty((count, height, width), np.uint8)
    for line, line_x, line_y, bent in zip(lines.strokes, x, y, strokes, strict=True):
        cv2.remap(line, line_x, line_y, cv2.INTER_LINEAR, dst=bent)
    places = np.stack(
        [*(across.target(lines.places[:, :, side]) for side in (0, 1)), along.target(lines.places[:, :, 2])], 2
    )
    # A point is drawn where the picture's pixel is that was pulled to it.
    picture = np.arange(count)[:, None]
    at_x = np.rint(places[:, :, :2].mean(2)).astype(int).clip(0, width - 1)
    at_y = np.rint(places[:, :, 2]).astype(int).clip(0, height - 1)
    places[:, :, :2] -= (sideways[picture, at_y, at_x] / across.stretch[:, None])[:, :, None]
    places[:, :, 2] -= down[picture, at_y, at_x]
    return Lines(strokes, places)


class _Fit(NamedTuple):
    """How one axis of lines is pressed and moved into that of pictures; all `[N]`."""

    stretch: npt.NDArray[np.float64]
    source_middle: npt.NDArray[np.float64]
    middle: npt.NDArray[np.float64]

    def source(self, target: npt.NDArray[np.int64]) -> Floats:
        """Where in the lines the places `[P]` of the pictures come from: `[N, P]`."""
        away = (target - self.middle[:, None]) * self.stretch[:, None]
        return (away + self.source_middle[:, None]).astype(np.float32)

    def target(self, source: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Where in the pictures the places `[N, P]` of the lines go to: `[N, P]`."""
        return (source - self.source_middle[:, None]) / self.stretch[:, None] + self.middle[:, None]


def _fit(
    start: npt.NDArray[np.int64],
    end: npt.NDArray[np.int64],
    room: npt.NDArray[np.float64] | float,
    middle: float,
    rng: np.random.Generator,
    most: float = math.inf,
) -> _Fit:
    """Press lines that are longer than their room, and move them within it, by `most` at the most."""
    stretch = np.maximum(1, (end - start) / room)
    free = np.minimum((room - (end - start) / stretch) / 2, most)
    return _Fit(stretch, (start + end) / 2, middle + rng.uniform(-1, 1, len(start)) * free)


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
        along = np.broadcast_to((away / (drawn(4, 7) * ratio) + SIDE / 2)[:, None], strokes.shape)
        beside = (rows - path[:, None]) / (drawn(0.6, 0.8) * ratio)[:, None] + SIDE / 2
        chosen = straight[rng.integers(len(straight), size=count)]
        for line, stroke, line_along, line_beside in zip(strokes, chosen, along, beside, strict=True):
            np.maximum(line, cv2.remap(stroke, line_beside, line_along.copy(), cv2.INTER_LINEAR), out=line)
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
            np.maximum(place, windows[window], out=place)
    return room[:, side:-side, side:-side]


def vary_weight(strokes: Strokes, rng: np.random.Generator, settings: RenderSettings) -> Floats:
    """Thin and thicken the strokes along their way: `[N, H, W]`, 0 paper to 1 ink."""
    count, height, width = strokes.shape
    edge = _smooth(rng, settings.lightness, (count, 3, 7), (height, width))
    sharpness = np.float32(3 * settings.pixel_ratio)
    inked: Floats = ((strokes * np.float32(1 / 255) - edge) * sharpness + np.float32(0.5)).clip(0, 1)
    return inked


def lay_on_paper(inked: Floats, pale: Floats, rng: np.random.Generator, settings: RenderSettings) -> Floats:
    """Put ink over pale ink, `[N, H, W]` each, on uneven paper: brightness, 0 to 1."""
    count, *size = inked.shape
    paper = _smooth(rng, (0.95 - 2 * settings.unevenness, 0.95), (count, 3, 7), _single_density(size, settings))
    ink, pale_ink = (
        strokes * rng.uniform(*contrast, (count, 1, 1)).astype(np.float32)
        for strokes, contrast in ((inked, settings.contrast), (pale, settings.pale_contrast))
    )
    brightness = _as_grains(paper, settings.pixel_ratio) - np.maximum(ink, pale_ink)
    return 1 - brightness if settings.dark else brightness


def add_noise(brightness: Floats, rng: np.random.Generator, settings: RenderSettings) -> npt.NDArray[np.uint8]:
    """Add Gaussian noise: grey levels, 0 to `GREY_LEVELS - 1`, `[N, H, W]`."""
    count, height, width = brightness.shape
    grain = settings.grain * settings.pixel_ratio
    grains = (count, -(-height // grain), -(-width // grain))
    noise = np.float32(settings.noise) * _NORMAL[rng.integers(len(_NORMAL), size=grains, dtype=np.uint8)]
    levels = (brightness + _as_grains(noise, grain)[:, :height, :width]) * (GREY_LEVELS - 1)
    np.rint(levels, out=levels).clip(0, GREY_LEVELS - 1, out=levels)
    return levels.astype(np.uint8)


def _single_density(size: list[int], settings: RenderSettings) -> tuple[int, int]:
    return size[0] // settings.pixel_ratio, size[1] // settings.pixel_ratio


def _as_grains(texture: Floats, side: int) -> Floats:
    """Enlarge `[N, H, W]` in whole blocks: finer grains would not compress."""
    if side == 1:
        return texture
    count, height, width = texture.shape
    enlarged = np.empty((count, height * side, width * side), np.float32)
    for small, large in zip(texture, enlarged, strict=True):
        cv2.resize(small, large.shape[::-1], dst=large, interpolation=cv2.INTER_NEAREST)
    return enlarged


def _smooth(rng: np.random.Generator, between: Range, grid: tuple[int, int, int], size: tuple[int, int]) -> Floats:
    """Draw a number for each point of `[N, rows, columns]` and ease from one to the next: `[N, *size]`."""
    points = rng.uniform(*between, grid).astype(np.float32)
    smooth: Floats = _easing(size[0], grid[1]) @ (points @ _easing(size[1], grid[2]).T)
    return smooth


@cache
def _easing(size: int, points: int) -> Floats:
    """Weights `[size, points]` of the two nearest of evenly spaced points, by smoothstep."""
    place = np.linspace(0, points - 1, size)[:, None]
    away = np.abs(place - np.arange(points)).clip(0, 1)
    weights: Floats = (1 - away**2 * (3 - 2 * away)).astype(np.float32)
    return weights

"""Lines of text: glyphs set side by side, then bent and fitted into the picture."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from gantcha.alphabet import SIDE
from gantcha.drawing.interpolate import interpolate_onto
from gantcha.drawing.look import Look

_MARGIN = 2  # beyond what the bend may add
_INKED = 96  # of 255: what counts as ink where glyphs are set close
AFFINE = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP

Strokes = npt.NDArray[np.uint8]
"""`[N, H, W]`, 0 paper to 255 full stroke"""


Owners = npt.NDArray[np.integer[Any]]
Parameters = dict[str, npt.NDArray[np.float64]]
"""Values by name: `[N]` for lines, `[N, L]` for glyphs; lengths are pixels of single density."""
OF_LINES = ("size", "slant", "baseline_amplitude", "baseline_wavelength", "warp_amplitude", "warp_wavelength")
OF_GLYPHS = ("glyph_offset", "gap", "enlargement_x", "enlargement_y", "turn", "shear")


class TextLines(NamedTuple):
    """Composed lines and where their glyphs are."""

    strokes: Strokes
    places: npt.NDArray[np.float64]
    """`[N, L, 3]`, where each glyph's ink begins and ends, and the height of its middle"""
    owners: Owners
    """`[N, H, W]`, bit k set where glyph k has ink; `[0, 0, 0]` if not asked for"""
    parameters: Parameters
    """what was drawn at random for lines and glyphs, by the names of `Look`; empty if not asked for"""


def concat_pics(
    glyphs: npt.NDArray[np.uint8], rng: np.random.Generator, look: Look, *, owned: bool = False
) -> TextLines:
    """Enlarge, rotate and shear glyphs `[N, L, 28, 28]`, each at random, and set them so close that they touch.

    The lines may be longer than the picture; `bend_lines` makes them fit.
    """
    count, length = glyphs.shape[:2]
    of_glyphs, of_lines = distortions(count * length, look.turn, rng, look), _of_lines(count, rng, look)
    windows = redraw(glyphs.reshape(-1, SIDE, SIDE), of_glyphs @ np.repeat(of_lines, length, 0))
    side = windows.shape[1]
    left, right = extents((windows.max(1) > _INKED).reshape(count, length, side))
    widths = right - left
    # A narrow glyph must not vanish in its neighbour: at most a third of it overlaps.
    most = np.minimum(widths, np.roll(widths, 1, 1)) / 3
    gaps = np.maximum(rng.uniform(*look.gap, (count, length)) * look.pixel_ratio, -most)
    starts = np.cumsum(widths + gaps, 1) - widths - gaps[:, :1]
    x = np.rint(left.max() + starts - left).astype(int)
    rise = rng.uniform(-look.glyph_offset, look.glyph_offset, (count, length))
    climb, climb_length = (rng.uniform(*of, (count, 1)) for of in (look.baseline_amplitude, look.baseline_wavelength))
    swing = climb * np.sin(2 * np.pi * (x / (climb_length * look.pixel_ratio) + rng.random((count, 1))))
    y = np.rint((rise + swing + look.glyph_offset + look.baseline_amplitude[1]) * look.pixel_ratio).astype(int)
    windows = windows.reshape(count, length, side, side)
    strokes = _set(windows, x, y, cv2.max)
    owners: Owners = np.empty((0, 0, 0), np.uint16)
    parameters: Parameters = {}
    if owned:
        owners = _set((windows > _INKED) * bits(length)[:, None, None], x, y, cv2.bitwise_or)
        parameters = {
            "size": of_lines[:, 0, 0],
            "slant": of_lines[:, 0, 1] / of_lines[:, 0, 0],
            "baseline_amplitude": climb[:, 0],
            "baseline_wavelength": climb_length[:, 0],
            "glyph_offset": rise,
            "gap": gaps / look.pixel_ratio,
        }
        parameters |= {name: each.reshape(count, length) for name, each in _decompose(of_glyphs, look).items()}
    return TextLines(strokes, np.stack([x + left, x + right, y + (side - 1) / 2], 2), owners, parameters)


def bits(length: int) -> Owners:
    """Return the bit of each glyph of a line in `owners`: `[length]`; 31 glyphs at most."""
    of_line: Owners = (1 << np.arange(length)).astype(np.uint16 if length <= 16 else np.int32)
    return of_line


def _decompose(matrices: npt.NDArray[np.float64], look: Look) -> Parameters:
    """Return the parameters that `distortions` made its matrices `[count, 2, 2]` of: `[count]` each."""
    (a, b), (c, d) = matrices.transpose(1, 2, 0)
    turn = np.arctan2(c, a)
    across, shear, down = np.hypot(a, c), np.cos(turn) * b + np.sin(turn) * d, np.cos(turn) * d - np.sin(turn) * b
    return {
        "enlargement_x": across / (look.pixel_ratio * look.aspect),
        "enlargement_y": down / look.pixel_ratio,
        "turn": turn,
        "shear": shear / down,
    }


def _set(
    windows: npt.NDArray[Any], x: npt.NDArray[np.int64], y: npt.NDArray[np.int64], join: Callable[..., Any]
) -> npt.NDArray[Any]:
    """Join windows `[N, L, side, side]` into lines at `x`, `y` `[N, L]`: `[N, H, W]`."""
    side = windows.shape[-1]
    lines = np.zeros((len(windows), side + y.max(), side + x.max()), windows.dtype)
    for line, line_x, line_y, line_windows in zip(lines, x.tolist(), y.tolist(), windows, strict=True):
        for at_x, at_y, window in zip(line_x, line_y, line_windows, strict=True):
            place = line[at_y : at_y + side, at_x : at_x + side]
            join(place, window, dst=place)
    return lines


def _of_lines(count: int, rng: np.random.Generator, look: Look) -> npt.NDArray[np.float64]:
    """Draw the distortion that all glyphs of a line share: matrices `[count, 2, 2]`."""
    size = rng.uniform(*look.size, count)
    slant = rng.uniform(-look.slant, look.slant, count)
    matrices: npt.NDArray[np.float64] = np.array([[size, slant * size], [np.zeros(count), size]]).transpose(2, 0, 1)
    return matrices


def redraw(glyphs: npt.NDArray[np.uint8], distortions: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """Draw glyphs `[N, 28, 28]` distorted in the middle of windows `[N, side, side]` that have room for them."""
    (a, b), (c, d) = distortions.transpose(1, 2, 0)
    norms = (np.hypot(a + d, b - c) + np.hypot(a - d, b + c)) / 2  # spectral norms: the largest stretch
    side = math.ceil(SIDE * norms.max(initial=1))
    middle, glyph_middle = (side - 1) / 2, (SIDE - 1) / 2
    # Only the box of a window that the glyph and its soft edge of one pixel can reach is drawn.
    reach = np.abs(distortions).sum(2) * (glyph_middle + 1)
    starts = np.floor(middle - reach).clip(0).astype(int)
    ends = np.ceil(middle + reach + 1).clip(max=side).astype(int)
    inverse = np.linalg.inv(distortions)
    from_box = np.concatenate([inverse, glyph_middle + inverse @ (starts - middle)[:, :, None]], 2)
    windows = np.zeros((len(glyphs), side, side), np.uint8)
    boxes = zip(glyphs, from_box, windows, starts.tolist(), ends.tolist(), strict=True)
    for glyph, matrix, window, (left, top), (right, bottom) in boxes:
        box = window[top:bottom, left:right]
        cv2.warpAffine(glyph, matrix, box.shape[::-1], dst=box, flags=AFFINE)
    return windows


def extents(inked: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Find where the True of `[..., W]` begin and end; both in the middle if there are none."""
    width = inked.shape[-1]
    none = ~inked.any(-1)
    start, end = inked.argmax(-1), width - inked[..., ::-1].argmax(-1)
    return np.where(none, width // 2, start), np.where(none, width // 2, end)


def distortions(count: int, turn: float, rng: np.random.Generator, look: Look) -> npt.NDArray[np.float64]:
    """Draw the distortion of each glyph: matrices `[count, 2, 2]` from its own frame to the picture's."""
    angle = rng.uniform(-turn, turn, count)
    across, down = rng.uniform(*look.enlargement, (2, count)) * look.pixel_ratio
    across = across * look.aspect
    shear = rng.uniform(-look.shear, look.shear, count) * down
    turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    sheared = np.array([[across, shear], [np.zeros(count), down]])
    distortions: npt.NDArray[np.float64] = np.einsum("ijn,jkn->nik", turned, sheared)
    return distortions


def bend_lines(lines: TextLines, width: int, rng: np.random.Generator, look: Look) -> TextLines:
    """Bend the lines by waves and elastic displacements (Simard et al. 2003), and fit them into the picture."""
    count, points = len(lines.strokes), width // look.pitch
    ratio = look.pixel_ratio
    height, width = look.height * ratio, width * ratio
    pull, margin = look.elastic_displacement * ratio, _MARGIN * ratio
    sideways, down = (rng.uniform(-pull, pull, (count, 3, 3 + points)) for _ in range(2))
    swing = rng.uniform(*look.warp_amplitude, (count, 1)) * ratio
    columns, rows = np.arange(width), np.arange(height)
    wave_length = rng.uniform(*look.warp_wavelength, (count, 1))
    turns = columns / (wave_length * ratio) + rng.random((count, 1))
    start, end = lines.places[:, :, 0].min(1), lines.places[:, :, 1].max(1)
    across = _fit(start, end, width - 2 * (margin + pull), width / 2, rng)
    room_along = height - 2 * (margin + pull + swing[:, 0])
    along = _fit(*extents(lines.strokes.max(2) > _INKED), room_along, height / 2, rng, look.line_offset * ratio)
    from_x, from_y, stretch = across.source(columns), along.source(rows), along.stretch[:, None]
    x = interpolate_onto(np.zeros_like(from_y), from_x, sideways)
    y = interpolate_onto(from_y, swing * np.sin(2 * np.pi * turns) * stretch, down * stretch[:, None])
    strokes = np.empty((count, height, width), np.uint8)
    for line, line_x, line_y, bent in zip(lines.strokes, x, y, strokes, strict=True):
        cv2.remap(line, line_x, line_y, cv2.INTER_LINEAR, dst=bent)
    owners = np.empty((len(lines.owners), height, width), lines.owners.dtype)
    for owned, line_x, line_y, bent_owned in zip(lines.owners, x, y, owners, strict=False):
        cv2.remap(owned, line_x, line_y, cv2.INTER_NEAREST, dst=bent_owned)
    places = np.stack(
        [*(across.target(lines.places[:, :, side]) for side in (0, 1)), along.target(lines.places[:, :, 2])], 2
    )
    # A point of the line appears at the pixel of the picture that was displaced to it.
    picture = np.arange(count)[:, None]
    at_x = np.rint(places[:, :, :2].mean(2)).astype(int).clip(0, width - 1)
    at_y = np.rint(places[:, :, 2]).astype(int).clip(0, height - 1)
    places[:, :, :2] -= ((x[picture, at_y, at_x] - from_x[picture, at_x]) / across.stretch[:, None])[:, :, None]
    places[:, :, 2] -= (y[picture, at_y, at_x] - from_y[picture, at_y]) / stretch
    parameters = (
        {"warp_amplitude": swing[:, 0] / ratio, "warp_wavelength": wave_length[:, 0]} if lines.parameters else {}
    )
    return TextLines(strokes, places, owners, lines.parameters | parameters)


class _Fit(NamedTuple):
    """How one axis of the lines is compressed and moved into that of the pictures; all `[N]`."""

    stretch: npt.NDArray[np.float64]
    source_middle: npt.NDArray[np.float64]
    middle: npt.NDArray[np.float64]

    def source(self, target: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Map places `[P]` of the pictures to the lines: `[N, P]`."""
        return (target - self.middle[:, None]) * self.stretch[:, None] + self.source_middle[:, None]

    def target(self, source: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Map places `[N, P]` of the lines to the pictures: `[N, P]`."""
        return (source - self.source_middle[:, None]) / self.stretch[:, None] + self.middle[:, None]


def _fit(
    start: npt.NDArray[np.integer[Any] | np.float64],
    end: npt.NDArray[np.integer[Any] | np.float64],
    room: npt.NDArray[np.float64] | float,
    middle: float,
    rng: np.random.Generator,
    most: float = math.inf,
) -> _Fit:
    """Compress lines that are longer than their room, and move them within it by up to `most`."""
    stretch = np.maximum(1, (end - start) / room)
    free = np.minimum((room - (end - start) / stretch) / 2, most)
    source_middle: npt.NDArray[np.float64] = (start + end) / 2
    return _Fit(stretch, source_middle, middle + rng.uniform(-1, 1, len(start)) * free)

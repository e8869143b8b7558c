"""Lines of text: glyphs set side by side, then bent and fitted into the picture. All at single density."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from gantcha.alphabet import SIDE
from gantcha.drawing.look import Look
from gantcha.drawing.smoothstep import smoothstep

_MARGIN = 2  # beyond what the bend may add
_OVERLAP = 0.25  # of the narrower of two neighbours, at most
_INKED = 96  # of 255: what counts as ink where glyphs are set close
FAINT = 32
"""Of 255: what no ink is made of."""
AFFINE = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP

Strokes = npt.NDArray[np.uint8]
"""`[N, H, W]`, 0 paper to 255 full stroke"""


Owners = npt.NDArray[np.integer[Any]]
Parameters = dict[str, npt.NDArray[np.float64]]
"""Values by name: `[N]` for lines, `[N, L]` for glyphs."""
OF_LINES = ("size", "slant", "baseline_amplitude", "baseline_wavelength", "warp_amplitude", "warp_wavelength")
OF_GLYPHS = ("glyph_offset", "gap", "enlargement_x", "enlargement_y", "turn", "shear")


class TextLines(NamedTuple):
    """Composed lines and where their glyphs are."""

    strokes: Strokes
    boxes: npt.NDArray[np.int64]
    """left, top, right and bottom of each glyph's ink, the last two exclusive: `[N, L, 4]`"""
    owners: Owners
    """`[N, H, W]`, bit k set where glyph k has ink; `[0, 0, 0]` if not asked for"""
    parameters: Parameters
    """what was drawn at random for lines and glyphs, by the names of `Look`; empty if not asked for"""


class BentLines(NamedTuple):
    """Lines that fit into the picture."""

    strokes: Strokes
    owners: Owners
    """`[N, H, W]`, bit k set where glyph k has ink; `[0, H, W]` if not asked for"""
    parameters: Parameters
    """what was drawn at random for lines and glyphs; empty if not asked for"""


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
    left, top, right, bottom = ink_boxes(windows > _INKED).T.reshape(4, count, length)
    widths = right - left
    # A narrow glyph must not vanish in its neighbour, nor two glyphs look like another one.
    most = np.minimum(widths, np.roll(widths, 1, 1)) * _OVERLAP
    gaps = np.maximum(rng.uniform(*look.gap, (count, length)), -most)
    starts = np.cumsum(widths + gaps, 1) - widths - gaps[:, :1]
    x = np.rint(left.max() + starts - left).astype(int)
    rise = rng.uniform(-look.glyph_offset, look.glyph_offset, (count, length))
    climb, climb_length = (rng.uniform(*of, (count, 1)) for of in (look.baseline_amplitude, look.baseline_wavelength))
    swing = climb * np.sin(2 * np.pi * (x / climb_length + rng.random((count, 1))))
    y = np.rint(rise + swing + look.glyph_offset + look.baseline_amplitude[1]).astype(int)
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
            "gap": gaps,
        }
        parameters |= {name: each.reshape(count, length) for name, each in _decompose(of_glyphs, look).items()}
    return TextLines(strokes, np.stack([x + left, y + top, x + right, y + bottom], 2), owners, parameters)


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
        "enlargement_x": across / look.aspect,
        "enlargement_y": down,
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
    # Only the box of a window that the glyph's ink and its soft edge of one pixel can reach is drawn.
    ends = ink_boxes(glyphs > FAINT).reshape(-1, 2, 2)
    ink_middle, ink_reach = (ends.sum(1) - 1) / 2, np.diff(ends, axis=1)[:, 0] / 2 + 1
    centres = middle + np.einsum("nij,nj->ni", distortions, ink_middle - glyph_middle)
    reach = np.einsum("nij,nj->ni", np.abs(distortions), ink_reach)
    starts = np.floor(centres - reach).clip(0, side).astype(int)
    stops = np.ceil(centres + reach + 1).clip(0, side).astype(int)
    inverse = np.linalg.inv(distortions)
    from_box = np.concatenate([inverse, glyph_middle + inverse @ (starts - middle)[:, :, None]], 2)
    windows = np.zeros((len(glyphs), side, side), np.uint8)
    boxes = zip(glyphs, from_box, windows, starts.tolist(), stops.tolist(), strict=True)
    for glyph, matrix, window, (left, top), (right, bottom) in boxes:
        box = window[top:bottom, left:right]
        cv2.warpAffine(glyph, matrix, box.shape[::-1], dst=box, flags=AFFINE)
    return windows


def ink_boxes(inked: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Find left, top, right and bottom of the True of `[N, H, W]`: `[N, 4]`; the middle if there are none."""
    boxes = np.array([cv2.boundingRect(image) for image in inked.view(np.uint8)]).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    boxes[~boxes.any(1)] = np.tile(inked.shape[:0:-1], 2) // 2
    return boxes


def extents(inked: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Find where the True of `[..., W]` begin and end; both in the middle if there are none."""
    width = inked.shape[-1]
    none = ~inked.any(-1)
    start, end = inked.argmax(-1), width - inked[..., ::-1].argmax(-1)
    return np.where(none, width // 2, start), np.where(none, width // 2, end)


def distortions(count: int, turn: float, rng: np.random.Generator, look: Look) -> npt.NDArray[np.float64]:
    """Draw the distortion of each glyph: matrices `[count, 2, 2]` from its own frame to the picture's."""
    angle = rng.uniform(-turn, turn, count)
    across, down = rng.uniform(*look.enlargement, (2, count))
    across = across * look.aspect
    shear = rng.uniform(-look.shear, look.shear, count) * down
    turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    sheared = np.array([[across, shear], [np.zeros(count), down]])
    distortions: npt.NDArray[np.float64] = np.einsum("ijn,jkn->nik", turned, sheared)
    return distortions


def bend_lines(lines: TextLines, width: int, rng: np.random.Generator, look: Look) -> BentLines:
    """Bend the lines by waves and elastic displacements (Simard et al. 2003), and fit them into the picture."""
    count, points = len(lines.strokes), width // look.pitch
    height, pull = look.height, look.elastic_displacement
    sideways, down = (rng.uniform(-pull, pull, (count, 3, 3 + points)) for _ in range(2))
    swing = rng.uniform(*look.warp_amplitude, (count, 1))
    wave_length = rng.uniform(*look.warp_wavelength, (count, 1))
    columns, rows = np.arange(width), np.arange(height)
    turns = columns / wave_length + rng.random((count, 1))
    (start, top), (end, bottom) = lines.boxes[:, :, :2].min(1).T, lines.boxes[:, :, 2:].max(1).T
    across = _fit(start, end, width - 2 * (_MARGIN + pull), width / 2, rng)
    room_along = height - 2 * (_MARGIN + pull + swing[:, 0])
    along = _fit(top, bottom, room_along, height / 2, rng, look.line_offset)
    stretch = along.stretch[:, None, None]
    wave = swing[:, :, None] * np.sin(2 * np.pi * turns)[:, None]
    # Where in the line each pixel comes from is a sum of products of a number of its row and one of its column.
    of_rows = np.empty((count, height, 5), np.float32)
    of_rows[:, :, :3], of_rows[:, :, 3], of_rows[:, :, 4] = smoothstep(height, 3), along.source(rows), 1
    of_columns = smoothstep(width, 3 + points).T
    still, moved = np.zeros((count, 1, width)), np.ones((count, 1, width))
    x = np.concatenate([sideways @ of_columns, still, across.source(columns)[:, None]], 1, dtype=np.float32)
    y = np.concatenate([down @ of_columns * stretch, moved, wave * stretch], 1, dtype=np.float32)
    # Only where a line's ink can get to: the rest is half of the picture.
    left, top, right, bottom = ink_boxes(lines.strokes > 0).T
    pulled = across.boxes(left, right, pull + 1, width)
    swung = along.boxes(top, bottom, pull + swing[:, 0] + 1, height)
    strokes = np.zeros((count, height, width), np.uint8)
    owners = np.zeros((len(lines.owners), height, width), lines.owners.dtype)
    for number, (box_rows, box_columns) in enumerate(zip(swung, pulled, strict=True)):
        box_x, box_y = (of_rows[number, box_rows] @ of[number, :, box_columns] for of in (x, y))
        bent = strokes[number, box_rows, box_columns]
        cv2.remap(lines.strokes[number], box_x, box_y, cv2.INTER_LINEAR, dst=bent)
        if len(owners):
            bent_owners = owners[number, box_rows, box_columns]
            cv2.remap(lines.owners[number], box_x, box_y, cv2.INTER_NEAREST, dst=bent_owners)
    parameters = {"warp_amplitude": swing[:, 0], "warp_wavelength": wave_length[:, 0]} if lines.parameters else {}
    return BentLines(strokes, owners, lines.parameters | parameters)


class _Fit(NamedTuple):
    """How one axis of the lines is compressed and moved into that of the pictures; all `[N]`."""

    stretch: npt.NDArray[np.float64]
    source_middle: npt.NDArray[np.float64]
    middle: npt.NDArray[np.float64]

    def source(self, target: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Map places `[P]` of the pictures to the lines: `[N, P]`."""
        return (target - self.middle[:, None]) * self.stretch[:, None] + self.source_middle[:, None]

    def boxes(
        self,
        start: npt.NDArray[np.int64],
        end: npt.NDArray[np.int64],
        reach: npt.NDArray[np.float64] | float,
        size: int,
    ) -> list[slice]:
        """Return where in the pictures a part of each line is, `[N]`, if it is moved by up to `reach` besides."""
        first, last = ((of - self.source_middle) / self.stretch + self.middle for of in (start, end))
        firsts, lasts = np.floor(first - reach).clip(0, size), np.ceil(last + reach).clip(0, size)
        return [slice(*ends) for ends in np.stack([firsts, lasts], 1).astype(int).tolist()]


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

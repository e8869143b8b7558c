"""Crossing out: a line has more characters than its code, and strokes through those that do not count."""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from gantcha.alphabet import SIDE
from gantcha.drawing.look import Look
from gantcha.drawing.text_lines import AFFINE, Owners, TextLines

Crossed = npt.NDArray[np.bool_]
"""Which glyphs of lines are crossed out."""

MOST_DECOYS = 3
_CHANCES = 0.2, 0.6, 0.2  # of one to `MOST_DECOYS`; never none, for "what is not crossed out" should mean something
_STROKE = 20.0  # pixels that an upright stroke is long in its image of 28
_SLOPE = 0.2, 0.5
_APART = 0.15, 0.19  # of a glyph's height, each stroke from the middle
_LONGER = 1.25, 1.45  # than the glyph is wide
_LEAST = 0.75  # of a glyph's height: how long a stroke through a narrow glyph is
_THINNER = 0.6  # than the glyph's strokes: the glyph remains readable, so that it takes part in the deception
_INKED = 0.75  # of a glyph's image, from top to bottom


def add_decoys(codes: Sequence[str], decoys: str, rng: np.random.Generator) -> list[tuple[str, Crossed]]:
    """Write one to three of the `decoys` at random places into each code: its characters, and which are crossed out."""
    written = []
    for code, count in zip(codes, rng.choice(MOST_DECOYS, len(codes), p=_CHANCES) + 1, strict=True):
        crossed = rng.permutation(len(code) + count) < count
        characters, others = iter(code), iter(rng.choice(list(decoys), count))
        written.append(("".join(next(others if out else characters) for out in crossed), crossed))
    return written


def cross_out(
    lines: TextLines, crossed: Crossed, straight: npt.NDArray[np.uint8], rng: np.random.Generator, look: Look
) -> TextLines:
    """Draw two parallel strokes through each glyph that is `crossed` `[N, L]`, nearly level.

    `straight` `[M, 28, 28]` are upright strokes of the same hand to choose from. The lines get a margin, for strokes
    that begin before the line does.
    """
    enlargement = np.array(look.enlargement)
    height, margin = float(enlargement.mean()) * SIDE * _INKED, round(SIDE * enlargement[1] / 2)
    rim = (0, 0), (margin, margin), (margin, margin)
    strokes, boxes = np.pad(lines.strokes, rim), lines.boxes + margin
    for number, place in np.argwhere(crossed).tolist():
        left, top, right, bottom = boxes[number, place].tolist()
        length = max((right - left) * rng.uniform(*_LONGER), height * _LEAST)
        slopes = rng.uniform(*_SLOPE, 2) * rng.choice([-1, 1])
        away = height * rng.uniform(*_APART)
        for slope, side in zip(slopes, (-1, 1), strict=True):
            along = np.array([1, slope]) / np.hypot(1, slope)
            across = np.array([-along[1], along[0]]) * rng.uniform(*enlargement) * _THINNER
            matrix = np.stack([across, along * length / _STROKE], 1)
            stroke = straight[rng.integers(len(straight))]
            _draw(strokes[number], stroke, matrix, np.array([(left + right) / 2, (top + bottom) / 2 + side * away]))
    owners: Owners = np.pad(lines.owners, rim) if len(lines.owners) else lines.owners
    return lines._replace(strokes=strokes, boxes=boxes, owners=owners)


def _draw(
    line: npt.NDArray[np.uint8],
    stroke: npt.NDArray[np.uint8],
    matrix: npt.NDArray[np.float64],
    centre: npt.NDArray[np.float64],
) -> None:
    """Draw a stroke `[28, 28]`, transformed by `matrix` `[2, 2]`, around a point of a line `[H, W]`."""
    reach = np.abs(matrix).sum(1) * (SIDE / 2)
    ends = (centre - reach, centre + reach)
    (left, top), (right, bottom) = (np.rint(end).clip(0, line.shape[::-1]).astype(int) for end in ends)
    inverse = np.linalg.inv(matrix)
    offset = (SIDE - 1) / 2 + inverse @ (np.array([left, top]) - centre)
    box = line[top:bottom, left:right]
    if box.size:
        inverse_box = np.column_stack([inverse, offset])
        cv2.max(box, cv2.warpAffine(stroke, inverse_box, box.shape[::-1], flags=AFFINE), dst=box)

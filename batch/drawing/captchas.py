"""From codes to pictures: sample, render, encode. Workers import it, so it imports no database and no settings."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from batch.alphabet import SIDE, left_to_right
from batch.drawing.crossing import Crossed, add_decoys
from batch.drawing.png import encode_pngs
from batch.drawing.render import render, render_annotated
from batch.drawing.style import RenderStyle
from batch.drawing.text_lines import bits
from batch.glyphs.sampler import Sampler

PART = 50
"""Captchas rendered at once: few enough for the processor's caches."""
_STRAIGHT = 64
_SAMPLED = 250  # captchas whose glyphs are drawn at once: more take memory and are no faster


class Labelled(NamedTuple):
    """A captcha with its labels, for training recognisers."""

    levels: npt.NDArray[np.uint8]
    """grey levels `[H, W]` of the picture"""
    characters: str
    """all that are drawn, from left to right"""
    crossed_out: list[bool]
    """of each character; what is left is the code"""
    boxes: list[tuple[int, int, int, int]]
    """of each character's ink: left, top, right, bottom, the last two exclusive"""
    classes: list[int]
    """label of each character's glyph class"""
    parameters: dict[str, float | list[float]]
    """what was drawn at random, by the names of `RenderStyle`: of the line, or of each character"""
    masks: npt.NDArray[np.bool_] | None
    """`[L, H, W]`, where each character has ink; None if not asked for"""

    @property
    def png(self) -> bytes:
        """The picture as a PNG, the same bytes for the same picture."""
        return encode_pngs(self.levels[None], repeatable=True)[0]


class _Part(NamedTuple):
    """Captchas that are rendered together: they have L characters, and equally many of them crossed out."""

    places: list[int]
    """among the codes"""
    characters: list[str]
    crossed: Crossed
    """`[N, L]`"""
    classes: npt.NDArray[np.uint8]
    """`[N, L]`"""
    glyphs: npt.NDArray[np.uint8]
    """`[N, L, 28, 28]`"""


def draw_captchas(codes: Sequence[str], sampler: Sampler, style: RenderStyle, rng: np.random.Generator) -> list[bytes]:
    """Draw a captcha for each of the codes: PNGs.

    Raises:
        ValueError: a code is empty or has a character that no generator draws.
    """
    straight, pngs = draw_straight(sampler, rng), [b""] * len(codes)
    for part in _parts(codes, sampler, style, rng):
        pictures = render(part.glyphs, straight, rng, style, part.crossed)
        for place, png in zip(part.places, encode_pngs(pictures), strict=True):
            pngs[place] = png
    return pngs


def draw_labelled(
    codes: Sequence[str], sampler: Sampler, style: RenderStyle, rng: np.random.Generator, *, masks: bool = False
) -> list[Labelled]:
    """Draw a captcha for each of the codes, of up to 16 characters each, with the labels of its characters.

    Raises:
        ValueError: a code is empty or has a character that no generator draws.
    """
    straight, drawn = draw_straight(sampler, rng), {}
    for part in _parts(codes, sampler, style, rng):
        annotated = render_annotated(part.glyphs, straight, rng, style, part.crossed)
        own = bits(part.crossed.shape[1])[:, None, None]
        rounded = {name: values.round(4).tolist() for name, values in annotated.parameters.items()}
        for number, place in enumerate(part.places):
            drawn[place] = Labelled(
                annotated.pictures[number],
                part.characters[number],
                part.crossed[number].tolist(),
                annotated.boxes[number].tolist(),
                part.classes[number].tolist(),
                {name: values[number] for name, values in rounded.items()},
                annotated.owners[number] & own > 0 if masks else None,
            )
    return [drawn[place] for place in range(len(codes))]


def draw_pictures(
    codes: Sequence[str], sampler: Sampler, style: RenderStyle, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Draw codes of one length as grey levels `[N, H, W]`. Raises ValueError as `draw_captchas` does."""
    return draw_crossed(codes, sampler, style, rng)[0]


def draw_crossed(
    codes: Sequence[str], sampler: Sampler, style: RenderStyle, rng: np.random.Generator
) -> tuple[npt.NDArray[np.uint8], list[Crossed]]:
    """Draw as `draw_pictures` does, and tell which characters of each picture are crossed out."""
    straight = draw_straight(sampler, rng)
    drawn: dict[int, tuple[npt.NDArray[np.uint8], Crossed]] = {}
    for part in _parts(codes, sampler, style, rng):
        pictures = render(part.glyphs, straight, rng, style, part.crossed)
        drawn |= zip(part.places, zip(pictures, part.crossed, strict=True), strict=True)
    in_order = [drawn[place] for place in range(len(codes))]
    return np.stack([picture for picture, _ in in_order]), [crossed for _, crossed in in_order]


def _parts(codes: Sequence[str], sampler: Sampler, style: RenderStyle, rng: np.random.Generator) -> Iterator[_Part]:
    if not all(codes):
        raise ValueError("an empty code can't be drawn")
    codes = [*map(left_to_right, codes)]
    written = add_decoys(codes, style.decoys, rng) if style.decoys else [(c, np.zeros(len(c), bool)) for c in codes]
    for first in range(0, len(codes), _SAMPLED):
        sampled = written[first : first + _SAMPLED]
        lengths = [len(characters) for characters, _ in sampled]
        classes = sampler.classes.choose([*"".join(characters for characters, _ in sampled)], rng).ravel()
        by_code = np.split(np.arange(len(classes)), np.cumsum(lengths)[:-1])
        glyphs = sampler.draw_legible(classes, rng, truncation=style.truncation)
        alike = defaultdict(list)
        for place, (text, crossed) in enumerate(sampled):
            alike[len(text), crossed.sum()].append(place)
        for places in alike.values():
            for start in range(0, len(places), PART):
                part = places[start : start + PART]
                own = np.stack([by_code[place] for place in part])
                yield _Part(
                    [first + place for place in part],
                    [sampled[place][0] for place in part],
                    np.stack([sampled[place][1] for place in part]),
                    classes[own],
                    glyphs[own],
                )


def draw_straight(sampler: Sampler, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Draw strokes `[64, 28, 28]` to cross lines with: the digit 1, which is hardly more than a stroke, if there is."""
    if "1" in sampler.classes.of_character:
        return sampler.draw(np.full(_STRAIGHT, sampler.classes.of_character["1"][0], np.uint8), rng)
    strokes = np.zeros((_STRAIGHT, SIDE, SIDE), np.uint8)
    for stroke, ends in zip(strokes, rng.uniform(-1.5, 1.5, (_STRAIGHT, 2, 2)), strict=True):
        top, bottom = np.rint((ends + np.array([[SIDE / 2, 4], [SIDE / 2, SIDE - 4]])) * 16).astype(int).tolist()
        cv2.line(stroke, top, bottom, 255, 3, cv2.LINE_AA, shift=4)
        cv2.GaussianBlur(stroke, (3, 3), 0, dst=stroke)
    return strokes

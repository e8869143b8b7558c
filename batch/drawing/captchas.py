"""From codes to pictures: sample, render, encode. Workers import it, so it imports no database and no settings."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from batch.alphabet import CLASSES_BY_CHARACTER, choose_classes
from batch.drawing.png import encode_pngs
from batch.drawing.render import render, render_boxed
from batch.drawing.style import RenderStyle
from batch.glyphs.sampler import Sampler

PART = 50
"""Captchas rendered at once: few enough for the processor's caches."""
_SAMPLED = 250  # captchas whose glyphs are drawn at once: more take memory and are no faster


class Labelled(NamedTuple):
    """A captcha with its labels, for training recognisers."""

    png: bytes
    boxes: list[tuple[int, int, int, int]]
    """of each character's ink: left, top, right, bottom, the last two exclusive"""
    classes: list[int]
    """ByMerge index of each character"""


def draw_captchas(codes: Sequence[str], sampler: Sampler, style: RenderStyle, rng: np.random.Generator) -> list[bytes]:
    """Draw a captcha for each of the codes, all of one length: PNGs.

    Raises:
        ValueError: a code has a character outside 0-9 and a-z, or the codes differ in length.
    """
    classes, straight = choose_classes(codes, rng), draw_straight(sampler, rng)
    pngs = []
    for sampled in np.split(classes, range(_SAMPLED, len(classes), _SAMPLED)):
        glyphs = sampler.draw_legible(sampled, rng)
        for part in np.split(glyphs, range(PART, len(glyphs), PART)):
            pngs += encode_pngs(render(part, straight, rng, style))
    return pngs


def draw_labelled(
    codes: Sequence[str], sampler: Sampler, style: RenderStyle, rng: np.random.Generator
) -> list[Labelled]:
    """Draw a captcha for each of the codes, of up to 8 characters each, with the boxes and classes of its characters.

    Raises:
        ValueError: a code has a character outside 0-9 and a-z.
    """
    lengths = np.array([len(code) for code in codes])
    starts = np.cumsum(lengths) - lengths
    classes = choose_classes(list("".join(codes)), rng).ravel()
    glyphs = sampler.draw_legible(classes, rng)
    straight = draw_straight(sampler, rng)
    drawn: dict[int, Labelled] = {}
    for length in np.unique(lengths):
        of_length = np.flatnonzero(lengths == length)
        for part in np.split(of_length, range(PART, len(of_length), PART)):
            places = starts[part, None] + np.arange(length)
            pictures, boxes = render_boxed(glyphs[places], straight, rng, style)
            labels = zip(
                part.tolist(),
                encode_pngs(pictures, repeatable=True),
                boxes.tolist(),
                classes[places].tolist(),
                strict=True,
            )
            drawn |= {index: Labelled(png, *label) for index, png, *label in labels}
    return [drawn[index] for index in range(len(codes))]


def draw_pictures(
    codes: Sequence[str], sampler: Sampler, style: RenderStyle, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Draw a few codes of one length as grey levels `[N, H, W]`. Raises ValueError as `draw_captchas` does."""
    return render(sampler.draw_legible(choose_classes(codes, rng), rng), draw_straight(sampler, rng), rng, style)


def draw_straight(sampler: Sampler, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Draw strokes `[64, 28, 28]` to cross lines with: the digit 1, which is hardly more than a stroke."""
    return sampler.draw(np.full(64, CLASSES_BY_CHARACTER["1"][0], np.uint8), rng)

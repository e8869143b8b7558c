"""From codes to pictures: sample, render, encode. What drawing processes import, so nothing that is slow to import."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from batch.alphabet import CLASSES_BY_CHARACTER, choose_classes
from batch.checkpoints import Checkpoints
from batch.encode import encode_pngs
from batch.look import RenderSettings
from batch.render import render, render_boxed
from batch.sampler import Sampler

PART = 50
"""Captchas rendered at once: few enough for the processor's caches."""


class Labelled(NamedTuple):
    """A captcha for those who learn to read it."""

    png: bytes
    boxes: list[tuple[int, int, int, int]]
    """of each character's ink: left, top, right, bottom, the last two exclusive"""
    classes: list[int]
    """ByMerge index of each character"""


_samplers: dict[Path, Sampler] = {}


def load_sampler(checkpoints_dir: Path) -> Sampler:
    """Load the generators, once in a process. Raises CheckpointError for a missing or damaged checkpoint."""
    if checkpoints_dir not in _samplers:
        keep_sampler(checkpoints_dir, Sampler(Checkpoints(checkpoints_dir)))
    return _samplers[checkpoints_dir]


def keep_sampler(checkpoints_dir: Path, sampler: Sampler) -> None:
    """Have `load_sampler` give this one, where the folder is another machine's."""
    _samplers[checkpoints_dir] = sampler


def draw_chunk(codes: Sequence[str], look: RenderSettings, checkpoints_dir: Path) -> list[bytes]:
    """As `draw_captchas`, with chances nobody can repeat; for a process of its own."""
    return draw_captchas(codes, load_sampler(checkpoints_dir), look, np.random.default_rng())


def draw_captchas(
    codes: Sequence[str], sampler: Sampler, look: RenderSettings, rng: np.random.Generator
) -> list[bytes]:
    """Draw a captcha for each of the codes, all of one length: PNGs.

    Raises:
        ValueError: a code has a character outside 0-9 and a-z, or the codes differ in length.
    """
    glyphs = sampler.draw_legible(choose_classes(codes, rng), rng)
    straight = draw_straight(sampler, rng)
    parts = (glyphs[first : first + PART] for first in range(0, len(glyphs), PART))
    return [png for part in parts for png in encode_pngs(render(part, straight, rng, look))]


def draw_labelled(
    codes: Sequence[str], sampler: Sampler, look: RenderSettings, rng: np.random.Generator
) -> list[Labelled]:
    """Draw a captcha for each of the codes, of up to 8 characters each, and say where the characters are.

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
            pictures, boxes = render_boxed(glyphs[places], straight, rng, look)
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
    codes: Sequence[str], sampler: Sampler, look: RenderSettings, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Draw a few codes of one length as grey levels `[N, H, W]`. Raises ValueError as `draw_captchas` does."""
    return render(sampler.draw_legible(choose_classes(codes, rng), rng), draw_straight(sampler, rng), rng, look)


def draw_straight(sampler: Sampler, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Draw strokes `[64, 28, 28]` to cross lines with: ones, which are hardly more than a stroke."""
    return sampler.draw(np.full(64, CLASSES_BY_CHARACTER["1"][0], np.uint8), rng)

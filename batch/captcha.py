"""From codes to finished captchas: sample, render, encode."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt

from batch.alphabet import CLASSES_BY_CHARACTER, choose_classes
from batch.checkpoints import Checkpoints
from batch.encode import encode_pngs, save_pic
from batch.render import DIFFICULTIES, RenderSettings, render
from batch.sample import Sampler
from pool.files import new_id
from pool.pool import Drawn
from pool.settings import Settings, load_settings

_PART = 50  # captchas rendered at once: few enough for the processor's caches


@cache
def load_sampler(checkpoints_dir: Path) -> Sampler:
    """Load the generators, once in a process. Raises CheckpointError for a missing or damaged checkpoint."""
    return Sampler(Checkpoints(checkpoints_dir))


def draw_captchas(
    codes: Sequence[str], sampler: Sampler, look: RenderSettings, rng: np.random.Generator
) -> list[Drawn]:
    """Draw a captcha for each of the codes, all of one length.

    Raises:
        ValueError: a code has a character outside 0-9 and a-z, or the codes differ in length.
    """
    glyphs = sampler.draw_legible(choose_classes(codes, rng), rng)
    straight = draw_straight(sampler, rng)
    parts = (glyphs[first : first + _PART] for first in range(0, len(glyphs), _PART))
    pngs = chain.from_iterable(encode_pngs(render(part, straight, rng, look)) for part in parts)
    return [Drawn(code, png) for code, png in zip(codes, pngs, strict=True)]


def draw_pictures(
    codes: Sequence[str], sampler: Sampler, look: RenderSettings, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Draw a few codes of one length as grey levels `[N, H, W]`. Raises ValueError as `draw_captchas` does."""
    return render(sampler.draw_legible(choose_classes(codes, rng), rng), draw_straight(sampler, rng), rng, look)


def draw_straight(sampler: Sampler, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Draw strokes `[64, 28, 28]` to cross lines with: ones, which are hardly more than a stroke."""
    return sampler.draw(np.full(64, CLASSES_BY_CHARACTER["1"][0], np.uint8), rng)


def choose_look(settings: Settings) -> RenderSettings:
    """Say how captchas shall look by these settings."""
    return replace(DIFFICULTIES[settings.difficulty], dark=settings.theme == "dark", pixel_ratio=settings.pixel_ratio)


def generate_captcha(text: str, folder: Path = Path()) -> str:
    """Draw `text`, write the PNG into `folder` and return its file name, which does not give the text away.

    Raises:
        ValueError: the text has a character outside 0-9 and a-z.
        CheckpointError: a generator is missing or damaged.
        StorageError: the file can't be written.
    """
    settings = load_settings()
    sampler = load_sampler(settings.checkpoints_dir)
    (picture,) = draw_pictures([text], sampler, choose_look(settings), np.random.default_rng())
    name = f"{new_id()}.png"
    save_pic(picture, folder / name)
    return name

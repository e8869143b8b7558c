"""From codes to finished captchas: sample, render, encode."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt

from batch.alphabet import CLASSES_BY_CHARACTER, choose_classes
from batch.checkpoints import Checkpoints
from batch.encode import encode_png, save_pic
from batch.render import DIFFICULTIES, RenderSettings, render
from batch.sample import Sampler
from pool.files import new_id
from pool.pool import Drawn
from pool.settings import Settings, load_settings

_PART = 50  # captchas that a thread renders at once: few enough for its caches


def draw_captchas(
    codes: Sequence[str],
    sampler: Sampler,
    look: RenderSettings,
    rng: np.random.Generator,
    threads: ThreadPoolExecutor,
) -> list[Drawn]:
    """Draw a captcha for each of the codes, all of one length; rendered and compressed on all `threads` at once.

    Raises:
        ValueError: a code has a character outside 0-9 and a-z, or the codes differ in length.
    """
    glyphs = sampler.draw_legible(choose_classes(codes, rng), rng)
    straight = _draw_straight(sampler, rng)

    def finish(part: npt.NDArray[np.uint8], part_rng: np.random.Generator) -> list[bytes]:
        return [encode_png(picture) for picture in render(part, straight, part_rng, look)]

    parts = np.split(glyphs, range(_PART, len(glyphs), _PART))
    pngs = chain.from_iterable(threads.map(finish, parts, rng.spawn(len(parts))))
    return [Drawn(code, png) for code, png in zip(codes, pngs, strict=True)]


def draw_pictures(
    codes: Sequence[str], sampler: Sampler, look: RenderSettings, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Draw a few codes of one length as grey levels `[N, H, W]`. Raises ValueError as `draw_captchas` does."""
    return render(sampler.draw_legible(choose_classes(codes, rng), rng), _draw_straight(sampler, rng), rng, look)


def _draw_straight(sampler: Sampler, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Draw strokes `[64, 28, 28]` to cross lines with: ones, which are hardly more than a stroke."""
    return sampler.draw(np.full(64, CLASSES_BY_CHARACTER["1"][0], np.uint8), rng)


@cache
def _drawing() -> tuple[Sampler, RenderSettings]:
    settings = load_settings()
    return Sampler(Checkpoints(settings.checkpoints_dir)), choose_look(settings)


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
    sampler, look = _drawing()
    (picture,) = draw_pictures([text], sampler, look, np.random.default_rng())
    name = f"{new_id()}.png"
    save_pic(picture, folder / name)
    return name

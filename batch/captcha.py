"""From codes to finished captchas: sample, render, encode."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from batch.alphabet import choose_classes
from batch.checkpoints import Checkpoints
from batch.encode import encode_png, save_pic
from batch.render import add_noise, concat_pics
from batch.sample import Sampler
from pool.files import new_id
from pool.pool import Drawn
from pool.settings import load_settings


def draw_captchas(
    codes: Sequence[str], sampler: Sampler, rng: np.random.Generator, threads: ThreadPoolExecutor
) -> list[Drawn]:
    """Draw a captcha for each of the codes, all of one length; zlib compresses them on all `threads` at once.

    Raises:
        ValueError: a code has a character outside 0-9 and a-z, or the codes differ in length.
    """
    pictures = _draw_pictures(codes, sampler, rng)
    return [Drawn(code, png) for code, png in zip(codes, threads.map(encode_png, pictures), strict=True)]


def _draw_pictures(codes: Sequence[str], sampler: Sampler, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Draw N codes as grey levels `[N, H, W]`."""
    return add_noise(concat_pics(sampler.draw(choose_classes(codes, rng), rng)), rng)


@cache
def _sampler() -> Sampler:
    return Sampler(Checkpoints(load_settings().checkpoints_dir))


def generate_captcha(text: str, folder: Path = Path()) -> str:
    """Draw `text`, write the PNG into `folder` and return its file name, which does not give the text away.

    Raises:
        ValueError: the text has a character outside 0-9 and a-z.
        CheckpointError: a generator is missing or damaged.
        StorageError: the file can't be written.
    """
    rng = np.random.default_rng()
    (picture,) = _draw_pictures([text], _sampler(), rng)
    name = f"{new_id()}.png"
    save_pic(picture, folder / name)
    return name

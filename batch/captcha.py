"""A captcha of a given text, looking as the settings say."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from batch.drawing import draw_pictures, load_sampler
from batch.encode import save_pic
from batch.look import DIFFICULTIES, RenderSettings
from pool.files import new_id
from pool.settings import Settings, load_settings


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

"""Captchas from Python: `generate_captcha`, and the other functions of the original under their own names."""

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from gantcha.captcha import draw_captchas
from gantcha.drawing.finish import add_noise
from gantcha.drawing.png import save_pic
from gantcha.drawing.text_lines import concat_pics
from gantcha.glyphs.sampler import load_sampler
from pool.settings import load_settings
from pool.storage.files import new_id

__all__ = ["add_noise", "concat_pics", "generate_captcha", "save_pic"]
_OF_TRAINING = {
    "make_generator_model": "networks",
    "make_discriminator_model": "networks",
    "generator_loss": "gan",
    "discriminator_loss": "gan",
}


def __getattr__(name: str) -> Any:
    """Import what trains on first use: TensorFlow takes seconds to import, and drawing needs none of it."""
    if name not in _OF_TRAINING:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"batch.training.{_OF_TRAINING[name]}"), name)


def generate_captcha(text: str, folder: Path = Path()) -> str:
    """Draw `text`, write the PNG into `folder` and return its file name, which does not give the text away.

    Raises:
        ValueError: the text has a character outside 0-9 and a-z.
        CheckpointError: a generator is missing or damaged.
        StorageError: the file can't be written.
    """
    settings = load_settings()
    sampler, rng = load_sampler(settings.checkpoints_dir), np.random.default_rng()
    (captcha,) = draw_captchas([text], sampler, settings.look, rng)
    name = f"{new_id()}.png"
    save_pic(captcha.levels, folder / name)
    return name

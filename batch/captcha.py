"""Captchas from Python: `generate_captcha`, and the other functions of the original under their own names."""

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from batch.drawing.captchas import draw_pictures
from batch.drawing.png import save_pic
from batch.drawing.render import add_noise
from batch.drawing.style import choose_style
from batch.drawing.text_lines import concat_pics
from batch.glyphs.sampler import load_sampler
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
    sampler = load_sampler(settings.checkpoints_dir)
    (picture,) = draw_pictures([text], sampler, choose_style(settings), np.random.default_rng())
    name = f"{new_id()}.png"
    save_pic(picture, folder / name)
    return name

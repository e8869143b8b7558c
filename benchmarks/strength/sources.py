"""Captchas to attack: ours, and those of two PyPI packages."""

from collections.abc import Callable
from importlib.resources import files

import numpy as np

from benchmarks.strength.preprocessing import Pictures
from gantcha.captcha import draw_captchas
from gantcha.drawing.look import Look
from gantcha.glyphs.sampler import Sampler

Draw = Callable[[list[str]], Pictures]


def draw_ours(sampler: Sampler, look: Look, codes: list[str]) -> Pictures:
    """Draw our captchas for these codes."""
    drawn = draw_captchas(codes, sampler, look, np.random.default_rng())
    return np.stack([captcha.picture for captcha in drawn])


def draw_captcha(size: tuple[int, int], codes: list[str]) -> Pictures:
    """Draw captchas of the PyPI package `captcha` for these codes, of a height and width."""
    from captcha.image import ImageCaptcha  # noqa: PLC0415 - only developers have it

    generator = ImageCaptcha(height=size[0], width=size[1])
    return np.stack([np.asarray(generator.generate_image(code).convert("L")) for code in codes])


def draw_wheezy(size: tuple[int, int], codes: list[str]) -> Pictures:
    """Draw captchas of the PyPI package `wheezy.captcha` as its own example does, with the font of `captcha`."""
    from wheezy.captcha.image import (  # noqa: PLC0415 - only developers have it
        background,
        captcha,
        curve,
        noise,
        offset,
        rotate,
        smooth,
        text,
        warp,
    )

    font = str(files("captcha") / "data" / "DroidSansMono.ttf")
    drawings = [background(), text([font], drawings=[warp(), rotate(), offset()]), curve(), noise(), smooth()]
    draw = captcha(drawings, width=size[1], height=size[0])
    return np.stack([np.asarray(draw(code).convert("L")) for code in codes])


PEERS = {"captcha": draw_captcha, "wheezy.captcha": draw_wheezy}
"""How to draw captchas of each package: a height and width, and codes -> pictures of single density."""

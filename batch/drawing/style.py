"""How captchas look: sizes, and the three difficulties."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # workers import this file, and settings are slow to import
    from pool.settings import Settings

GREY_LEVELS = 8  # a third of the bytes of 256 levels, and the noise hides the steps
HEIGHT = 80
PITCH = 40
"""Pixels of width for each character."""
MOST_BOXES = 8
"""Characters of a captcha with boxes, at most."""

Range = tuple[float, float]


@dataclass(frozen=True)
class RenderStyle:
    """How captchas look. Lengths are pixels of an image of single density, angles radians, brightness 0 to 1."""

    pixel_ratio: int = 1
    """2 for screens of high density: twice as wide and high."""
    dark: bool = False
    """Light strokes on dark paper."""
    enlargement: Range = (1.75, 2.2)
    """Of a glyph; width and height are drawn independently."""
    size: Range = (0.78, 1.02)
    """Of a whole line: small lines lie anywhere in the picture, so no character has a fixed position."""
    slant: float = 0.2
    """Maximum lean of all glyphs of a line, either way, as a share of their height."""
    turn: float = 0.1
    """Maximum rotation of a glyph, either way."""
    shear: float = 0.12
    """Maximum shear of a glyph, either way, as a share of its height."""
    rise: float = 5.0
    """Maximum distance of a glyph above or below the line."""
    gap: Range = (-1.0, 4.0)
    """Between the ink of neighbours; below 0 they overlap."""
    lift: float = 5.0
    """Maximum distance of the whole line above or below the middle."""
    wave: Range = (3.0, 8.0)
    """How far the line swings above and below the middle."""
    wave_length: Range = (110.0, 200.0)
    bend: float = 2.5
    """Maximum displacement of the line besides, at each point of a coarse grid."""
    distractors: int = 1
    """Thin strokes in the same ink along the upper or lower edge of the line."""
    lightness: Range = (0.32, 0.45)
    """How much of a stroke's soft edge is paper: the stroke's weight, which varies along the line."""
    scribbles: int = 8
    """Glyphs in pale ink that the line is written over."""
    unevenness: float = 0.05
    """Of the paper's brightness."""
    contrast: Range = (0.82, 0.92)
    """Of ink to paper."""
    pale_contrast: Range = (0.27, 0.35)
    """Of pale ink to paper."""
    noise: float = 0.15
    """Standard deviation of the Gaussian noise, in brightness."""
    grain: int = 2
    """Side of the squares that the noise is made of: too coarse to be smoothed away."""


DIFFICULTIES = {
    "easy": RenderStyle(
        size=(0.9, 1.05), slant=0.1, gap=(0.0, 4.0), wave=(2.0, 5.0), bend=1.5, distractors=0, scribbles=3, noise=0.1
    ),
    "standard": RenderStyle(),
    "hard": RenderStyle(
        turn=0.2,
        shear=0.25,
        gap=(-4.0, 1.0),
        wave=(6.0, 10.0),
        wave_length=(80.0, 150.0),
        bend=4.0,
        distractors=2,
        scribbles=10,
        pale_contrast=(0.35, 0.45),
        noise=0.22,
    ),
}


def choose_style(settings: "Settings") -> RenderStyle:
    """Give the style that the settings ask for."""
    return replace(DIFFICULTIES[settings.difficulty], dark=settings.theme == "dark", pixel_ratio=settings.pixel_ratio)

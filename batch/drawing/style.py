"""How captchas look: sizes, and the styles of each kind and difficulty."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

from annotated_types import Interval

if TYPE_CHECKING:  # workers import this file, and settings are slow to import
    from pool.settings import Settings

GREY_LEVELS = 8  # a third of the bytes of 256 levels, and the noise hides the steps
MOST_BOXES = 16
"""Characters of a code with boxes, at most."""
USUAL_DECOYS = 2
"""Characters that are crossed out; the picture has room for so many."""

Range = tuple[float, float]
# What a command line may ask for.
_Gap = Annotated[float, Interval(ge=-50, le=200)]
_Gaps = tuple[_Gap, _Gap]
_Factor = Annotated[float, Interval(ge=0.2, le=8)]
_Factors = tuple[_Factor, _Factor]
_Share = Annotated[float, Interval(ge=0, le=1)]
_Shares = tuple[_Share, _Share]
_Length = Annotated[float, Interval(ge=0, le=200)]
_Lengths = tuple[_Length, _Length]
_Period = Annotated[float, Interval(ge=10, le=10_000)]
_Periods = tuple[_Period, _Period]


@dataclass(frozen=True)
class RenderStyle:
    """How captchas look. Lengths are pixels of an image of single density, angles radians, brightness 0 to 1."""

    pixel_ratio: int = 1
    """2 for screens of high density: twice as wide and high."""
    dark: bool = False
    """Light strokes on dark paper."""
    decoys: str = ""
    """Characters to write among those of the code and to cross out; none if empty."""
    truncation: _Factor = 1.0
    """Of the generators' latents: below 1 glyphs are more alike and more legible."""
    height: Annotated[int, Interval(ge=28, le=1000)] = 120
    """Of the picture."""
    pitch: Annotated[int, Interval(ge=16, le=500)] = 50
    """Of the picture's width, for each character."""
    enlargement: _Factors = (1.5, 1.95)
    """Of a glyph; width and height are drawn independently."""
    aspect: _Factor = 0.85
    """Of a glyph, on top of that: below 1 it is narrower."""
    size: _Factors = (0.94, 1.05)
    """Of a whole line: small lines lie anywhere in the picture, so no character has a fixed position."""
    slant: _Share = 0.1
    """Maximum lean of all glyphs of a line, either way, as a share of their height."""
    turn: Annotated[float, Interval(ge=0, le=3.2)] = 0.06
    """Maximum rotation of a glyph, either way."""
    shear: _Share = 0.08
    """Maximum shear of a glyph, either way, as a share of its height."""
    rise: _Length = 16.0
    """Maximum distance of a glyph above or below its place on the wave."""
    gap: _Gaps = (-6.5, -2.5)
    """Between the ink of neighbours; below 0 they overlap."""
    lift: _Length = 5.0
    """Maximum distance of the whole line above or below the middle."""
    climb: _Lengths = (24.0, 32.0)
    """How far the wave on which the glyphs stand, undistorted, swings above and below the middle."""
    climb_length: _Periods = (90.0, 140.0)
    wave: _Lengths = (1.5, 3.0)
    """How far another wave swings, which bends the glyphs too."""
    wave_length: _Periods = (100.0, 140.0)
    bend: _Length = 1.5
    """Maximum displacement of the line besides, at each point of a coarse grid."""
    strikes: Annotated[int, Interval(ge=0, le=50)] = 2
    """Thin strokes in the same ink across the line: they join what an attacker would cut apart."""
    lightness: _Shares = (0.4, 0.5)
    """How much of a stroke's soft edge is paper: the stroke's weight, which varies along the line."""
    scribbles: Annotated[int, Interval(ge=0, le=100)] = 4
    """Glyphs in pale ink that the line is written over."""
    unevenness: _Share = 0.05
    """Of the paper's brightness."""
    contrast: _Shares = (0.8, 0.95)
    """Of ink to paper; varies along the picture."""
    pale_contrast: _Shares = (0.17, 0.32)
    """Of pale ink to paper, likewise: no threshold parts the two everywhere."""
    noise: _Share = 0.075
    """Standard deviation of the Gaussian noise, in brightness."""
    grain: Annotated[int, Interval(ge=1, le=16)] = 2
    """Side of the squares that the noise is made of: too coarse to be smoothed away."""

    def width(self, length: int) -> int:
        """Give the width of a picture of a code of `length` characters, in pixels of single density."""
        return self.pitch * (length + USUAL_DECOYS * bool(self.decoys))


_PLAIN = RenderStyle()
# Strokes through a glyph show if it hardly touches its neighbours.
_CROSSED_OUT = replace(_PLAIN, pitch=37, enlargement=(1.45, 1.85), rise=15.0, gap=(-1.2, 1.8))
STYLES = {
    "plain": {
        "easy": replace(
            _PLAIN,
            truncation=0.7,
            enlargement=(1.6, 1.9),
            size=(0.9, 1.0),
            rise=14.0,
            gap=(-2.0, 1.0),
            climb=(20.0, 28.0),
            strikes=0,
            scribbles=3,
            noise=0.065,
        ),
        "standard": _PLAIN,
        "hard": replace(
            _PLAIN,
            truncation=0.9,
            size=(0.82, 0.92),
            rise=20.0,
            gap=(-8.5, -4.5),
            climb=(28.0, 36.0),
            strikes=4,
        ),
    },
    "crossed-out": {
        "easy": replace(
            _CROSSED_OUT,
            truncation=0.7,
            enlargement=(1.5, 1.85),
            rise=8.0,
            gap=(3.0, 6.0),
            climb=(12.0, 18.0),
            strikes=0,
            scribbles=3,
            noise=0.055,
        ),
        "standard": _CROSSED_OUT,
        "hard": replace(_CROSSED_OUT, enlargement=(1.5, 1.9), gap=(-6.5, -2.5)),
    },
}
"""By kind and difficulty."""


def choose_style(settings: "Settings") -> RenderStyle:
    """Give the style that the settings ask for."""
    decoys = settings.alphabet if settings.kind == "crossed-out" else ""
    style = STYLES[settings.kind][settings.difficulty]
    return replace(style, decoys=decoys, dark=settings.theme == "dark", pixel_ratio=settings.pixel_ratio)

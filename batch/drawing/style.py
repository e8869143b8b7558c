"""How captchas look: sizes, and the styles of each kind and difficulty."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # workers import this file, and settings are slow to import
    from pool.settings import Settings

GREY_LEVELS = 8  # a third of the bytes of 256 levels, and the noise hides the steps
MOST_BOXES = 8
"""Characters of a code with boxes, at most."""
USUAL_DECOYS = 2
"""Characters that are crossed out; the picture has room for so many."""

Range = tuple[float, float]


@dataclass(frozen=True)
class RenderStyle:
    """How captchas look. Lengths are pixels of an image of single density, angles radians, brightness 0 to 1."""

    pixel_ratio: int = 1
    """2 for screens of high density: twice as wide and high."""
    dark: bool = False
    """Light strokes on dark paper."""
    decoys: str = ""
    """Characters to write among those of the code and to cross out; none if empty."""
    height: int = 112
    """Of the picture."""
    pitch: int = 42
    """Of the picture's width, for each character."""
    enlargement: Range = (1.9, 2.25)
    """Of a glyph; width and height are drawn independently."""
    aspect: float = 0.85
    """Of a glyph, on top of that: below 1 it is narrower."""
    size: Range = (0.9, 1.05)
    """Of a whole line: small lines lie anywhere in the picture, so no character has a fixed position."""
    slant: float = 0.2
    """Maximum lean of all glyphs of a line, either way, as a share of their height."""
    turn: float = 0.1
    """Maximum rotation of a glyph, either way."""
    shear: float = 0.12
    """Maximum shear of a glyph, either way, as a share of its height."""
    rise: float = 5.0
    """Maximum distance of a glyph above or below its place on the wave."""
    gap: Range = (-6.5, -2.5)
    """Between the ink of neighbours; below 0 they overlap."""
    lift: float = 5.0
    """Maximum distance of the whole line above or below the middle."""
    climb: Range = (16.0, 22.0)
    """How far the wave on which the glyphs stand, undistorted, swings above and below the middle."""
    climb_length: Range = (65.0, 105.0)
    wave: Range = (4.0, 8.0)
    """How far another wave swings, which bends the glyphs too."""
    wave_length: Range = (80.0, 130.0)
    bend: float = 2.5
    """Maximum displacement of the line besides, at each point of a coarse grid."""
    strikes: int = 1
    """Thin strokes in the same ink across the line."""
    lightness: Range = (0.4, 0.5)
    """How much of a stroke's soft edge is paper: the stroke's weight, which varies along the line."""
    scribbles: int = 6
    """Glyphs in pale ink that the line is written over."""
    unevenness: float = 0.05
    """Of the paper's brightness."""
    contrast: Range = (0.8, 0.95)
    """Of ink to paper; varies along the picture."""
    pale_contrast: Range = (0.18, 0.34)
    """Of pale ink to paper, likewise: no threshold parts the two everywhere."""
    noise: float = 0.1
    """Standard deviation of the Gaussian noise, in brightness."""
    grain: int = 2
    """Side of the squares that the noise is made of: too coarse to be smoothed away."""

    def width(self, length: int) -> int:
        """Give the width of a picture of a code of `length` characters, in pixels of single density."""
        return self.pitch * (length + USUAL_DECOYS * bool(self.decoys))


_EASY: dict[str, Any] = {"scribbles": 3, "pale_contrast": (0.15, 0.28), "noise": 0.08}
_HARD: dict[str, Any] = {"scribbles": 10, "contrast": (0.62, 0.95), "pale_contrast": (0.25, 0.45), "noise": 0.15}
_PLAIN = RenderStyle()
# Strokes through a glyph show if it is narrow and does not touch its neighbours.
_CROSSED_OUT = replace(
    _PLAIN,
    strikes=0,
    pitch=37,
    enlargement=(1.75, 2.05),
    aspect=0.75,
    size=(0.9, 1.0),
    gap=(1.0, 5.0),
    climb=(8.0, 13.0),
    climb_length=(75.0, 120.0),
    wave=(3.0, 7.0),
    wave_length=(75.0, 120.0),
)
STYLES = {
    "plain": {
        "easy": replace(_PLAIN, **_EASY, strikes=0, gap=(-1.0, 3.0), climb=(7.0, 12.0), wave=(2.0, 5.0)),
        "standard": _PLAIN,
        "hard": replace(_PLAIN, **_HARD, gap=(-8.0, -3.0), climb=(17.0, 24.0), wave=(6.0, 11.0), strikes=1),
    },
    "crossed-out": {
        "easy": replace(_CROSSED_OUT, **_EASY, gap=(4.0, 8.0), climb=(4.0, 8.0), wave=(2.0, 4.0)),
        "standard": _CROSSED_OUT,
        "hard": replace(_CROSSED_OUT, **_HARD, gap=(-3.0, 2.0), climb=(11.0, 17.0), wave=(7.0, 11.0)),
    },
}
"""By kind and difficulty."""


def choose_style(settings: "Settings") -> RenderStyle:
    """Give the style that the settings ask for."""
    decoys = settings.alphabet if settings.kind == "crossed-out" else ""
    style = STYLES[settings.kind][settings.difficulty]
    return replace(style, decoys=decoys, dark=settings.theme == "dark", pixel_ratio=settings.pixel_ratio)

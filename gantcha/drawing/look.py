"""How captchas look: sizes, and the looks of each kind and difficulty."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from numbers import Real
from typing import Any, Literal, get_args

from gantcha.errors import GantchaError

Kind = Literal["plain", "crossed-out"]
Difficulty = Literal["easy", "standard", "hard"]
Theme = Literal["light", "dark"]
DIFFICULTIES: tuple[Difficulty, ...] = get_args(Difficulty)
"""Difficulties, the easiest first."""
DRAWING = 2
"""Version of the drawing: another one draws other pictures from the same seed."""
GREY_LEVELS = 16  # all that four bits hold
MOST_BOXES = 16
"""Characters of a code with boxes, at most."""
USUAL_DECOYS = 2
"""Characters that are crossed out; the picture has room for so many."""

Range = tuple[float, float]
Change = Mapping[str, float | Sequence[float]]
"""Settings of the look by name; a range is a pair."""


class LookError(GantchaError):
    """The look has no such setting, or a setting is out of range."""


def _within(least: float, most: float, default: Any) -> Any:
    return field(default=default, metadata={"bounds": (least, most)})


def _factor(default: float | Range) -> Any:
    return _within(0.2, 8, default)


def _share(default: float | Range) -> Any:
    return _within(0, 1, default)


def _length(default: float | Range) -> Any:
    return _within(0, 200, default)


def _wavelength(default: Range) -> Any:
    return _within(10, 10_000, default)


@dataclass(frozen=True, kw_only=True)
class Look:
    """How captchas look. Lengths are pixels of an image of single density, angles radians, brightness 0 to 1.

    A pair is a range from which a value is drawn at random.
    """

    kind: Kind = "plain"
    difficulty: Difficulty = "standard"
    theme: Theme = "light"
    """`dark` is light strokes on dark paper."""
    pixel_ratio: int = 1
    """2 for screens of high density: twice as wide and high."""
    decoys: str = ""
    """Characters to write among those of the code and to cross out; none if empty."""
    truncation: float = _factor(1.0)
    """Factor of the generators' latents: below 1 glyphs are more alike and more legible."""
    height: int = _within(28, 1000, 120)
    """Height of the picture."""
    pitch: int = _within(16, 500, 50)
    """Width of the picture for each character."""
    enlargement: Range = _factor((1.5, 1.95))
    """Factors of a glyph's width and of its height, which are drawn independently."""
    aspect: float = _factor(0.85)
    """Factor of a glyph's width on top of that: below 1 it is narrower."""
    size: Range = _factor((0.94, 1.05))
    """Factor of a whole line: small lines lie anywhere in the picture, so no character has a fixed position."""
    slant: float = _share(0.1)
    """Maximum lean of all glyphs of a line, either way, as a share of their height."""
    turn: float = _within(0, 3.2, 0.06)
    """Maximum rotation of a glyph, either way."""
    shear: float = _share(0.08)
    """Maximum shear of a glyph, either way, as a share of its height."""
    glyph_offset: float = _length(16.0)
    """Maximum distance of a glyph above or below its place on the baseline."""
    gap: Range = _within(-50, 200, (-6.5, -2.5))
    """Distance between the ink of neighbours; below 0 they overlap."""
    line_offset: float = _length(5.0)
    """Maximum distance of the whole line above or below the middle of the picture."""
    baseline_amplitude: Range = _length((24.0, 32.0))
    """Amplitude of the wave on which the glyphs stand, undistorted."""
    baseline_wavelength: Range = _wavelength((90.0, 140.0))
    warp_amplitude: Range = _length((1.5, 3.0))
    """Amplitude of another wave, which bends the glyphs too."""
    warp_wavelength: Range = _wavelength((100.0, 140.0))
    elastic_displacement: float = _length(1.5)
    """Maximum displacement besides, at each point of a coarse grid (Simard et al. 2003)."""
    strikes: int = _within(0, 50, 2)
    """Number of thin strokes in the same ink across the line: they join what an attacker would cut apart."""
    lightness: Range = _within(0.25, 0.75, (0.4, 0.5))
    """Share of a stroke's soft edge that is paper: the stroke's weight, which varies along the line."""
    scribbles: int = _within(0, 100, 4)
    """Number of glyphs in pale ink that the line is written over."""
    unevenness: float = _within(0, 0.2, 0.0)
    """Unevenness of the paper's brightness."""
    contrast: Range = _share((0.8, 0.95))
    """Contrast of ink to paper."""
    pale_contrast: Range = _share((0.17, 0.32))
    """Contrast of pale ink, of each scribble."""
    noise: float = _share(0.0)
    """Standard deviation of the Gaussian noise, in brightness; by default none, for it stopped no machine."""
    grain: int = _within(1, 16, 1)
    """Side of the squares that the noise is made of."""

    def width(self, length: int) -> int:
        """Return the width of a picture of a code of `length` characters, in pixels of single density."""
        return self.pitch * (length + USUAL_DECOYS * bool(self.decoys))

    def changed(self, changes: Change) -> "Look":
        """Return this look with other values of some settings; a number for a range is both its ends.

        Raises:
            LookError: there is no such setting, or its value is out of range.
        """
        values = asdict(self)
        for name, value in changes.items():
            if name not in BOUNDS:
                raise LookError(f"the look has no setting {name!r}; it has {', '.join(sorted(BOUNDS))}")
            is_range, is_whole = isinstance(values[name], tuple), isinstance(values[name], int)
            ends = tuple(value) if isinstance(value, (tuple, list)) else (value, value) if is_range else (value,)
            least, most = BOUNDS[name]
            numbers = [end for end in ends if isinstance(end, Real) and not (is_whole and end % 1)]
            if len(ends) != len(numbers) or len(ends) != 1 + is_range:
                needed = "two numbers" if is_range else "a whole number" if is_whole else "a number"
                raise LookError(f"{name}: must be {needed} from {least} to {most}")
            if not all(least <= end <= most for end in ends):
                raise LookError(f"{name}: must be from {least} to {most}")
            if ends[0] > ends[-1]:
                raise LookError(f"{name}: the lower limit comes first")
            values[name] = tuple(map(float, ends)) if is_range else int(ends[0]) if is_whole else float(ends[0])
        return Look(**values)


BOUNDS: dict[str, Range] = {one.name: one.metadata["bounds"] for one in fields(Look) if one.metadata}
"""Lower and upper bound of each setting that a user may change."""
_PLAIN = Look()
# Strokes through a glyph show if it hardly touches its neighbours, and if not two others pass through it.
_CROSSED_OUT = replace(
    _PLAIN,
    kind="crossed-out",
    pitch=37,
    enlargement=(1.45, 1.85),
    glyph_offset=15.0,
    gap=(-1.2, 1.8),
    strikes=1,
)
LOOKS: dict[Kind, dict[Difficulty, Look]] = {
    "plain": {
        "easy": replace(
            _PLAIN,
            difficulty="easy",
            truncation=0.7,
            enlargement=(1.6, 1.9),
            size=(0.9, 1.0),
            glyph_offset=14.0,
            gap=(-2.0, 1.0),
            baseline_amplitude=(20.0, 28.0),
            strikes=0,
            scribbles=3,
        ),
        "standard": _PLAIN,
        "hard": replace(
            _PLAIN,
            difficulty="hard",
            truncation=0.9,
            size=(0.82, 0.92),
            glyph_offset=20.0,
            gap=(-8.5, -4.5),
            baseline_amplitude=(28.0, 36.0),
            strikes=4,
        ),
    },
    "crossed-out": {
        "easy": replace(
            _CROSSED_OUT,
            difficulty="easy",
            truncation=0.7,
            enlargement=(1.5, 1.85),
            glyph_offset=8.0,
            gap=(3.0, 6.0),
            baseline_amplitude=(12.0, 18.0),
            strikes=0,
            scribbles=3,
        ),
        "standard": _CROSSED_OUT,
        "hard": replace(_CROSSED_OUT, difficulty="hard", enlargement=(1.5, 1.9), gap=(-6.5, -2.5)),
    },
}
"""Looks by kind and difficulty, light and of single density."""


def choose_look(
    kind: Kind = "plain",
    difficulty: Difficulty = "standard",
    theme: Theme = "light",
    *,
    decoys: str,
    pixel_ratio: int = 1,
) -> Look:
    """Return the look of a kind and difficulty; `decoys` are written where the kind has some.

    Raises:
        LookError: there is no such kind, difficulty or theme, or the pixel ratio is not 1 or 2.
    """
    for name, value, values in (
        ("kind", kind, get_args(Kind)),
        ("difficulty", difficulty, DIFFICULTIES),
        ("theme", theme, get_args(Theme)),
        ("pixel_ratio", pixel_ratio, (1, 2)),
    ):
        if value not in values:
            raise LookError(f"{name} {value!r}: must be {' or '.join(map(str, values))}")
    own_decoys = decoys if kind == "crossed-out" else ""
    return replace(LOOKS[kind][difficulty], theme=theme, decoys=own_decoys, pixel_ratio=pixel_ratio)

"""A captcha with its labels, and the drawing of captchas: sample glyphs, render them, encode the pictures."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from gantcha.alphabet import SIDE, left_to_right
from gantcha.characters import to_characters
from gantcha.drawing.crossing import Crossed, add_decoys
from gantcha.drawing.look import Difficulty, Kind, Look, Theme
from gantcha.drawing.png import encode_png, to_grey
from gantcha.drawing.render import Rendered, render
from gantcha.drawing.text_lines import bits
from gantcha.glyphs.sampler import Sampler

if TYPE_CHECKING:
    from PIL.Image import Image

PART = 50
"""Captchas rendered at once: few enough for the processor's caches."""
_GROUPED = 4 * PART  # captchas among which those are found that are rendered at once: the others wait in memory
_STRAIGHT = 64
_SAMPLED = 1000  # captchas whose glyphs are drawn at once: fewer calls of each generator

Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels, the last two exclusive."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Captcha:
    """A captcha with its labels.

    Two are equal if the same is drawn; a notebook shows one as its picture.
    """

    code: str
    """what to type, without regard to case"""
    levels: npt.NDArray[np.uint8] = field(repr=False)
    """grey levels of the picture, 0 to `GREY_LEVELS - 1`, `[height, width]`"""
    characters: str
    """all characters that are drawn, from left to right"""
    crossed_out: list[bool] = field(repr=False)
    """for each character whether it is crossed out; the others are the code"""
    glyph_classes: list[str] = field(repr=False)
    """for each character the glyph class that it was drawn as: `A` or `a`"""
    look: Look = field(repr=False)
    boxes: list[Box] = field(default_factory=list, repr=False)
    """box of each character's ink; empty if not asked for"""
    parameters: dict[str, float | list[float]] = field(default_factory=dict, repr=False)
    """what was drawn at random for the line or for each character, by the look's settings; empty if not asked for"""
    masks: npt.NDArray[np.bool_] | None = field(default=None, repr=False)
    """where each character has ink, `[characters, height, width]`; None if not asked for"""
    index: int = 0
    """number in its stream or dataset"""

    @property
    def kind(self) -> Kind:
        """Whether some characters are crossed out."""
        return self.look.kind

    @property
    def difficulty(self) -> Difficulty:
        """How hard the look is made for machines."""
        return self.look.difficulty

    @property
    def theme(self) -> Theme:
        """Light or dark paper."""
        return self.look.theme

    @property
    def picture(self) -> npt.NDArray[np.uint8]:
        """Brightness, `[height, width]`: sixteen grey levels, 0, 17, ... 255."""
        return to_grey(self.levels)

    @property
    def png(self) -> bytes:
        """The picture as a PNG: the same bytes for the same picture."""
        return encode_png(self.levels, repeatable=True)

    @property
    def image(self) -> "Image":
        """The picture for Pillow, which must be installed."""
        from PIL import Image  # noqa: PLC0415 - the engine does without

        return Image.fromarray(self.picture)

    def _repr_png_(self) -> bytes:
        """Return what a notebook shows."""
        return self.png

    def __eq__(self, other: object) -> bool:
        """Compare what is drawn."""
        return isinstance(other, Captcha) and self._drawn == other._drawn

    def __hash__(self) -> int:
        return hash(self._drawn)

    @property
    def _drawn(self) -> tuple[object, ...]:
        crossed, classes = tuple(self.crossed_out), tuple(self.glyph_classes)
        return self.code, self.characters, crossed, classes, self.look, self.levels.shape, self.levels.tobytes()

    @property
    def cased(self) -> str:
        """The code in the glyph classes that it is drawn as: `A` or `a`.

        A class may hold both cases, as EMNIST's of C, I to M, O, P, S and U to Z do: the case of such letters is not
        known, and this has the capital.
        """
        kept = (symbol for symbol, out in zip(self.glyph_classes, self.crossed_out, strict=True) if not out)
        return left_to_right("".join(kept))


class _Part(NamedTuple):
    """Captchas that are rendered together: they have L characters, and equally many of them crossed out."""

    places: list[int]
    """their numbers among the codes"""
    characters: list[str]
    crossed: Crossed
    """`[N, L]`"""
    classes: npt.NDArray[np.uint8]
    """`[N, L]`"""
    glyphs: npt.NDArray[np.uint8]
    """`[N, L, 28, 28]`"""


def draw_captchas(
    codes: Sequence[str],
    sampler: Sampler,
    look: Look,
    rng: np.random.Generator,
    *,
    labelled: bool = False,
    masks: bool = False,
    cased: bool = False,
) -> Iterator[Captcha]:
    """Draw a captcha for each code, in their order.

    If `labelled` they have boxes and parameters and, if asked for, `masks`; their codes have 16 characters at most.
    If `cased` a letter is drawn in its own case where there are classes of both, and else in either.

    Raises:
        ValueError: a code is empty or has a character that no generator draws.
    """
    if not all(codes):
        raise ValueError("an empty code can't be drawn")
    straight, written = draw_straight(sampler, rng), [*map(left_to_right, codes)]
    crossed = add_decoys(written, look.decoys, rng) if look.decoys else [(c, np.zeros(len(c), bool)) for c in written]
    for start in range(0, len(codes), _SAMPLED):
        drawn: dict[int, Captcha] = {}
        following = 0
        for part in _parts(crossed[start : start + _SAMPLED], sampler, look, rng, cased):
            rendered = render(part.glyphs, straight, rng, look, part.crossed, labelled=labelled)
            labels = _labels(rendered, masks=masks) if labelled else [{} for _ in part.places]
            for number, place in enumerate(part.places):
                drawn[place] = Captcha(
                    code=to_characters(codes[start + place]),
                    levels=rendered.pictures[number],
                    characters=part.characters[number],
                    crossed_out=part.crossed[number].tolist(),
                    glyph_classes=[sampler.classes.symbols[index] for index in part.classes[number]],
                    look=look,
                    **labels[number],
                )
            while following in drawn:  # at once, or all pictures would be in memory together
                yield drawn.pop(following)
                following += 1


def _parts(
    written: Sequence[tuple[str, Crossed]], sampler: Sampler, look: Look, rng: np.random.Generator, cased: bool
) -> Iterator[_Part]:
    """Sample the glyphs of all lines, and group the lines that are alike."""
    lengths = [len(characters) for characters, _ in written]
    text = "".join(characters for characters, _ in written)
    classes = sampler.classes.choose([*text], rng).ravel()
    if cased:  # a decoy is in no case that anybody asked for
        is_decoy = np.concatenate([crossed for _, crossed in written])
        classes = np.where(is_decoy, classes, sampler.classes.as_written(text, classes))
    by_code = np.split(np.arange(len(classes)), np.cumsum(lengths)[:-1])
    glyphs = sampler.draw_legible(classes, rng, truncation=look.truncation)
    for first in range(0, len(written), _GROUPED):
        alike = defaultdict(list)
        for place, (text, crossed) in enumerate(written[first : first + _GROUPED], first):
            alike[len(text), crossed.sum()].append(place)
        for places in alike.values():
            for start in range(0, len(places), PART):
                part = places[start : start + PART]
                own = np.stack([by_code[place] for place in part])
                characters = [to_characters(written[place][0]) for place in part]
                crossed = np.stack([written[place][1] for place in part])
                yield _Part(part, characters, crossed, classes[own], glyphs[own])


def _labels(rendered: Rendered, *, masks: bool) -> list[dict[str, Any]]:
    """Return the labels of each picture, by the names of the fields of `Captcha`."""
    names = list(rendered.parameters)
    values = zip(*(rendered.parameters[name].round(4).tolist() for name in names), strict=True)
    own = bits(rendered.boxes.shape[1])[:, None, None]
    return [
        {
            "boxes": [(left, top, right, bottom) for left, top, right, bottom in boxes],
            "parameters": dict(zip(names, of_picture, strict=True)),
            "masks": owners & own > 0 if masks else None,
        }
        for boxes, of_picture, owners in zip(rendered.boxes.tolist(), values, rendered.owners, strict=True)
    ]


def draw_straight(sampler: Sampler, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Draw strokes `[64, 28, 28]` to cross lines with: the digit 1, which is hardly more than a stroke, if there is."""
    if "1" in sampler.classes.of_character:
        return sampler.draw(np.full(_STRAIGHT, sampler.classes.of_character["1"][0], np.uint8), rng)
    strokes = np.zeros((_STRAIGHT, SIDE, SIDE), np.uint8)
    for stroke, ends in zip(strokes, rng.uniform(-1.5, 1.5, (_STRAIGHT, 2, 2)), strict=True):
        top, bottom = np.rint((ends + np.array([[SIDE / 2, 4], [SIDE / 2, SIDE - 4]])) * 16).astype(int).tolist()
        cv2.line(stroke, top, bottom, 255, 3, cv2.LINE_AA, shift=4)
        cv2.GaussianBlur(stroke, (3, 3), 0, dst=stroke)
    return strokes

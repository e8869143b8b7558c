"""The 36 characters of codes and the 47 glyph classes that draw them."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
import numpy.typing as npt

SYMBOLS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt"
"""EMNIST ByMerge's classes in the order of its labels; lower-case letters not here look like their capitals."""
SIDE = 28
"""Of a glyph's image, as of EMNIST's."""


@dataclass(frozen=True)
class GlyphClass:
    """One ByMerge class: a letter or digit as it is written, capital and lower case apart where they differ."""

    index: int
    """EMNIST ByMerge label, 0-46."""
    symbol: str
    """`A` and `a` are two symbols of one character."""

    @property
    def name(self) -> str:
        """Name without case, since `A` and `a` are one file on some file systems: `10-upper-a`, `36-lower-a`."""
        kind = "digit" if self.symbol.isdigit() else "upper" if self.symbol.isupper() else "lower"
        return f"{self.index:02d}-{kind}-{self.symbol.lower()}"

    @property
    def character(self) -> str:
        """The character of a code that this class is drawn for."""
        return self.symbol.lower()


GLYPH_CLASSES = tuple(GlyphClass(index, symbol) for index, symbol in enumerate(SYMBOLS))
CLASSES_BY_NAME = {glyph_class.name: glyph_class for glyph_class in GLYPH_CLASSES}
CLASSES_BY_CHARACTER = {
    character: tuple(c.index for c in GLYPH_CLASSES if c.character == character) for character in SYMBOLS.lower()
}


def named_classes(names: str) -> list[GlyphClass]:
    """Give the classes of `all` or of names with commas, such as `10-upper-a,36-lower-a`.

    Raises:
        ValueError: there is no class of such a name.
    """
    if names == "all":
        return list(GLYPH_CLASSES)
    chosen = list(dict.fromkeys(names.split(",")))
    if unknown := [name for name in chosen if name not in CLASSES_BY_NAME]:
        raise ValueError(f"no glyph class {unknown[0]!r}; they are {', '.join(CLASSES_BY_NAME)}")
    return [CLASSES_BY_NAME[name] for name in chosen]


CHARACTER_OF_CLASS = np.array([ord(c.character) for c in GLYPH_CLASSES])
"""`[47]`: classes that are one character, read without case."""

_LOOKALIKES = ("0o", "1il", "5s", "2z", "9gq", "uv")


def _group_lookalikes(character: str) -> str:
    return next((group[0] for group in _LOOKALIKES if character in group), character)


LOOKALIKES_OF_CLASS = np.array([ord(_group_lookalikes(chr(character))) for character in CHARACTER_OF_CLASS])
"""`[47]`: as `CHARACTER_OF_CLASS`, with characters that look alike in handwriting as one."""


_UNGUESSABLE = secrets.SystemRandom()


def draw_codes(count: int, alphabet: str, length: int, rng: Random = _UNGUESSABLE) -> list[str]:
    """Draw codes for the pool: a third to two thirds digits, like 2-4 of 6, where the alphabet has both kinds.

    They are unpredictable unless `rng` is seeded.
    """
    digits = [character for character in alphabet if character.isdigit()]
    letters = [character for character in alphabet if not character.isdigit()]
    fewest, most = -(-length // 3), 2 * length // 3

    def draw_code() -> str:
        if not digits or not letters:
            return "".join(rng.choices(alphabet, k=length))
        digit_count = rng.randint(fewest, most)
        characters = rng.choices(digits, k=digit_count) + rng.choices(letters, k=length - digit_count)
        rng.shuffle(characters)
        return "".join(characters)

    return [draw_code() for _ in range(count)]


def choose_classes(codes: Sequence[str], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Choose a glyph class for each character of N codes of one length L: `[N, L]` ByMerge indices.

    A character of two classes gets either with equal probability.

    Raises:
        ValueError: a code has a character outside 0-9 and a-z, or the codes differ in length.
    """
    if len({len(code) for code in codes}) > 1:
        raise ValueError("the codes of a batch must have one length")
    first, second = np.zeros(128, np.uint8), np.zeros(128, np.uint8)
    for character, indices in CLASSES_BY_CHARACTER.items():
        first[ord(character)], second[ord(character)] = indices[0], indices[-1]
    text = "".join(codes).lower()
    if unknown := set(text) - set(CLASSES_BY_CHARACTER):
        raise ValueError(f"codes are made of 0-9 and a-z; {''.join(sorted(unknown))!r} can't be drawn")
    characters = np.frombuffer(text.encode(), np.uint8).reshape(len(codes), -1)
    return np.where(rng.integers(2, size=characters.shape), second[characters], first[characters])

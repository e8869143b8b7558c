"""The glyph classes that generators draw, the characters that they stand for, and codes of such characters."""

import math
import secrets
import unicodedata
from collections.abc import Container, Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import TYPE_CHECKING

from gantcha.characters import named_characters, normalize_answer, to_characters

# A server only reads which characters are drawn: it starts without NumPy.
if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SIDE = 28
"""Side of a glyph's image in pixels, as in EMNIST."""


@dataclass(frozen=True)
class GlyphClass:
    """A character as it is written: capital and lower case are two classes where both are drawn."""

    index: int
    """label among all classes, from 0"""
    symbol: str
    """symbol as it is written: `A` and `a` are two symbols of one character"""

    @property
    def name(self) -> str:
        """ASCII name without case, since `A` and `a` are one file on some file systems: `10-upper-a`, `03-u0436`."""
        if not (self.symbol.isascii() and self.symbol.isalnum()):
            return f"{self.index:02d}-u{ord(self.symbol):04x}"
        kind = "digit" if self.symbol.isdigit() else "upper" if self.symbol.isupper() else "lower"
        return f"{self.index:02d}-{kind}-{self.symbol.lower()}"

    @property
    def character(self) -> str:
        """The character of a code that this class is drawn for."""
        return to_characters(self.symbol)


class GlyphClasses(Sequence[GlyphClass]):
    """All classes of a set of generators, by their labels. While some are not trained, the others are drawn."""

    def __init__(self, symbols: str, trained: Container[str] | None = None) -> None:
        """`symbols` are those of the classes in the order of their labels, 256 at most.

        `trained` are the names of those that have a generator; all if omitted.
        """
        self.symbols = symbols
        self._classes = tuple(GlyphClass(index, symbol) for index, symbol in enumerate(symbols))
        self.drawn = [c for c in self if trained is None or c.name in trained]
        """classes that have a generator"""
        self.characters = "".join(dict.fromkeys(c.character for c in self.drawn))
        """characters that are drawn, in the order of the labels"""
        self.of_character = {
            character: tuple(c.index for c in self.drawn if c.character == character) for character in self.characters
        }
        """labels that are drawn, by character"""

    @cached_property
    def meanings(self) -> "npt.NDArray[np.int64]":
        """`[C]`: code points of the characters; classes of one character are one."""
        import numpy as np

        return np.array([ord(c.character) for c in self])

    @cached_property
    def lookalikes(self) -> "npt.NDArray[np.int64]":
        """`[C]`: likewise, with characters that look alike in handwriting as one: those that answers may confuse."""
        import numpy as np

        alike = [normalize_answer(c.character) for c in self]
        return np.array([alike.index(meant) for meant in alike])

    def __len__(self) -> int:
        return len(self._classes)

    def __getitem__(self, index):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN204 - as of a tuple
        return self._classes[index]

    def named(self, names: str) -> list[GlyphClass]:
        """Return the classes of `all` that are drawn, or of names with commas, such as `10-upper-a,36-lower-a`.

        Raises:
            ValueError: there is no class of such a name.
        """
        if names == "all":
            return [*self.drawn]
        by_name = {c.name: c for c in self.drawn}
        chosen = list(dict.fromkeys(names.split(",")))
        if unknown := [name for name in chosen if name not in by_name]:
            raise ValueError(f"no glyph class {unknown[0]!r}; they are {', '.join(by_name)}")
        return [by_name[name] for name in chosen]

    def choose(self, codes: Sequence[str], rng: "np.random.Generator") -> "npt.NDArray[np.uint8]":
        """Choose a class for each character of N codes of one length L: `[N, L]` labels.

        All classes of a character are equally probable.

        Raises:
            ValueError: a code has a character that no class stands for, or the codes differ in length.
        """
        import numpy as np

        if len({len(code) for code in codes}) > 1:
            raise ValueError("the codes of a batch must have one length")
        text = to_characters("".join(codes))
        if unknown := set(text) - set(self.of_character):
            known = named_characters(self.characters)
            raise ValueError(f"codes are made of {known}; {''.join(sorted(unknown))!r} can't be drawn")
        count = math.lcm(2, *map(len, self.of_character.values()))
        by_point = sorted(self.of_character)
        choices = np.array([np.resize(self.of_character[character], count) for character in by_point], np.uint8)
        characters = np.searchsorted(_points("".join(by_point)), _points(text)).reshape(len(codes), -1)
        return choices[characters, rng.integers(count, size=characters.shape)]

    def as_written(self, text: str, otherwise: "npt.NDArray[np.uint8]") -> "npt.NDArray[np.uint8]":
        """Return the class of each character of a text in its own case, or that of `otherwise` where there is none."""
        import numpy as np

        by_symbol = {c.symbol: c.index for c in self.drawn}
        known = [by_symbol.get(symbol, -1) for symbol in text]
        return np.where(np.array(known) < 0, otherwise, known).astype(np.uint8)


def _points(text: str) -> "npt.NDArray[np.uint32]":
    import numpy as np

    return np.frombuffer(text.encode("utf-32-le"), np.uint32)


BYMERGE = GlyphClasses("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt")
"""Classes of EMNIST ByMerge; lower-case letters that are not here are in the class of their capital."""


def left_to_right(code: str) -> str:
    """Return the characters of a code as they are written from left to right, or the code again of such characters."""
    return code[::-1] if any(unicodedata.bidirectional(character) in ("R", "AL") for character in code) else code


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

"""Random codes of a pattern: what `[a-z]{3}[0-9]{2,4}` gives, all characters of a class equally likely."""

import re
from collections.abc import Sequence
from math import prod
from numbers import Integral
from random import Random
from typing import NamedTuple

from gantcha.characters import named_characters, to_characters
from gantcha.drawing.look import MOST_BOXES
from gantcha.errors import GantchaError

_PART = re.compile(r"(\[(?:[^\]\\]|\\.)+\]|\\d|\\\W|\w)(?:\{(\d+)(?:,(\d+))?\})?")


class PatternError(GantchaError):
    """Codes can't be of such a pattern, alphabet or length."""


class _Part(NamedTuple):
    characters: str
    least: int
    most: int


class Pattern:
    """Codes as a regular expression gives them: characters, `[classes]` and `\\d`, with `{counts}` or `{least,most}`.

    All characters of a class are equally likely, and so are all counts. A symbol that is no letter or digit is written
    as `\\+`.
    """

    def __init__(self, text: str, drawn: str) -> None:
        """`drawn` are all characters that can be drawn.

        Raises:
            PatternError: this is no such pattern, or allows no code or too long ones.
        """
        parts, end = [], 0
        for match in _PART.finditer(to_characters(text)):
            if match.start() == end:
                end = match.end()
                least = int(match[2] or 1)
                parts.append(_Part(_members(match[1], drawn), least, int(match[3] or least)))
        self._parts = parts
        most = sum(part.most for part in parts)
        if end < len(text) or not all(part.characters and part.least <= part.most for part in parts):
            raise PatternError(f"pattern {text}: must look like [a-z]{{3}}[0-9]{{2,4}}, of {named_characters(drawn)}")
        if not 1 <= sum(part.least for part in parts) <= most <= MOST_BOXES:
            raise PatternError(f"pattern {text}: codes must have 1 to {MOST_BOXES} characters")

    @property
    def count(self) -> int:
        """The number of different codes, or more where several parts give the same code."""
        return prod(
            sum(len(part.characters) ** length for length in range(part.least, part.most + 1)) for part in self._parts
        )

    def draw(self, rng: Random) -> str:
        """Draw a code."""
        lengths = [
            part.least if part.least == part.most else rng.randint(part.least, part.most) for part in self._parts
        ]
        return "".join(
            character
            for part, length in zip(self._parts, lengths, strict=True)
            for character in rng.choices(part.characters, k=length)
        )


def _members(text: str, drawn: str) -> str:
    try:
        return "".join(character for character in sorted(drawn) if re.fullmatch(text, character))
    except re.error as error:
        raise PatternError(f"pattern: {text} is no class of characters: {error}") from error


def pattern_of(alphabet: str, length: int | Sequence[int], drawn: str) -> str:
    """Return the pattern of codes of an alphabet, and of a length or of any length in a range.

    Raises:
        PatternError: the alphabet is not of characters that are `drawn`, or the length is out of range.
    """
    characters = to_characters(alphabet)
    if not characters or len(set(characters)) < len(characters) or not set(characters) <= set(drawn):
        raise PatternError(f"alphabet {alphabet}: must be different characters of {named_characters(drawn)}")
    ends = tuple(length) if isinstance(length, (tuple, list)) else (length, length)
    if not (
        len(ends) == 2 and all(isinstance(end, Integral) for end in ends) and 1 <= ends[0] <= ends[1] <= MOST_BOXES
    ):
        raise PatternError(f"length {length}: must be 1 to {MOST_BOXES}, or a range of two such numbers")
    shortest, longest = ends
    return f"[{re.escape(characters)}]{{{shortest},{longest}}}"

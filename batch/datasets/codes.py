"""The codes of a dataset: random ones of a pattern, or those of a file."""

import hashlib
import re
from collections.abc import Sequence
from itertools import accumulate
from math import prod
from pathlib import Path
from random import Random
from typing import NamedTuple

from batch.datasets.plan import DatasetError
from batch.drawing.style import MOST_BOXES
from pool.answers import named_characters, to_characters

_PART = re.compile(r"(\[[^\]]+\]|\\d|\w)(?:\{(\d+)(?:,(\d+))?\})?")
_LENGTH = re.compile(r"(\d+)(?:-(\d+))?")
_FEWEST = 20  # codes that a split may choose from, on average


class _Part(NamedTuple):
    characters: str
    least: int
    most: int


class Pattern:
    """Codes as a regular expression gives them: characters, `[classes]` and `\\d`, with `{counts}` or `{least,most}`.

    All characters of a class are equally likely, and so are all counts.
    """

    def __init__(self, text: str, drawn: str) -> None:
        """`drawn` are all characters that can be drawn.

        Raises:
            DatasetError: this is no such pattern, or allows no code or too long ones.
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
            raise DatasetError(f"--pattern {text}: must look like [a-z]{{3}}[0-9]{{2,4}}, of {named_characters(drawn)}")
        if not 1 <= sum(part.least for part in parts) <= most <= MOST_BOXES:
            raise DatasetError(f"--pattern {text}: codes must have 1 to {MOST_BOXES} characters")

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
        raise DatasetError(f"--pattern: {text} is no class of characters: {error}") from error


def pattern_of(alphabet: str, length: str) -> str:
    """Give the pattern of codes of a length, `6` or `4-8`. Raises DatasetError for another text."""
    match = _LENGTH.fullmatch(length.strip())
    shortest, longest = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 1 <= shortest <= longest <= MOST_BOXES:
        raise DatasetError(f"--length {length}: must be a number up to {MOST_BOXES}, or two such as 4-8")
    return f"[{alphabet}]{{{shortest},{longest}}}"


class SplitChooser:
    """Gives each code to one split, by a hash, so that no code is in two."""

    def __init__(self, seed: int, splits: dict[str, int]) -> None:
        total = sum(splits.values())
        self._key = f"{seed}:"
        self._ends = {split: end / total for split, end in zip(splits, accumulate(splits.values()), strict=True)}

    def choose(self, code: str) -> str:
        """Give the split that may have this code."""
        digest = hashlib.sha256((self._key + code).encode()).digest()
        at = int.from_bytes(digest[:6]) / 2**48
        return next(split for split, end in self._ends.items() if at < end)


def check_disjoint(pattern: Pattern, splits: dict[str, int]) -> None:
    """Raises DatasetError where a split might get no code."""
    if len(splits) > 1 and pattern.count * min(splits.values()) < _FEWEST * sum(splits.values()):
        raise DatasetError(f"--disjoint: {pattern.count} codes are too few for these splits; allow longer codes")


def check_unique(codes: Sequence[str], path: Path) -> None:
    """Raises DatasetError where a code is there twice."""
    if repeated := len(codes) - len(set(codes)):
        raise DatasetError(f"--disjoint: {path} repeats {repeated} codes; leave each only once (sort -u)")


def read_codes(path: Path, drawn: str) -> list[str]:
    """Read a file of codes of `drawn` characters, one a line.

    Raises:
        DatasetError: it can't be read, or a line is no code.
    """
    try:
        lines = to_characters(path.read_text("utf-8")).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} can't be read: {getattr(error, 'strerror', None) or 'it is no text'}") from error
    codes = [line.strip() for line in lines]
    for number, code in enumerate(codes, 1):
        if code and (len(code) > MOST_BOXES or not set(code) <= set(drawn)):
            known = named_characters(drawn)
            raise DatasetError(f"{path}, line {number}: {code!r} is not 1 to {MOST_BOXES} characters of {known}")
    if not any(codes):
        raise DatasetError(f"{path} has no codes")
    return [code for code in codes if code]

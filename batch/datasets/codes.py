"""The codes of a dataset: those of a file, and which split may have a random one."""

import hashlib
import unicodedata
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

from batch.datasets.plan import DatasetError
from gantcha.characters import named_characters, to_characters
from gantcha.drawing.look import MOST_BOXES
from gantcha.patterns import Pattern

_FEWEST = 20  # codes that a split may choose from, on average


class SplitChooser:
    """Gives each code to one split, by a hash, so that no code is in two."""

    def __init__(self, seed: int, splits: dict[str, int]) -> None:
        total = sum(splits.values())
        self._key = f"{seed}:"
        self._ends = {split: end / total for split, end in zip(splits, accumulate(splits.values()), strict=True)}

    def choose(self, code: str) -> str:
        """Return the split that may have this code."""
        digest = hashlib.sha256((self._key + code).encode()).digest()
        at = int.from_bytes(digest[:6]) / 2**48
        return next(split for split, end in self._ends.items() if at < end)


def check_disjoint(pattern: Pattern, splits: dict[str, int]) -> None:
    """Raises DatasetError where a split might get no code."""
    if len(splits) > 1 and pattern.count * min(splits.values()) < _FEWEST * sum(splits.values()):
        raise DatasetError(f"--disjoint: {pattern.count} codes are too few for these splits; allow longer codes")


def check_unique(codes: Sequence[str], path: Path) -> None:
    """Raises DatasetError where a code is there twice."""
    if repeated := len(codes) - len({to_characters(code) for code in codes}):
        raise DatasetError(f"--disjoint: {path} repeats {repeated} codes; leave each only once (sort -u)")


def read_codes(path: Path, drawn: str) -> list[str]:
    """Read a file of codes of `drawn` characters, one a line.

    Raises:
        DatasetError: it can't be read, or a line is no code.
    """
    try:
        lines = unicodedata.normalize("NFC", path.read_text("utf-8-sig")).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} can't be read: {getattr(error, 'strerror', None) or 'it is no text'}") from error
    codes = [line.strip() for line in lines]
    for number, code in enumerate(codes, 1):
        if len(code) > MOST_BOXES or not set(to_characters(code)) <= set(drawn):
            known = named_characters(drawn)
            raise DatasetError(f"{path}, line {number}: {code!r} is not 1 to {MOST_BOXES} characters of {known}")
    if not any(codes):
        raise DatasetError(f"{path} has no codes")
    return [code for code in codes if code]

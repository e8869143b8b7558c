"""What counts as the same answer."""

import unicodedata
from secrets import compare_digest

# Handwriting makes these look alike, so typing one for the other is no mistake. While an alphabet holds only one of a
# group, as the default one does, that costs nothing; with all 36 characters a guess is right a little more often.
_LOOK_ALIKE = {"o": "0", "i": "1", "l": "1", "z": "2", "s": "5", "g": "9", "q": "9", "v": "u"}
# A keyboard that is set to Cyrillic types what looks the same.
_CYRILLIC = dict(zip("авезкмнорстух", "abe3kmhopctyx", strict=True))
_FOLDED = str.maketrans(_LOOK_ALIKE | {typed: _LOOK_ALIKE.get(meant, meant) for typed, meant in _CYRILLIC.items()})


def fold(answer: str) -> str:
    """Take out case, spaces, full-width forms and what handwriting can't tell apart."""
    return "".join(unicodedata.normalize("NFKC", answer).lower().split()).translate(_FOLDED)


def is_right(answer: str, code: str) -> bool:
    """Compare in a time that does not tell how much of the answer is right."""
    return compare_digest(fold(answer).encode(), fold(code).encode())

"""Which answers count as the same."""

import re
import unicodedata
from secrets import compare_digest

# These look alike in handwriting, so one is accepted for the other. With at most one of each group in the alphabet, as
# in the default one, this costs nothing; with all 36 characters a guess is right slightly more often.
_LOOKALIKES = {"o": "0", "i": "1", "l": "1", "z": "2", "s": "5", "g": "9", "q": "9", "v": "u"}
# A Cyrillic keyboard layout types letters that look the same.
_CYRILLIC = dict(zip("авезкмнорстух", "abe3kmhopctyx", strict=True))
_SAME_ANSWER = str.maketrans(_LOOKALIKES | {typed: _LOOKALIKES.get(meant, meant) for typed, meant in _CYRILLIC.items()})
# Invisible characters that copied text may contain: zero-width spaces, direction marks, the soft hyphen and other
# controls (by category), and the rest of what Unicode calls ignorable: joiners, fillers, tags.
_CONTROLS = ("Cc", "Cf")
_IGNORABLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\ufe00-\ufe0f\ufff0-\ufff8\U000e0000-\U000e0fff]"
)


def normalize_answer(answer: str) -> str:
    """Remove differences of case, spaces, invisible characters, full-width forms and handwritten look-alikes."""
    if answer.isascii() and answer.isalnum():  # nearly all are
        return answer.lower().translate(_SAME_ANSWER)
    text = _IGNORABLE.sub("", unicodedata.normalize("NFKC", answer).lower())
    seen = (character for character in text if unicodedata.category(character) not in _CONTROLS)
    return "".join("".join(seen).split()).translate(_SAME_ANSWER)


def is_right(answer: str, code: str) -> bool:
    """Compare in constant time, which does not reveal how much of the answer is right."""
    return compare_digest(normalize_answer(answer).encode(), normalize_answer(code).encode())

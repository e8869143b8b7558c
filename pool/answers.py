"""What counts as the same answer."""

import re
import unicodedata
from secrets import compare_digest

# Handwriting makes these look alike, so typing one for the other is no mistake. While an alphabet holds only one of a
# group, as the default one does, that costs nothing; with all 36 characters a guess is right a little more often.
_LOOKALIKES = {"o": "0", "i": "1", "l": "1", "z": "2", "s": "5", "g": "9", "q": "9", "v": "u"}
# A keyboard that is set to Cyrillic types what looks the same.
_CYRILLIC = dict(zip("авезкмнорстух", "abe3kmhopctyx", strict=True))
_SAME_ANSWER = str.maketrans(_LOOKALIKES | {typed: _LOOKALIKES.get(meant, meant) for typed, meant in _CYRILLIC.items()})
# Nobody sees or types these, but copied text may have them: zero-width spaces, marks of direction, the soft hyphen and
# other controls (by their category), and what else Unicode calls ignorable: joiners, fillers, tags.
_CONTROLS = ("Cc", "Cf")
_IGNORABLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\ufe00-\ufe0f\ufff0-\ufff8\U000e0000-\U000e0fff]"
)


def normalize_answer(answer: str) -> str:
    """Take out case, spaces, what nobody sees, full-width forms and what handwriting can't tell apart."""
    text = _IGNORABLE.sub("", unicodedata.normalize("NFKC", answer).lower())
    seen = (character for character in text if unicodedata.category(character) not in _CONTROLS)
    return "".join("".join(seen).split()).translate(_SAME_ANSWER)


def is_right(answer: str, code: str) -> bool:
    """Compare in a time that does not tell how much of the answer is right."""
    return compare_digest(normalize_answer(answer).encode(), normalize_answer(code).encode())

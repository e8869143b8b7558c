"""The characters of codes, and which answers count as the same."""

import re
import string
import unicodedata
from secrets import compare_digest

CHARACTERS = string.digits + string.ascii_lowercase
"""Characters of generators whose manifest names no symbols, such as those that come with the project."""
CONFUSABLE = "01abcefghilnoqrstuvyz"
"""Left out of codes by default: in distorted handwriting these look like others (0 o, 2 a, 4 h, 6 b, 7 r, c e, f p)."""

# These look alike in handwriting, so one is accepted for the other. With at most one of each group in the alphabet, as
# in the default one, this costs nothing; with all 36 characters a guess is right slightly more often.
_LOOKALIKES = {"o": "0", "i": "1", "l": "1", "z": "2", "s": "5", "g": "9", "q": "9", "v": "u"}
# Other keyboard layouts type letters that look the same (Unicode's confusables). Where the small letter looks like one
# Latin letter and the capital like another, the capital counts: answers have no case.
_TYPED = dict(
    zip(
        "авезкмнорстухіјѕԁһԛԝӏ" + "αβεζηικμνορτυχ" + "ı",  # noqa: RUF001 - Cyrillic, Greek, and Turkish
        "abe3kmhopctyxijsdhqwl" + "abezhikmnoptyx" + "i",
        strict=True,
    )
)
_SAME_ANSWER = str.maketrans(_LOOKALIKES | {typed: _LOOKALIKES.get(meant, meant) for typed, meant in _TYPED.items()})
_DOTTED_I = "i\u0307"  # what a Turkish capital with its dot is in small letters
# Invisible characters that copied text may contain: zero-width spaces, direction marks, the soft hyphen and other
# controls (by category), and the rest of what Unicode calls ignorable: joiners, fillers, tags.
_CONTROLS = ("Cc", "Cf")
_IGNORABLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\ufe00-\ufe0f\ufff0-\ufff8\U000e0000-\U000e0fff]"
)


def to_characters(symbols: str) -> str:
    """Return the character that each symbol stands for, one for one: without case, composed (Unicode NFC)."""
    return "".join(map(str.lower, unicodedata.normalize("NFC", symbols)))


def named_characters(characters: str) -> str:
    """Name the characters of generators, for messages."""
    return "0-9 and a-z" if characters == CHARACTERS else characters


def usual_alphabet(drawn: str) -> str:
    """Return the default alphabet: all that is drawn or, of 0-9 and a-z, the 15 that are not confusable."""
    return "".join(c for c in drawn if c not in CONFUSABLE) if drawn == CHARACTERS else drawn


def normalize_answer(answer: str) -> str:
    """Remove differences of case, spaces, invisible characters, full-width forms and handwritten look-alikes.

    Digits of any script are those of ASCII: keyboards differ in which they type.
    """
    if answer.isascii() and answer.isalnum():  # nearly all are
        return answer.lower().translate(_SAME_ANSWER)
    text = _IGNORABLE.sub("", unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", answer).casefold()))
    seen = (_plain_digit(character) for character in text if unicodedata.category(character) not in _CONTROLS)
    return "".join("".join(seen).split()).replace(_DOTTED_I, "i").translate(_SAME_ANSWER)


def _plain_digit(character: str) -> str:
    return str(unicodedata.decimal(character, character))


def is_right(answer: str, code: str) -> bool:
    """Compare in constant time, which does not reveal how much of the answer is right."""
    return compare_digest(normalize_answer(answer).encode(), normalize_answer(code).encode())

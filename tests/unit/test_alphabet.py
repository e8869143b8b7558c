"""Codes and the glyph classes that draw them."""

from pathlib import Path

import numpy as np
import pytest

from gantcha.alphabet import BYMERGE, GlyphClasses, draw_codes, left_to_right
from gantcha.characters import CHARACTERS, is_right
from gantcha.trained import classes_of, drawn_characters
from pool.settings import Settings


def test_codes_mix_two_to_four_digits_with_letters() -> None:
    codes = draw_codes(2000, Settings().alphabet, 6)
    assert {sum(character.isdigit() for character in code) for code in codes} == {2, 3, 4}
    assert {len(code) for code in codes} == {6}
    assert len(set(codes)) > 1990


def test_codes_use_all_of_the_alphabet_and_nothing_else() -> None:
    for alphabet in (Settings().alphabet, CHARACTERS, "abc", "01"):
        assert set("".join(draw_codes(2000, alphabet, 6))) == set(alphabet)


def test_confusable_characters_are_left_out_by_default() -> None:
    assert not set(Settings().alphabet) & set("0o1il")


def test_class_names_differ_even_where_case_is_ignored() -> None:
    assert len({glyph_class.name.lower() for glyph_class in BYMERGE}) == 47
    assert BYMERGE[10].name == "10-upper-a"
    assert BYMERGE[36].name == "36-lower-a"


def test_every_character_has_its_shapes() -> None:
    assert set(BYMERGE.of_character) == set(CHARACTERS)
    assert sorted(index for indices in BYMERGE.of_character.values() for index in indices) == list(range(47))


def test_a_letter_with_two_shapes_draws_either() -> None:
    classes = BYMERGE.choose(["aAc9"] * 200, np.random.default_rng(1))
    assert {int(index) for index in classes[:, 0]} == {int(index) for index in classes[:, 1]} == {10, 36}
    assert set(classes[:, 2]) == {12}
    assert set(classes[:, 3]) == {9}


def test_what_cant_be_drawn_is_named() -> None:
    with pytest.raises(ValueError, match="é"):
        BYMERGE.choose(["caf\u00e9"], np.random.default_rng(1))
    with pytest.raises(ValueError, match="one length"):
        BYMERGE.choose(["abc", "ab"], np.random.default_rng(1))


def test_a_manifest_that_names_no_characters_has_those_of_emnist(tmp_path: Path) -> None:
    assert classes_of({}).symbols == BYMERGE.symbols
    assert drawn_characters(tmp_path) == BYMERGE.characters  # a server has no manifest where another machine draws


def test_only_classes_with_a_generator_are_drawn() -> None:
    """Of a letter with two shapes the one that is trained."""
    classes, rng = GlyphClasses(BYMERGE.symbols, {"10-upper-a", "09-digit-9"}), np.random.default_rng(1)
    assert classes.characters == "9a"
    drawn = classes.choose(["aA9"] * 50, rng)
    assert {tuple(code) for code in drawn.tolist()} == {(10, 10, 9)}
    assert classes.as_written("aA9", drawn[0]).tolist() == [10, 10, 9]
    with pytest.raises(ValueError, match="codes are made of 9a; 'b' can't be drawn"):
        classes.choose(["ab"], rng)
    with pytest.raises(ValueError, match="they are 09-digit-9, 10-upper-a"):
        classes.named("36-lower-a")


def test_scripts_that_run_from_right_to_left_are_drawn_so() -> None:
    assert left_to_right("\u05d0\u05d1\u05d2") == "\u05d2\u05d1\u05d0"
    assert left_to_right("ab12") == "ab12"
    assert left_to_right("\u0661\u0662") == "\u0661\u0662"  # Arabic digits do not


@pytest.mark.parametrize(
    ("typed", "code"), [("ΩΣ", "ω\u03c3"), ("STRASSE", "straße"), ("\u0663\u06f4", "34"), ("12", "१२")]
)
def test_answers_are_compared_by_the_rules_of_their_script(typed: str, code: str) -> None:
    assert is_right(typed, code)


def test_a_character_of_three_symbols_is_drawn_as_each() -> None:
    classes = GlyphClasses("ǄǅǆБ")
    assert classes.characters == "ǆб"
    counts = np.bincount(classes.choose(["ǆ"] * 3000, np.random.default_rng(1)).ravel())
    assert len(counts) == 3 and counts.min() > 900

"""Codes and the glyph classes that draw them."""

import numpy as np
import pytest

from gantcha.alphabet import BYMERGE, draw_codes
from gantcha.characters import CHARACTERS
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

"""From glyphs to PNGs."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from batch.captcha import generate_captcha
from batch.encode import encode_png, save_pic
from batch.render import RenderSettings, add_noise, concat_pics
from pool.errors import StorageError
from tests.conftest import only_line, run


def test_glyphs_stand_side_by_side_in_order() -> None:
    glyphs = np.zeros((2, 6, 28, 28), np.uint8)
    for place in range(6):
        glyphs[0, place, 4:24, 4:24] = 40 * place
    strokes = concat_pics(glyphs)
    assert strokes.shape == (2, 80, 240)
    assert strokes[1].max() == 0
    settings = RenderSettings()
    centres = [settings.margin + 20 + settings.pitch * place for place in range(6)]
    assert strokes[0, 40, centres] * 255 == pytest.approx([0, 40, 80, 120, 160, 200], abs=1)


def test_no_ink_is_cut_off() -> None:
    glyphs = np.zeros((1, 6, 28, 28), np.uint8)
    glyphs[:, :, 4:24, 4:24] = 255
    strokes = concat_pics(glyphs)
    assert strokes[:, 0].max() == strokes[:, -1].max() == strokes[:, :, 0].max() == strokes[:, :, -1].max() == 0
    assert strokes.sum() > 6 * 36 * 40 * 0.9


def test_other_lengths_are_wider_or_narrower() -> None:
    assert concat_pics(np.zeros((1, 4, 28, 28), np.uint8)).shape == (1, 80, 240 - 2 * 36)


def test_noise_is_gaussian_on_paper_and_ink() -> None:
    strokes = np.zeros((20, 80, 240), np.float32)
    strokes[:, :, 120:] = 1
    settings = RenderSettings(paper=0.7, ink=0.3)
    levels = add_noise(strokes, np.random.default_rng(1), settings)
    assert levels.dtype == np.uint8 and levels.max() <= 15
    for half, brightness in ((levels[:, :, :120], 0.7), (levels[:, :, 120:], 0.3)):
        assert half.mean() / 15 == pytest.approx(brightness, abs=0.005)
        assert half.std() / 15 == pytest.approx(settings.noise, rel=0.1)


def test_the_same_generator_repeats_the_noise() -> None:
    strokes = np.zeros((1, 80, 240), np.float32)
    one, same, other = (add_noise(strokes, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_a_png_shows_the_levels_it_was_made_of() -> None:
    levels = np.random.default_rng(1).integers(16, size=(80, 240), dtype=np.uint8)
    with Image.open(io.BytesIO(encode_png(levels))) as image:
        assert np.array_equal(np.asarray(image.convert("L")), levels * 17)


def test_save_pic_says_where_it_could_not_write(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="nowhere"):
        save_pic(np.zeros((2, 2), np.uint8), tmp_path / "nowhere" / "x.png")


def test_generate_captcha_draws_all_36_characters(tmp_path: Path) -> None:
    for text in ("012345", "6789ab", "cdefgh", "ijklmn", "opqrst", "uvwxyz", "ABCXYZ"):
        name = generate_captcha(text, tmp_path)
        assert text.lower() not in name.lower()
        with Image.open(tmp_path / name) as image:
            assert image.size == (240, 80)
            grey = np.asarray(image.convert("L"))
        # Ink stands in each of the six places.
        assert all((grey[:, 20 + 36 * place : 40 + 36 * place] < 110).sum() > 20 for place in range(6))


def test_generate_captcha_refuses_what_it_cant_draw(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="can't be drawn"):
        generate_captcha("ab cd!", tmp_path)


def test_a_fill_without_generators_fails_in_one_line(sqlite_settings: dict[str, object], tmp_path: Path) -> None:
    line = only_line(run("batch.fill", "--count", 1, "--quiet", **sqlite_settings | {"CHECKPOINTS_DIR": tmp_path}))
    assert line.startswith("error: ") and str(tmp_path) in line

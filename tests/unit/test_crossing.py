"""The kind of captcha of which some characters are crossed out."""

import io
from collections import Counter
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from gantcha.captcha import draw_captchas
from gantcha.drawing.crossing import add_decoys, cross_out
from gantcha.drawing.look import LOOKS
from gantcha.drawing.text_lines import concat_pics
from gantcha.glyphs.sampler import Sampler, load_sampler
from gantcha.home import CHECKPOINTS
from pool.models import Stock
from pool.settings import Settings

LOOK = replace(LOOKS["crossed-out"]["standard"], decoys="23456789")


@pytest.fixture(scope="module")
def sampler() -> Sampler:
    return load_sampler(CHECKPOINTS)


def rng() -> np.random.Generator:
    return np.random.default_rng(1)


def test_what_is_not_crossed_out_is_the_code() -> None:
    codes = ["abcdef", "xkpwmd"] * 500
    written = add_decoys(codes, "23456789", rng())
    counts = Counter(int(crossed.sum()) for _, crossed in written)
    assert set(counts) == {1, 2, 3} and counts[2] > 500
    for code, (characters, crossed) in zip(codes, written, strict=True):
        left = "".join(c for c, out in zip(characters, crossed, strict=True) if not out)
        assert left == code
        assert {c for c, out in zip(characters, crossed, strict=True) if out} <= set("23456789")
    first, last = (sum(bool(crossed[place]) for _, crossed in written) for place in (0, -1))
    assert 150 < first < 350 and 150 < last < 350  # any place, a quarter of the time


def test_strokes_go_through_those_that_are_crossed_out_and_no_others() -> None:
    bars = np.zeros((20, 8, 28, 28), np.uint8)
    bars[:, :, 4:24, 12:16] = 255
    straight = np.zeros((3, 28, 28), np.uint8)
    straight[:, 4:24, 12:16] = 255
    look = replace(
        LOOK,
        gap=(20.0, 20.0),
        baseline_amplitude=(0.0, 0.0),
        glyph_offset=0,
        turn=0,
        shear=0,
        slant=0,
    )
    lines = concat_pics(bars, rng(), look)
    crossed = rng().permuted(np.tile(np.arange(8) < 2, (20, 1)), axis=1)
    out = cross_out(lines, crossed, straight, rng(), look)
    before = np.zeros_like(out.strokes)
    margin = (out.strokes.shape[1] - lines.strokes.shape[1]) // 2
    before[:, margin:-margin, margin:-margin] = lines.strokes
    added = (out.strokes > 127) & (before < 128)
    for line, places, is_crossed in zip(added, out.boxes, crossed, strict=True):
        for (left, _, right, _), one in zip(places, is_crossed, strict=True):
            assert line[:, left - 4 : right + 4].any() == one


@pytest.mark.parametrize(("theme", "ratio"), [("light", 1), ("dark", 2)])
@pytest.mark.parametrize("length", [4, 8])
def test_captchas_of_a_length_have_one_size(sampler: Sampler, theme: str, ratio: int, length: int) -> None:
    look = Settings(theme=theme).look_of(Stock("crossed-out", "standard", ratio))
    codes = ["23456789"[:length]] * 12
    sizes = {Image.open(io.BytesIO(one.png)).size for one in draw_captchas(codes, sampler, look, rng())}
    assert sizes == {(look.width(length) * ratio, look.height * ratio)}


def test_labels_tell_all_characters_and_which_count(sampler: Sampler) -> None:
    codes = ["2345", "6789kd", "mpwx2345"] * 10
    for code, captcha in zip(codes, draw_captchas(codes, sampler, LOOK, rng(), labelled=True), strict=True):
        kept = [c for c, out in zip(captcha.characters, captcha.crossed_out, strict=True) if not out]
        assert "".join(kept) == code
        count = len(captcha.characters)
        assert len(captcha.boxes) == len(captcha.glyph_classes) == count > len(code)
        boxes: npt.NDArray[np.int64] = np.array(captcha.boxes)
        assert (np.diff(boxes[:, [0, 2]].mean(1)) > 0).all()  # in the order of reading
        assert (boxes[:, 2] > boxes[:, 0]).all() and (boxes[:, 3] > boxes[:, 1]).all()

"""From glyphs to PNGs."""

import io
import tracemalloc
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from batch.captcha import generate_captcha
from gantcha.captcha import draw_captchas
from gantcha.drawing import render
from gantcha.drawing.finish import POINTS, WHITE, Scribbles, add_noise, choose_inks, draw_ink, draw_paper, finish
from gantcha.drawing.look import GREY_LEVELS, LOOKS, Kind, Look
from gantcha.drawing.png import encode_png, save_pic, to_grey
from gantcha.drawing.text_lines import bend_lines, concat_pics
from gantcha.errors import StorageError
from gantcha.glyphs.sampler import load_sampler
from gantcha.home import CHECKPOINTS
from pool.models import Stock
from pool.settings import Settings
from tests.support import emnist_files

PLAIN = Look(
    height=80,
    pitch=40,
    aspect=1,
    baseline_amplitude=(0.0, 0.0),
    size=(1.0, 1.0),
    slant=0,
    enlargement=(2.0, 2.0),
    turn=0,
    shear=0,
    glyph_offset=0,
    gap=(4.0, 4.0),
    line_offset=0,
    warp_amplitude=(0.0, 0.0),
    elastic_displacement=0,
    strikes=0,
    scribbles=0,
)
STANDARD, HARD = LOOKS["plain"]["standard"], LOOKS["plain"]["hard"]


def rng() -> np.random.Generator:
    return np.random.default_rng(1)


@pytest.fixture(scope="module")
def glyphs() -> npt.NDArray[np.uint8]:
    return emnist_files.strokes(40 * 6, rng()).reshape(40, 6, 28, 28)


@pytest.fixture(scope="module")
def straight() -> npt.NDArray[np.uint8]:
    upright = np.zeros((3, 28, 28), np.uint8)
    upright[:, 4:24, 13:16] = 255
    return upright


def test_glyphs_stand_side_by_side_in_order() -> None:
    squares = np.zeros((2, 6, 28, 28), np.uint8)
    for place in range(6):
        squares[0, place, 9:19, 9:19] = 180 + 15 * place  # 20 pixels enlarged, and 4 between
    lines = concat_pics(squares, rng(), PLAIN)
    assert lines.strokes[1].max() == 0
    left, top, right, bottom = lines.boxes[0].T
    x, y = (left + right) // 2, (top + bottom) // 2
    assert np.abs(np.diff(x) - 24).max() <= 1 and len(set(y)) == 1
    assert list(lines.strokes[0, y, x]) == [180, 195, 210, 225, 240, 255]


def test_neighbours_overlap_as_much_as_they_should() -> None:
    squares = np.zeros((1, 6, 28, 28), np.uint8)
    squares[:, :, 9:19, 9:19] = 255
    for gap, widths in ((-5.0, 6 * 20 - 5 * 5), (0.0, 6 * 20)):
        columns = concat_pics(squares, rng(), replace(PLAIN, gap=(gap, gap))).strokes.max((0, 1)) > 127
        assert columns.sum() == pytest.approx(widths, abs=6)
        assert np.diff(np.flatnonzero(columns)).max() == 1  # no white between to cut at


@pytest.mark.parametrize(
    "change",
    [
        {"enlargement": (1.8, 2.2)},
        {"turn": 0.15},
        {"shear": 0.2},
        {"glyph_offset": 5.0},
        {"size": (0.7, 1.0)},
        {"slant": 0.2},
    ],
)
def test_each_glyph_is_drawn_otherwise(change: dict[str, object]) -> None:
    bars = np.zeros((50, 6, 28, 28), np.uint8)
    bars[:, :, 6:22, 12:16] = 255
    settings = replace(PLAIN, **change)  # type: ignore[arg-type] # one of its fields
    assert len(np.unique(concat_pics(bars, rng(), PLAIN).strokes.reshape(50, -1), axis=0)) == 1
    lines = concat_pics(bars, rng(), settings)
    assert len(np.unique(lines.strokes.reshape(50, -1), axis=0)) > 45
    assert np.array_equal(lines.strokes, concat_pics(bars, rng(), settings).strokes)


def test_thin_glyphs_do_not_vanish_in_each_other() -> None:
    bars = np.zeros((50, 6, 28, 28), np.uint8)
    bars[:, :, 4:24, 13:16] = 255
    lines = concat_pics(bars, rng(), replace(PLAIN, gap=(-6.0, -6.0)))
    assert (np.diff(lines.boxes[:, :, 0]) >= 4).all()


def test_a_blank_glyph_takes_no_room() -> None:
    squares = np.zeros((1, 6, 28, 28), np.uint8)
    squares[:, [0, 1, 2, 4, 5], 9:19, 9:19] = 255
    columns = concat_pics(squares, rng(), PLAIN).strokes.max((0, 1)) > 127
    assert np.diff(np.flatnonzero(columns)).max() < 12


def test_no_line_is_cut_off() -> None:
    """Six broad glyphs are pressed together rather than cut off."""
    broad = np.zeros((20, 6, 28, 28), np.uint8)
    broad[:, :, 3:25, 2:26] = 255
    bent = bend_lines(concat_pics(broad, rng(), HARD, owned=True), 240, rng(), HARD)
    assert bent.strokes.shape == bent.owners.shape == (20, HARD.height, 240)
    rim = (bent.strokes[:, 0], bent.strokes[:, -1], bent.strokes[:, :, 0], bent.strokes[:, :, -1])
    assert max(side.max() for side in rim) < 96
    assert all(((owners & 1 << place) > 0).any(1).sum() > 10 for owners in bent.owners for place in range(6))


def test_a_bent_line_keeps_its_ink_and_loses_its_straightness() -> None:
    bars = np.zeros((20, 6, 28, 28), np.uint8)
    bars[:, :, 12:16, 2:26] = 255  # six dashes: a straight line
    straight = concat_pics(bars, rng(), PLAIN)
    bent = bend_lines(straight, 240, rng(), replace(PLAIN, elastic_displacement=4.0)).strokes
    assert bent.mean() == pytest.approx(bend_lines(straight, 240, rng(), PLAIN).strokes.mean(), rel=0.2)
    middle = (bent.astype(float) * np.arange(80)[:, None]).sum(1) / bent.sum(1).clip(1)
    spread = [line[ink > 0].std() for line, ink in zip(middle, bent.sum(1), strict=True)]
    assert np.mean(spread) > 0.8


def test_small_lines_lie_anywhere() -> None:
    squares = np.zeros((60, 6, 28, 28), np.uint8)
    squares[:, :, 9:19, 9:19] = 255
    settings = replace(PLAIN, size=(0.5, 0.5), line_offset=20.0)
    bent = bend_lines(concat_pics(squares, rng(), settings), 240, rng(), settings).strokes.astype(float)
    middles = ((bent.sum(axis) * np.arange(bent.shape[3 - axis])).sum(1) / bent.sum((1, 2)) for axis in (1, 2))
    for middle, size, most in zip(middles, (240, 80), (79, 21), strict=True):
        assert np.abs(middle - size / 2).max() <= most
        assert middle.std() > most / 3


def test_a_wave_lifts_and_lowers_the_line() -> None:
    bars = np.zeros((20, 6, 28, 28), np.uint8)
    bars[:, :, 13:15, 2:26] = 255
    settings = replace(PLAIN, warp_amplitude=(9.0, 9.0), warp_wavelength=(100.0, 100.0))
    bent = bend_lines(concat_pics(bars, rng(), settings), 240, rng(), settings).strokes.astype(float)
    middle = (bent * np.arange(80)[:, None]).sum(1) / bent.sum(1).clip(1)
    for line, ink in zip(middle, bent.sum(1), strict=True):
        assert np.ptp(line[ink > 300]) == pytest.approx(18, abs=3)


def test_scribbles_are_glyphs_turned_any_way(glyphs: npt.NDArray[np.uint8]) -> None:
    def scribbled(count: int, ratio: int = 1) -> npt.NDArray[np.uint8]:
        look = replace(PLAIN, scribbles=count, pale_contrast=(0.3, 0.3), pixel_ratio=ratio)
        scribbles = render.scribble(glyphs, (40, 80, 240), rng(), look)
        inked = np.zeros((40, 80 * ratio, 240 * ratio), np.uint8)
        for number, picture in enumerate(inked):
            scribbles.draw(number, picture)
        return inked

    none, some, more, double = scribbled(0), scribbled(6), scribbled(12), scribbled(6, ratio=2)
    assert none.max() == 0
    assert some.max() == double.max() == round(0.3 * WHITE)
    assert 1.5 < (more > 0).sum() / (some > 0).sum() < 2.1
    assert 3.5 < (double > 36).sum() / (some > 36).sum() < 4.5
    assert len(np.unique(some.reshape(40, -1), axis=0)) == 40


def test_strokes_run_across_the_line(straight: npt.NDArray[np.uint8]) -> None:
    empty = np.zeros((30, 80, 240), np.uint8)
    none = render.cross(empty.copy(), straight, rng(), replace(PLAIN, strikes=0))
    one = render.cross(empty.copy(), straight, rng(), replace(PLAIN, strikes=1))
    three = render.cross(empty.copy(), straight, rng(), replace(PLAIN, strikes=3))
    assert none.max() == 0
    lengths = (one.max(1) > 127).sum(1)
    assert lengths.mean() > 60  # across more than a character
    thickness = (one > 127).sum(1).max(1)
    assert 1 <= np.median(thickness) <= 4  # thinner than the characters' strokes
    assert (three > 127).sum() > 2 * (one > 127).sum()


@pytest.mark.parametrize("ratio", [1, 2])
def test_weight_varies_along_the_line(ratio: int) -> None:
    edge = np.tile(np.linspace(0, 255, 80)[:, None], (1, 240)).astype(np.uint8)

    def inked(lightness: tuple[float, float], contrast: float = 1) -> npt.NDArray[np.float64]:
        look = replace(PLAIN, lightness=lightness, pixel_ratio=ratio)
        drawn = np.zeros((80 * ratio, 240 * ratio), np.uint8)
        (ink,) = choose_inks((contrast, contrast), POINTS, 1, rng(), look)
        draw_ink(edge, ink, drawn, look)
        return drawn.sum(0) / (WHITE * contrast) / ratio  # pixels of single density

    varied, even = inked((0.25, 0.7)), inked((0.4, 0.4))
    np.testing.assert_allclose(inked((0.4, 0.4), contrast=0.3), even, atol=0.6)  # pale strokes are as thick
    assert varied.max() - varied.min() > 10
    assert np.ptp(even) < 0.5
    assert even.mean() == pytest.approx(0.6 * 80, abs=0.7)  # the other four tenths of the edge are paper


@pytest.mark.parametrize("ratio", [1, 2])
@pytest.mark.parametrize("dark", [False, True])
def test_ink_stands_out_from_uneven_paper(dark: bool, ratio: int) -> None:
    strokes = np.zeros((20, 80, 240), np.uint8)
    strokes[:, :, 120:] = 255
    pale = np.zeros((1, 80 * ratio, 80 * ratio), np.uint8)
    pale[:] = round(0.3 * WHITE)
    look = replace(
        PLAIN, theme="dark" if dark else "light", unevenness=0.1, contrast=(0.6, 0.8), noise=0, pixel_ratio=ratio
    )
    scribbles = Scribbles(pale, [[0]] * 20, [[[0, 80 * ratio]]] * 20)
    brightness = finish(strokes, scribbles, rng(), look) / (GREY_LEVELS - 1)
    assert brightness.shape == (20, 80 * ratio, 240 * ratio)
    parts = (slice(0, 78), slice(82, 118), slice(122, 240))
    paper, between, ink = (brightness[:, :, part.start * ratio : part.stop * ratio].mean((1, 2)) for part in parts)
    assert ((np.minimum(paper, ink) < between) & (between < np.maximum(paper, ink))).all()
    contrast = ink - paper if dark else paper - ink
    assert (contrast > 0.5).all() and np.ptp(contrast) > 0.1
    assert np.abs(paper - between).mean() == pytest.approx(0.3, abs=0.03)
    assert np.ptp(brightness[0, :, : 78 * ratio]) > 0.05


def test_noise_has_the_strength_it_should() -> None:
    grey = np.full((160, 480), WHITE * 0.7, np.uint8)
    noisy = add_noise(grey, rng(), replace(PLAIN, noise=0.08)) / WHITE
    assert noisy.mean() == pytest.approx(0.7, abs=0.003)
    assert noisy.std() == pytest.approx(0.08, rel=0.03)
    assert np.unique(noisy).size > 60
    coarse = draw_paper(np.full((3, 7), 200, np.uint8), (85, 241), rng(), replace(PLAIN, noise=0.1, grain=4))
    grains = coarse[:84, :240].reshape(21, 4, 60, 4)
    assert coarse.shape == (85, 241)
    assert (grains == grains[:, :1, :, :1]).all() and grains.std() > 15


def test_no_two_papers_share_their_noise() -> None:
    """Whoever knew the noise could subtract it: no shift or flip of one paper is like another."""
    look, even = replace(PLAIN, noise=0.1), np.full((3, 7), 200, np.uint8)
    random = rng()
    papers = [draw_paper(even, (120, 300), random, look).astype(float) for _ in range(12)]
    waves = [np.fft.fft2(paper - paper.mean()) for paper in papers]
    flipped = [np.fft.fft2(paper[::a, ::b] - paper.mean()) for paper in papers for a in (1, -1) for b in (1, -1)]
    energy = 120 * 300 * papers[0].var()
    for number, one in enumerate(waves):
        for other in flipped[4 * number + 4 :]:
            correlation = np.fft.ifft2(one * other.conj()).real / energy
            assert np.abs(correlation).max() < 6 / (120 * 300) ** 0.5  # of 36,000 shifts chance gives 4.5


@pytest.mark.parametrize("difficulty", ["easy", "standard", "hard"])
@pytest.mark.parametrize("kind", ["plain", "crossed-out"])
def test_a_seed_repeats_the_picture(
    glyphs: npt.NDArray[np.uint8], straight: npt.NDArray[np.uint8], kind: str, difficulty: str
) -> None:
    look = LOOKS[kind][difficulty]
    one, same, other = (
        render.render(glyphs, straight, np.random.default_rng(seed), look).pictures for seed in (1, 1, 2)
    )
    assert one.shape == (40, look.height, look.width(6))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("kind", ["plain", "crossed-out"])
def test_harder_means_more_overlap_and_no_less_of_the_rest(kind: str) -> None:
    looks = [asdict(LOOKS[kind][name]) for name in ("easy", "standard", "hard")]
    for milder, harsher in pairwise(looks):
        assert milder["gap"] > harsher["gap"]
        for name in (
            "strikes",
            "baseline_amplitude",
            "glyph_offset",
            "warp_amplitude",
            "elastic_displacement",
            "noise",
            "scribbles",
        ):
            assert milder[name] <= harsher[name], name


def test_a_climb_moves_glyphs_and_leaves_them_as_they_are() -> None:
    squares = np.zeros((40, 6, 28, 28), np.uint8)
    squares[:, :, 9:19, 9:19] = 255
    level = concat_pics(squares, rng(), PLAIN)
    climbing = concat_pics(
        squares, rng(), replace(PLAIN, baseline_amplitude=(15.0, 15.0), baseline_wavelength=(80.0, 80.0))
    )
    assert np.ptp(level.boxes[:, :, 1]) == 0
    heights = climbing.boxes[:, :, 1]
    assert 20 < np.ptp(heights, 1).mean() <= 31 and np.ptp(heights) <= 31
    assert climbing.strokes.sum(dtype=int) == level.strokes.sum(dtype=int)


@pytest.mark.parametrize("length", [4, 5, 7, 8])
def test_other_lengths_are_wider_or_narrower(straight: npt.NDArray[np.uint8], length: int) -> None:
    some = emnist_files.strokes(2 * length, rng()).reshape(2, length, 28, 28)
    assert render.render(some, straight, rng(), STANDARD).pictures.shape == (2, STANDARD.height, STANDARD.width(length))


def test_double_density_shows_the_same_look_at_twice_the_size(
    glyphs: npt.NDArray[np.uint8], straight: npt.NDArray[np.uint8]
) -> None:
    single = render.render(glyphs, straight, rng(), STANDARD).pictures
    double = render.render(glyphs, straight, rng(), replace(STANDARD, pixel_ratio=2)).pictures
    assert double.shape == (40, 2 * STANDARD.height, 2 * STANDARD.width(6))
    assert double.mean() == pytest.approx(single.mean(), rel=0.03)
    dark = GREY_LEVELS // 2
    assert (double < dark).mean() == pytest.approx((single < dark).mean(), rel=0.1)
    halved = double.reshape(40, STANDARD.height, 2, -1, 2).mean((2, 4))
    assert (np.abs(halved - single) <= 2).mean() > 0.97


def test_settings_choose_the_look() -> None:
    look = Settings(theme="dark").look_of(Stock("plain", "hard", 2))
    assert look == replace(HARD, theme="dark", pixel_ratio=2)
    crossed_out = Settings(kind="crossed-out", alphabet="abc123").look
    assert crossed_out == replace(LOOKS["crossed-out"]["standard"], decoys="abc123")


@pytest.mark.parametrize("width", [240, 259])
def test_a_png_is_greyscale_and_shows_the_levels_it_was_made_of(width: int) -> None:
    levels = rng().integers(GREY_LEVELS, size=(80, width), dtype=np.uint8)
    with Image.open(io.BytesIO(encode_png(levels))) as image:
        assert image.mode == "L"
        shown = np.asarray(image)
    assert np.array_equal(shown, to_grey(levels))
    assert np.array_equal(shown, levels * 17)
    assert shown.min() == 0 and shown.max() == 255


def test_save_pic_says_where_it_could_not_write(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="nowhere"):
        save_pic(np.zeros((2, 2), np.uint8), tmp_path / "nowhere" / "x.png")


def test_generate_captcha_draws_all_36_characters(tmp_path: Path) -> None:
    for text in ("012345", "6789ab", "cdefgh", "ijklmn", "opqrst", "uvwxyz", "ABCXYZ"):
        name = generate_captcha(text, tmp_path)
        assert text.lower() not in name.lower()
        assert (tmp_path / name).stat().st_size < 4500
        with Image.open(tmp_path / name) as image:
            assert image.size == (STANDARD.width(6), STANDARD.height)
            grey = np.asarray(image.convert("L"))
        # Ink all along the line, whatever the characters.
        inked = np.flatnonzero((grey < 100).sum(0) > 2)
        assert np.ptp(inked) > 100


def test_generate_captcha_refuses_what_it_cant_draw(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="can't be drawn"):
        generate_captcha("ab cd!", tmp_path)
    with pytest.raises(ValueError, match="empty"):
        generate_captcha("", tmp_path)


@pytest.mark.parametrize("length", [1, 8, 19])
@pytest.mark.parametrize("ratio", [1, 2])
def test_boxes_hold_the_ink(length: int, ratio: int) -> None:
    """Of blots, whose outline neither noise nor scribbles hide: all ink is in the boxes, and fills them."""
    blots = np.zeros((12, length, 28, 28), np.uint8)
    blots[:, :, 6:22, 9:19] = 255
    settings = replace(
        HARD,
        strikes=0,
        scribbles=0,
        noise=0,
        unevenness=0,
        gap=(3.0, 9.0),
        contrast=(0.85, 0.95),
        pixel_ratio=ratio,
    )
    pictures, boxes, *_ = render.render(blots, blots[0], rng(), settings, labelled=True)
    assert np.array_equal(pictures, render.render(blots, blots[0], rng(), settings).pictures)
    assert boxes.shape == (12, length, 4)
    for ink, of_picture in zip(pictures < GREY_LEVELS // 2, boxes.tolist(), strict=True):
        outside = ink.copy()
        for left, top, right, bottom in of_picture:
            inside = np.argwhere(ink[top:bottom, left:right])
            assert (inside.min(0) <= 2 * ratio).all()
            assert (inside.max(0) >= [bottom - top - 1 - 2 * ratio, right - left - 1 - 2 * ratio]).all()
            outside[max(top - 2 * ratio, 0) : bottom + 2 * ratio, max(left - 2 * ratio, 0) : right + 2 * ratio] = False
        assert not outside.any()


@pytest.mark.parametrize("kind", ["plain", "crossed-out"])
def test_pictures_do_not_wait_in_memory_for_all_others(kind: Kind) -> None:
    look = replace(LOOKS[kind]["standard"], pixel_ratio=2, decoys="23456789" if kind == "crossed-out" else "")
    sampler, size = load_sampler(CHECKPOINTS), 0
    tracemalloc.start()
    for captcha in draw_captchas(["abcdkm"] * 600, sampler, look, np.random.default_rng(1)):
        size += captcha.levels.nbytes
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < size / 2

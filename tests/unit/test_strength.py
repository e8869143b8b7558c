"""Attacks read what can be read, and the figures about them are right."""

import json
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from itertools import groupby, product
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageDraw, ImageFont

from batch.ctc import decode, drop_least_certain
from batch.evaluation.metrics import wilson_interval
from benchmarks.looks.frontier import Trial, is_unbeaten
from benchmarks.strength.ocr import read_with_ddddocr, read_with_tesseract
from benchmarks.strength.preprocessing import HALVED, Pictures, preprocessings, straighten
from benchmarks.strength.segmentation import cut_into_pieces, read_segments
from benchmarks.strength.told import OcrNetwork, open_ddddocr, open_rapidocr, read_rows
from benchmarks.strength.untrained import attack, rate, untrained_attacks
from gantcha.captcha import draw_captchas
from gantcha.drawing.look import LOOKS
from gantcha.frames import label_frames
from gantcha.glyphs.checkpoints import Checkpoints
from gantcha.glyphs.sampler import Sampler
from gantcha.home import CHECKPOINTS
from tests.conftest import invoke
from tests.support.documents import documented
from tests.support.programs import needs

STANDARD = LOOKS["plain"]["standard"]

ALPHABET = "23479acefhk"
CODES = ["".join(code) for code in np.random.default_rng(1).choice(list(ALPHABET), (20, 6))]


def _enlarged(pictures: Pictures) -> Pictures:
    """Double density, each pixel two by two."""
    return pictures.repeat(2, 1).repeat(2, 2)


def _printed(codes: list[str]) -> Pictures:
    """Captchas that any reader should read: printed without distortion."""
    pages = [Image.new("L", (240, 80), 255) for _ in codes]
    for code, page in zip(codes, pages, strict=True):
        ImageDraw.Draw(page).text((20, 15), code, font=ImageFont.load_default(44), fill=0)
    return np.stack([np.asarray(page) for page in pages])


def test_wilson_interval_of_known_shares() -> None:
    # Newcombe 1998, table I: 81 of 263 and 0 of 20.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)
    assert wilson_interval(20, 20) == pytest.approx((0.8389, 1), abs=5e-5)


def test_rates_count_whole_codes_and_characters_in_their_place() -> None:
    found = rate(["ab3", "ab3", "ab3", "ab3"], ["AB3", "ab", "xb3x", ""])
    assert found.codes == 0.25
    assert found.characters == pytest.approx((3 + 2 + 2) / 12)


def test_ddddocr_reads_plain_print() -> None:
    assert rate(CODES, read_with_ddddocr(_printed(CODES))).characters > 0.8


@needs("tesseract")
@pytest.mark.parametrize("mode", ["line", "word"])
def test_tesseract_reads_plain_print(mode: str) -> None:
    assert rate(CODES, read_with_tesseract(_printed(CODES), mode, ALPHABET)).characters > 0.7


def test_decoding_finds_the_likeliest_text_of_its_length() -> None:
    """As adding up all paths does, of which there are few here."""
    rng = np.random.default_rng(1)
    logarithms = np.log(rng.dirichlet([0.3] * 4, (40, 6)) + 1e-9).astype(np.float32)
    for count in (1, 2, 3):
        sums: defaultdict[tuple[int, ...], npt.NDArray[np.float64]] = defaultdict(lambda: np.zeros(40))
        for path in product(range(4), repeat=6):
            text = tuple(symbol - 1 for symbol, _ in groupby(path) if symbol)
            if len(text) == count:
                sums[text] += np.exp(logarithms[:, np.arange(6), path].sum(1))
        likeliest = np.array(list(sums))[np.argmax(list(sums.values()), 0)]
        decoded = decode(logarithms, count, width=27)
        assert (decoded.symbols == likeliest).all()
        assert np.exp(decoded.score) == pytest.approx(np.max(list(sums.values()), 0), rel=1e-3)
        for place in range(count):
            alike = [np.delete(text, place).tolist() for text in sums]
            others = [
                sum(total[number] for rest, total in zip(alike, sums.values(), strict=True) if rest == kept)
                for number, kept in enumerate(np.delete(likeliest, place, 1).tolist())
            ]
            assert decoded.confidence[:, place] == pytest.approx(np.exp(decoded.score) / others, rel=1e-3)


def test_the_least_certain_symbols_are_left_out() -> None:
    certain, doubtful = np.full((3, 5), 0.01), np.full((3, 5), 0.01)
    for number, symbol in enumerate((2, 1, 3)):
        certain[number, symbol] = 0.96
        doubtful[number, symbol] = 0.5
    blank = np.array([[0.96, 0.01, 0.01, 0.01, 0.01]])
    columns = [certain[:1], blank, doubtful[1:2], blank, certain[2:], blank]
    decoded = decode(np.log(np.concatenate(columns)).astype(np.float32)[None], 3)
    assert decoded.symbols.tolist() == [[1, 0, 2]]
    assert drop_least_certain(decoded, 1).tolist() == [[1, 2]]


def test_frames_show_the_characters_that_count() -> None:
    """Boxes 20 pixels wide reach 6 pixels from their middle, columns are 4 wide."""
    boxes = [(4, 0, 24, 9), (26, 0, 46, 9), (40, 5, 60, 20)]
    expected = [0, 0, 3, 3, 3, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0]
    assert label_frames(boxes, "cba", [False, True, False], "abc", 21, 4).tolist() == expected


@pytest.mark.parametrize("open_network", [open_ddddocr, partial(open_ddddocr, beta=True), open_rapidocr])
def test_told_networks_read_plain_print(open_network: Callable[[str], OcrNetwork]) -> None:
    network, pictures, symbols = open_network(ALPHABET), _printed(CODES), np.array(sorted(ALPHABET))

    def texts(decoded_symbols: npt.NDArray[np.int64]) -> list[str]:
        return ["".join(characters) for characters in symbols[decoded_symbols]]

    assert rate(CODES, texts(network.read(pictures, 6).symbols)).codes > 0.9
    two_rows = np.concatenate([pictures, np.roll(pictures, 1, 0)], 1)
    both = [code + above for code, above in zip(CODES, np.roll(CODES, 1).tolist(), strict=True)]
    assert rate(both, texts(read_rows(network.read, two_rows, 12, 0.5).symbols)).codes > 0.8


def test_every_preprocessing_leaves_print_legible() -> None:
    codes = CODES[:8]
    pictures, read = _printed(codes), open_rapidocr(ALPHABET).read
    for name, way in preprocessings(1).items():
        answers = ["".join(np.array(sorted(ALPHABET))[text]) for text in read(way.apply(pictures), 6).symbols]
        assert rate(codes, answers).codes > 0.8, name


def _drawn(count: int) -> Pictures:
    sampler, rng = Sampler(Checkpoints(CHECKPOINTS)), np.random.default_rng(1)
    codes = ["".join(rng.choice(list(ALPHABET), 6)) for _ in range(count)]
    return np.stack([captcha.picture for captcha in draw_captchas(codes, sampler, STANDARD, rng)])


def test_preprocessings_of_double_density_do_what_those_of_single_density_do() -> None:
    grains = np.random.default_rng(1).normal(0, 35, (6, 40, 120)).repeat(2, 1).repeat(2, 2)
    pictures = (_printed(CODES[:6]) * 0.8 + 25 + grains).clip(0, 255).astype(np.uint8)
    single, double = preprocessings(1), preprocessings(2)
    assert double.keys() == single.keys() - {"half size"} | {f"{HALVED}{name}" for name in single}
    for name, way in double.items():
        expected = single[name.removeprefix(HALVED)].apply(pictures).astype(float)
        found = way.apply(_enlarged(pictures))
        assert found.shape[1] / expected.shape[1] == (1 if name.startswith(HALVED) else 2), name
        if name.startswith(HALVED):
            assert (found == expected).all(), name
        else:
            means = found.reshape(6, expected.shape[1], 2, expected.shape[2], 2).mean((2, 4))
            # Were lengths not doubled, it would be above 3.4 for the low thresholds and above 6.6 for the greys.
            allowed = 3 if name.startswith(("threshold", "flattened")) else 6
            assert np.abs(means - expected).mean() < allowed, name


def test_what_is_halved_is_read_as_it_would_be_at_single_density() -> None:
    """By every attack, in variants of all sorts."""
    pictures = _drawn(4)
    classifiers = {"filter": lambda glyphs: Sampler(Checkpoints(CHECKPOINTS)).filter.run(glyphs=glyphs)}
    attacks = [dict(untrained_attacks(ALPHABET, 6, classifiers, pixel_ratio=ratio, few=True)) for ratio in (1, 2)]
    sorts = "none", "none, line", "none, word", "threshold 110", "straightened to 65%, none", "surest threshold"
    assert attacks[0].keys() == attacks[1].keys()
    for attack_name in attacks[0]:
        single, double = (of_density[attack_name]() for of_density in attacks)
        assert double.keys() >= {f"{HALVED}{variant}" for variant in single}
        for variant in sorts:
            if variant in single:
                found = double[f"{HALVED}{variant}"](_enlarged(pictures))
                assert found == single[variant](pictures), (attack_name, variant)


def test_separated_glyphs_are_found_and_read() -> None:
    rng = np.random.default_rng(1)
    sampler = Sampler(Checkpoints(CHECKPOINTS))
    codes = ["".join(code) for code in rng.choice(list("3479eh"), (30, 6))]
    classes = np.array([["3479eh".index(c) for c in code] for code in codes])
    glyphs = sampler.draw_legible(np.array([3, 4, 7, 9, 14, 17], np.uint8)[classes], rng)
    pictures = 255 - np.pad(glyphs.transpose(0, 2, 1, 3).reshape(30, 28, -1), ((0, 0), (10, 10), (0, 0)))
    two_levels = preprocessings(1)["threshold 125"].apply(_enlarged(pictures))
    for picture, drawn in zip(two_levels, glyphs, strict=True):
        places = [28 * 2 * k + 2 * np.flatnonzero(glyph.any(0)).mean() for k, glyph in enumerate(drawn)]
        pieces = cut_into_pieces(picture, 6)
        middles = [np.flatnonzero(piece.any(0)).mean() for piece in pieces]
        assert len(pieces) >= 6
        assert set(np.abs(np.subtract.outer(middles, places)).argmin(1)) == set(range(6))
    for ratio, shown in ((1, two_levels), (2, _enlarged(two_levels))):
        decoded = read_segments(shown, 6, "3479eh", lambda images: sampler.filter.run(glyphs=images), ratio)
        answers = ["".join(np.array(sorted("3479eh"))[text]) for text in decoded.symbols]
        assert rate(codes, answers).codes > 0.7, ratio


def test_pieces_of_double_density_are_those_of_single_density() -> None:
    two_levels = preprocessings(1)["threshold 110"].apply(_drawn(20))
    single, double = (
        sum(len(cut_into_pieces(picture, 6, ratio)) for picture in pictures)
        for ratio, pictures in ((1, two_levels), (2, _enlarged(two_levels)))
    )
    assert double == pytest.approx(single, rel=0.1)  # a quarter more if specks counted


def test_columns_are_shifted_until_the_ink_lies_level() -> None:
    wave = np.rint(60 + 30 * np.sin(np.arange(300) / 40)).astype(int)
    picture = np.full((120, 300), 255, np.uint8)
    for column, middle in enumerate(wave):
        picture[middle - 6 : middle + 7, column] = 0
    level = straighten(picture, 0.8)
    assert level.shape == (96, 300)
    middles = [np.flatnonzero(column < 128).mean() for column in level.T]
    assert np.ptp(wave) == 60
    assert np.ptp(middles) < 20


def test_a_picture_without_ink_is_read_as_something() -> None:
    blank = np.full((2, 80, 240), 255, np.uint8)
    nothing = np.zeros((1, 47), np.float32)
    decoded = read_segments(blank, 6, ALPHABET, lambda images: nothing.repeat(len(images), 0))
    assert decoded.symbols.shape == (2, 6)


def test_the_best_variant_is_chosen_on_one_half_and_measured_on_the_other() -> None:
    codes = [f"{number:04}" for number in range(200)]
    pictures = np.arange(200, dtype=np.uint8)[:, None, None]

    def read(until: int, shown: Pictures) -> list[str]:
        return [f"{number:04}" if number < until else "" for number in shown.ravel()]

    shares: list[float] = []
    found = attack({str(until): partial(read, until) for until in (1, 150, 20, 10, 60)}, pictures, codes, shares.append)
    assert (found.variant, found.chosen_at, found.codes) == ("150", 1, 0.5)
    assert sum(shares) == pytest.approx(1)
    assert attack({"": partial(read, 50)}, pictures, codes, shares.append).codes == 0.25


def test_characters_that_do_not_count_are_left_out() -> None:
    """Of six characters two are written over one another, and least certain."""
    shown, hidden = [code[:2] + "4" + code[2:4] + "9" for code in CODES], ["  e  k" for _ in CODES]
    pictures = np.stack([_monospaced(code) & _monospaced(other) for code, other in zip(shown, hidden, strict=True)])
    variants = dict(untrained_attacks(ALPHABET, 4, {}, extra=2))["rapidocr-told"]()
    answers = variants["none, without the 2 least certain"](pictures)
    assert rate([code[:4] for code in CODES], answers).codes > 0.5
    assert {len(answer) for answer in variants["none"](pictures)} == {4}


def _monospaced(code: str) -> npt.NDArray[np.uint8]:
    page = Image.new("L", (240, 80), 255)
    for place, character in enumerate(code):
        ImageDraw.Draw(page).text((15 + 36 * place, 15), character, font=ImageFont.load_default(44), fill=0)
    return np.asarray(page)


def test_readability_draws_a_sheet_with_answers_beside(tmp_path: Path) -> None:
    words = documented("docs/threat-model.md", "python -m benchmarks.looks.readability --sheet")
    for options, ratio in (((), 2), (("--pixel-ratio", 1), 1)):
        finished = invoke(*words[:-1], tmp_path / words[-1], *options)
        assert finished.exit_code == 0, finished.stderr
        assert len(json.loads((tmp_path / "sheet.json").read_text())["answers"]) == 40
        with Image.open(tmp_path / "sheet.png") as sheet:
            assert sheet.size == (4 * (ratio * 300 + 24), 10 * (ratio * (120 + 16) + 24))
            assert sheet.info["dpi"] == pytest.approx((96 * ratio, 96 * ratio), abs=0.1)


def test_what_no_other_beats_is_unbeaten() -> None:
    shares = [(0.99, 0.5), (0.95, 0.2), (0.94, 0.2), (0.95, 0.3), (0.8, 0.1)]
    trials = [Trial(str(number), *both, "", STANDARD) for number, both in enumerate(shares)]
    assert [trial.name for trial in trials if is_unbeaten(trial, trials)] == ["0", "1", "4"]

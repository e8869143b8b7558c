"""The package `gantcha`: codes as asked, and samples."""

import io
import json
from functools import partial
from itertools import count, islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import gantcha
from gantcha.home import CHECKPOINTS
from tests.conftest import invoke

SETTINGS = {"seed": 5, "length": (4, 8), "mix": {"easy": 0.5, "hard": 0.5}, "masks": True}


def _first(count: int, **settings: object) -> list[gantcha.Captcha]:
    return list(islice(gantcha.samples(**SETTINGS | settings), count))  # type: ignore[arg-type] # as they are named


def test_samples_are_those_of_a_dataset(tmp_path: Path) -> None:
    options = ("--seed", 5, "--length", "4-8", "--mix", "easy=0.5,hard=0.5", "--masks", "--shard-size", 125)
    written = invoke("batch.fill", "--count", 130, "--dataset", tmp_path / "set", "--jobs", 1, *options)
    assert written.exit_code == 0, written.stderr
    lines = [
        (metadata.parent, json.loads(line))
        for metadata in sorted(tmp_path.rglob("metadata.jsonl"))
        for line in metadata.read_text().splitlines()
    ]
    for sample, (folder, entry) in zip(_first(130), lines, strict=True):
        assert (folder / entry["file_name"]).read_bytes() == sample.png
        with Image.open(folder / entry["file_name"]) as picture:
            assert np.array_equal(picture, sample.picture)
        assert sample.masks is not None and len(sample.masks) == len(sample.characters) == len(sample.boxes)
        for name in (
            "code",
            "cased",
            "characters",
            "crossed_out",
            "glyph_classes",
            "difficulty",
            "theme",
            "parameters",
        ):
            assert getattr(sample, name) == entry[name]
        assert list(map(list, sample.boxes)) == entry["boxes"]


def test_workers_share_a_stream() -> None:
    alone = [sample.code for sample in _first(250)]
    shared = {sample.index: sample.code for worker in (0, 1) for sample in _first(125, worker=worker, workers=2)}
    assert [shared[index] for index in range(250)] == alone


def test_a_stream_goes_on_where_it_was_left() -> None:
    alone = _first(260)
    assert _first(60, start=200) == alone[200:]
    shared = [sample for worker in (0, 1) for sample in _first(60, start=130, worker=worker, workers=2)]
    assert sorted(sample.index for sample in shared)[:60] == [*range(130, 190)]


def test_captchas_are_values_and_a_notebook_shows_them() -> None:
    one, same = (gantcha.draw("7k2h9m", seed=1) for _ in range(2))
    assert one == same != gantcha.draw("7k2h9m", seed=2)
    assert len({one, same}) == 1
    assert "7k2h9m" in repr(one) and len(repr(one)) < 100
    assert one._repr_png_() == one.png
    assert np.array_equal(one.image, one.picture)


def test_a_code_is_drawn_as_asked() -> None:
    sample = gantcha.draw(
        "AB12xyz", seed=1, difficulty="easy", theme="dark", change={"noise": 0, "baseline_amplitude": (0.0, 0.0)}
    )
    assert (sample.code, sample.cased.lower(), sample.theme, sample.masks) == ("ab12xyz", "ab12xyz", "dark", None)
    assert sample.parameters["baseline_amplitude"] == 0
    assert np.median(sample.picture) < 60
    assert np.array_equal(Image.open(io.BytesIO(sample.png)), sample.picture)


def test_many_codes_are_those_of_a_dataset(tmp_path: Path) -> None:
    codes = [f"{number:x}Ab" for number in range(130)]
    (tmp_path / "codes.txt").write_text("\n".join(codes))
    options = ("--codes", tmp_path / "codes.txt", "--mix", "easy=0.5,hard=0.5", "--seed", 5, "--jobs", 1)
    written = invoke("batch.fill", "--dataset", tmp_path / "set", *options)
    assert written.exit_code == 0, written.stderr
    pictures = [path.read_bytes() for path in sorted(tmp_path.rglob("*.png"))]
    drawn = list(gantcha.draw_many(codes, seed=5, mix={"easy": 0.5, "hard": 0.5}))
    assert [captcha.png for captcha in drawn] == pictures
    assert [(captcha.index, captcha.code) for captcha in drawn] == [*enumerate(map(str.lower, codes))]
    assert drawn == list(gantcha.draw_many(iter(codes), seed=5, mix={"easy": 0.5, "hard": 0.5}))
    assert drawn[0] != gantcha.draw(codes[0], seed=6)


def test_codes_may_come_without_end_and_may_be_none() -> None:
    assert [captcha.code for captcha in islice(gantcha.draw_many(map(str, count(98))), 4)] == ["98", "99", "100", "101"]
    assert list(gantcha.draw_many([])) == []


@pytest.mark.parametrize("kind", ["plain", "crossed-out"])
def test_letters_keep_the_case_that_they_are_given_in(kind: str) -> None:
    """Where there are classes of both; others have one class, and what is crossed out has any case."""
    drawn = list(gantcha.draw_many(["AaBbMm4"] * 200, seed=1, kind=kind, theme="dark"))  # type: ignore[arg-type] # a kind
    assert {(captcha.cased, captcha.code) for captcha in drawn} == {("AaBbMM4", "aabbmm4")}
    assert all(captcha.characters == captcha.characters.lower() for captcha in drawn)
    random = {captcha.cased for captcha in islice(gantcha.samples(seed=1, alphabet="a", length=1), 50)}
    assert random == {"A", "a"}


def test_decoys_have_either_case() -> None:
    looks = gantcha.draw_many(["2222"] * 400, seed=1, kind="crossed-out", checkpoints_dir=str(CHECKPOINTS))
    decoys = "".join(
        symbol
        for captcha in looks
        for symbol, out in zip(captcha.glyph_classes, captcha.crossed_out, strict=True)
        if out
    )
    assert {"D", "d"} <= set(decoys)


@pytest.mark.parametrize("kind", ["plain", "crossed-out"])
def test_the_longest_codes_have_a_mask_of_each_character(kind: str) -> None:
    """With those that are crossed out they have up to 19."""
    drawn = list(gantcha.draw_many(["23456789djkmpwxa"] * 20, seed=1, kind=kind, masks=True))  # type: ignore[arg-type] # a kind
    lengths = {len(captcha.characters) for captcha in drawn}
    assert lengths == ({16} if kind == "plain" else {17, 18, 19})
    for captcha in drawn:
        assert captcha.masks is not None and len(captcha.masks) == len(captcha.boxes) == len(captcha.characters)
        for (left, top, right, bottom), mask in zip(captcha.boxes, captcha.masks, strict=True):
            rows, columns = np.nonzero(mask)
            assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (left, top, right, bottom)


def test_a_code_that_cant_be_drawn_is_told() -> None:
    for code, reason in (
        ("\u00e4", "can't be drawn, only 0-9 and a-z"),
        ("", "must be text of 1 to 16 characters"),
        ("a" * 17, "must be text of 1 to 16 characters"),
        ("two words", "' ' can't be drawn"),
        (12, "must be text"),
    ):
        with pytest.raises(ValueError, match=reason):
            gantcha.draw(code)  # type: ignore[arg-type] # wrong on purpose
        with pytest.raises(ValueError, match=reason):
            gantcha.draw_many(["ab12", code])  # type: ignore[list-item] # wrong on purpose
    for codes in ("abc", 7):
        with pytest.raises(gantcha.GantchaError, match=r"^codes .*: must be several"):
            gantcha.draw_many(codes)  # type: ignore[arg-type] # wrong on purpose


def test_lists_are_ranges_as_pairs_are() -> None:
    pairs = _first(20, length=(4, 8), change={"contrast": (0.5, 0.9)})
    assert _first(20, length=[4, 8], change={"contrast": [0.5, 0.9]}) == pairs
    assert {len(captcha.code) for captcha in pairs} == {4, 5, 6, 7, 8}


HALVES = {"easy": 0.5, "hard": 0.5}


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"kind": "wavy"}, "^kind 'wavy': must be"),
        ({"kind": ["plain"]}, r"^kind \['plain'\]: must be"),
        ({"difficulty": "medium"}, "^difficulty 'medium': must be"),
        ({"theme": 1}, "^theme 1: must be"),
        ({"pixel_ratio": 3}, "^pixel_ratio 3: must be"),
        ({"pixel_ratio": 2.0}, "^pixel_ratio 2.0: must be"),
        ({"change": {"hue": 1}}, "^change: the look has no setting 'hue'"),
        ({"change": {"noise": 9}}, "^change: noise: must be from"),
        ({"change": {"noise": "loud"}}, "^change: noise: must be a number"),
        ({"change": {"contrast": [0.9, 0.5]}}, "^change: contrast: the lower limit comes first"),
        ({"change": {"height": 120.5}}, "^change: height: must be a whole number"),
        ({"change": {"height": float("nan")}}, "^change: height: must be a whole number"),
        ({"change": ["noise"]}, "^change .*: must map settings"),
        *[({"seed": seed}, f"^seed {seed!r}: must be a whole number, 0 or more") for seed in (-1, 1.0, 0.0, "1", "")],
    ],
)
def test_a_wrong_argument_is_refused_at_once_by_its_name(fault: dict[str, object], reason: str) -> None:
    for function in (gantcha.samples, partial(gantcha.draw_many, ["ab"]), partial(gantcha.draw, "ab")):
        with pytest.raises(gantcha.GantchaError, match=reason) as refused:
            function(**fault)  # type: ignore[operator] # wrong on purpose
        assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"mix": {"medium": 1}}, "^mix medium: must be"),
        ({"mix": {"easy": 0.5}}, "^mix easy: the shares"),
        ({"mix": {"easy": "all"}}, "^mix easy: its share must be a number"),
        ({"mix": ["easy"]}, "^mix .*: must map names to shares"),
        ({"mix": HALVES, "difficulty": "standard"}, "^mix names each difficulty: leave difficulty out"),
        ({"mix": {"light": 1}, "theme": "light"}, "^mix names each theme: leave theme out"),
        ({"mix": {"plain": 1}, "kind": "plain"}, "^mix names each kind: leave kind out"),
    ],
)
def test_a_wrong_mix_is_refused(fault: dict[str, object], reason: str) -> None:
    for function in (gantcha.samples, partial(gantcha.draw_many, ["ab"])):
        with pytest.raises(gantcha.GantchaError, match=reason):
            function(**fault)  # type: ignore[operator] # wrong on purpose


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"length": (4, 99)}, r"^length \(4, 99\): must be"),
        ({"length": "6"}, "^length 6: must be"),
        ({"length": 17}, "^length 17: must be"),
        ({"alphabet": "!"}, "^alphabet !: must be"),
        ({"alphabet": ""}, "^alphabet : must be"),
        ({"alphabet": 5}, "^alphabet 5: must be text"),
        ({"pattern": "a{99}"}, r"^pattern a\{99\}: codes"),
        ({"pattern": ""}, "^pattern : codes"),
        ({"pattern": "a", "length": 6}, "^pattern says it all: leave length and alphabet out"),
        ({"pattern": "a", "alphabet": "a"}, "^pattern says it all: leave length and alphabet out"),
        ({"worker": 2, "workers": 2}, "^worker 2: must be from 0 to 1, with 2 workers"),
        ({"worker": -1}, "^worker -1: must be"),
        ({"worker": "0"}, "^worker '0': must be"),
        ({"workers": 0}, "^workers 0: must be"),
        ({"start": 0.5}, "^start 0.5: must be"),
    ],
)
def test_wrong_samples_are_refused(fault: dict[str, object], reason: str) -> None:
    with pytest.raises(gantcha.GantchaError, match=reason):
        gantcha.samples(**fault)  # type: ignore[arg-type] # wrong on purpose


def test_a_seed_may_be_as_large_as_a_digest() -> None:
    assert _first(3, seed=2**256) == _first(3, seed=2**256) != _first(3, seed=2**256 + 1)

"""The package `gantcha`: codes as asked, and samples."""

import io
import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import gantcha
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


def test_what_cant_be_drawn_is_told() -> None:
    with pytest.raises(ValueError, match="can't be drawn"):
        gantcha.draw("ä")
    for fault, reason in (
        ({"length": (4, 99)}, r"^length \(4, 99\): must be"),
        ({"mix": {"medium": 1}}, "^mix medium: must be"),
        ({"mix": {"easy": 0.5}}, "^mix easy: the shares"),
        ({"change": {"hue": 1}}, "no setting 'hue'"),
        ({"change": {"noise": 9}}, "^noise: must be from"),
        ({"alphabet": "!"}, "^alphabet !: must be"),
        ({"pattern": "a{99}"}, r"^pattern a\{99\}: codes"),
        ({"difficulty": "medium"}, "^difficulty 'medium': must be"),
        ({"worker": 2, "workers": 2}, "worker 2 of 2"),
        ({"seed": -1}, "^seed -1: must be"),
        ({"start": 0.5}, "^start 0.5: must be"),
    ):
        with pytest.raises(gantcha.GantchaError, match=reason):
            gantcha.samples(**fault)  # type: ignore[arg-type] # wrong on purpose

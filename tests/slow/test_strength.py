"""Attacks that learn, and the commands that measure strength and readability."""

import json
import re
from dataclasses import replace
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from batch.recogniser import Crnn, Lesson
from benchmarks.looks import character_reader, readability
from benchmarks.strength.detector import Detector
from benchmarks.strength.preprocessing import preprocessings
from benchmarks.strength.untrained import rate
from gantcha.captcha import draw_captchas
from gantcha.drawing.look import LOOKS
from gantcha.glyphs.checkpoints import Checkpoints
from gantcha.glyphs.sampler import Sampler
from gantcha.home import CHECKPOINTS
from tests.conftest import invoke, refusal
from tests.support.documents import documented
from tests.support.programs import needs

STANDARD = LOOKS["plain"]["standard"]


def test_strength_compares_both_kinds_and_writes_what_it_found(tmp_path: Path) -> None:
    budget = ("--samples", 40, "--attacked", 10, "--minutes", 0.02, "--minutes", 0.04)
    words = (*budget, "--difficulty", "easy", "--attacks", "ddddocr-told segments crnn detector", "--out", tmp_path)
    finished = invoke("benchmarks.strength", *words)
    assert finished.exit_code == 0, finished.stderr
    assert "crnn-0.02" in finished.stdout and "detector-40" in finished.stdout
    first = finished.stdout.splitlines()[0]
    assert re.fullmatch(r"best attack: \S+ reads \S+% of codes \(95 % interval \S+% - \S+%\)", first)
    report = json.loads((tmp_path / "strength-plain-easy.json").read_text())
    assert report["look"]["pixel_ratio"] == 2
    assert set(report["success"]) == {"gantcha", "captcha", "wheezy.captcha"}
    for row in report["success"].values():
        assert {"ddddocr-told", "segments-filter", "crnn-0.02", "crnn-0.04"} <= set(row)
        assert all(success["low"] <= success["codes"] <= success["high"] for success in row.values())
        assert row["crnn-0.02"]["trained_seconds"] >= 1.2 and row["crnn-0.04"]["trained_seconds"] >= 2.4
    with Image.open(tmp_path / "strength-plain-easy.png") as plot:
        assert plot.width > 600
    quick = documented("docs/threat-model.md", "python -m benchmarks.strength --quick")
    ours = invoke(*quick, *words, "--no-peers", "--attacks", "rapidocr crnn")
    assert ours.exit_code == 0, ours.stderr
    found = json.loads((tmp_path / "strength-plain-easy.json").read_text())["success"]
    assert found.keys() == {"gantcha"} and found["gantcha"].keys() == {"rapidocr-told"}
    assert "no attack's name contains" in refusal("benchmarks.strength", "--attacked", 10, "--attacks", "nobody")
    assert "can't write to" in refusal("benchmarks.strength", "--out", tmp_path / "nowhere")


@needs("espeak-ng")
def test_the_sound_is_attacked_and_rated() -> None:
    command = documented("docs/threat-model.md", "python -m benchmarks.strength.sound")
    finished = invoke(*command, "--minutes", 0.02, "--sounds", 20, "--attacked", 10)
    assert finished.exit_code == 0, finished.stderr
    assert "trained, 0.02 minutes" in finished.stdout
    for package, row in {
        "pocketsphinx": "pocketsphinx, told of six words",
        "pystoi": "intelligibility: STOI 0.",
    }.items():
        assert (row in finished.stdout) == bool(find_spec(package))
    assert "no attack was made" in refusal("benchmarks.strength.sound", "--attacked", 10, "--attacks", "nobody")


def test_styles_are_tried_and_read_by_a_stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, few in {"_LOOKS": 9, "_OF_EACH": 40, "_STEPS": 120, "_BATCH": 64}.items():
        monkeypatch.setattr(character_reader, name, few)
    monkeypatch.setattr(readability, "_READ", 200)
    monkeypatch.setenv("CAPTCHA_ALPHABET", "28x")
    finished = invoke(
        *documented("docs/threat-model.md", "python -m benchmarks.looks.readability --kind"), "--cache", tmp_path
    )
    assert finished.exit_code == 0, finished.stderr
    found = re.search(r"reads (\S+)% of 200 codes, (\S+)% of their characters", finished.stdout)
    assert found and float(found[1]) < float(found[2])
    assert float(found[2]) > 45  # a third is chance

    words = documented("docs/threat-model.md", "python -m benchmarks.looks.frontier")
    finished = invoke(*words, "--looks", 2, "--captchas", 20, "--cache", tmp_path, "--out", tmp_path)
    assert finished.exit_code == 0, finished.stderr
    trials = re.findall(
        r"^(\w+): (\S+)% of codes read by the stand-in, (\S+)% by \S+, .+\n(.*)$", finished.stdout, re.M
    )
    looks = {name: look for name, *_, look in trials}
    assert looks.keys() - {"3", "4"} == {"easy", "standard", "hard"}
    assert looks["standard"].strip() == "" and "--set strikes=4" in looks["hard"]
    assert len(set(looks.values())) == len(trials)
    assert all(0 <= float(share) <= 100 for _, *shares, _ in trials for share in shares)
    for name in ("frontier", "looks"):
        with Image.open(tmp_path / f"{name}-plain.png") as picture:
            assert picture.width > 600
    assert len(list(tmp_path.glob("character-reader-*.weights.h5"))) == 1


def test_the_crnn_learns_to_read_from_places_and_from_codes_alone() -> None:
    """Dark bars that are thick or thin, at varying places."""
    rng = np.random.default_rng(1)

    def draw(number: int) -> Lesson:
        codes = ["".join(rng.choice(list("ab"), 3)) for _ in range(number)]
        pictures, frames = np.full((number, 16, 80), 255, np.uint8), np.zeros((number, 20), np.int64)
        for picture, columns, code in zip(pictures, frames, codes, strict=True):
            for left, character in zip(rng.integers(6) + np.array([4, 28, 52]), code, strict=True):
                picture[:, left : left + (4 if character == "a" else 14)] = 0
                columns[left // 4] = 1 + "ab".index(character)
        return Lesson(pictures, codes, frames)

    unseen = draw(100)
    for places_known, seconds in ((True, 30), (False, 60)):
        lessons = (draw(64) if places_known else draw(64)._replace(frames=None) for _ in count())
        solver, spent = Crnn("ba", seed=1), list[float]()
        training = solver.train(lessons, spent.append, seconds)
        assert len(spent) == training.steps
        assert sum(spent) == pytest.approx(training.trained_seconds) == pytest.approx(seconds, abs=2)
        assert rate(unseen.codes, solver.solve(unseen.pictures)).codes > 0.8  # 0.125 is chance


@pytest.mark.parametrize(("ratio", "prepared"), [(1, "threshold 125"), (2, "halved, threshold 125")])
def test_a_detector_leaves_out_what_is_crossed_out(ratio: int, prepared: str) -> None:
    rng, sampler = np.random.default_rng(1), Sampler(Checkpoints(CHECKPOINTS))
    easier = {"decoys": "3479eh", "gap": (8.0, 10.0), "scribbles": 0, "noise": 0.02}
    look = replace(LOOKS["crossed-out"]["easy"], pixel_ratio=ratio, **easier)
    codes = ["".join(code) for code in rng.choice(list("3479eh"), (240, 6))]
    captchas = list(draw_captchas(codes, sampler, look, rng, labelled=True))
    detector, done = Detector(preprocessings(ratio)[prepared], 8), []
    detector.train(captchas[:210], done.append)
    assert sum(done) == pytest.approx(1)
    pictures = np.stack([captcha.picture for captcha in captchas[210:]])
    answers = detector.read(pictures, 6, "3479eh", lambda images: sampler.filter.run(glyphs=images))
    assert rate(codes[210:], answers).characters > 0.6  # a reader of all eight has few in their place

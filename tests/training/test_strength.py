"""Attacks that learn."""

import time
from dataclasses import replace

import numpy as np
import pytest

from batch.baseline import downsample
from benchmarks.strength.crnn import CrnnSolver
from benchmarks.strength.detector import Detector
from benchmarks.strength.preprocessing import PREPROCESSINGS
from benchmarks.strength.untrained import rate
from gantcha.captcha import draw_captchas
from gantcha.drawing.look import LOOKS
from gantcha.glyphs.checkpoints import Checkpoints
from gantcha.glyphs.sampler import Sampler
from gantcha.home import CHECKPOINTS


def test_pictures_are_downsampled_to_half_their_size() -> None:
    rows = np.repeat(np.array([[0, 0, 40, 60, 255, 255, 9]], np.uint8), 5, 0)
    assert downsample(rows[None]).tolist() == [[[0, 50, 255]] * 2]


def test_the_crnn_learns_to_read() -> None:
    """Dark bars that are thick or thin, at varying places."""
    rng = np.random.default_rng(1)
    codes = ["".join(rng.choice(list("ab"), 3)) for _ in range(500)]
    pictures = np.full((500, 16, 80), 255, np.uint8)
    for picture, code in zip(pictures, codes, strict=True):
        for left, character in zip(rng.integers(6) + np.array([4, 28, 52]), code, strict=True):
            picture[:, left : left + (4 if character == "a" else 14)] = 0
    solver, spent = CrnnSolver("ba", seed=1), []
    started = time.process_time()
    solver.train(pictures[:400], codes[:400], spent.append, 80)
    assert sum(spent) == pytest.approx(80, abs=1)
    assert time.process_time() - started < 70, "it went on although it reads all of what was held out"
    assert rate(codes[400:], solver.solve(pictures[400:])).codes > 0.8  # 0.125 is chance


def test_a_detector_leaves_out_what_is_crossed_out() -> None:
    rng, sampler = np.random.default_rng(1), Sampler(Checkpoints(CHECKPOINTS))
    look = replace(LOOKS["crossed-out"]["easy"], decoys="3479eh", gap=(8.0, 10.0), scribbles=0, noise=0.02)
    codes = ["".join(code) for code in rng.choice(list("3479eh"), (240, 6))]
    captchas = list(draw_captchas(codes, sampler, look, rng, labelled=True))
    detector, done = Detector(PREPROCESSINGS["threshold 125"], 8), []
    detector.train(captchas[:210], done.append)
    assert sum(done) == pytest.approx(1)
    pictures = np.stack([captcha.picture for captcha in captchas[210:]])
    answers = detector.read(pictures, 6, "3479eh", lambda images: sampler.filter.run(glyphs=images))
    assert rate(codes[210:], answers).characters > 0.6  # a reader of all eight has few in their place

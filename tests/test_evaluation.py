"""The measures tell like from unlike, and the command reports them."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from batch.evaluation.accuracy_score import accuracy_by_class
from batch.evaluation.latent_scale import widest
from batch.evaluation.metrics import (
    confusions,
    density_and_coverage,
    frechet_distance,
    kernel_distance,
    nearest_distances,
    precision_and_recall,
)
from batch.evaluation.two_sample import TwoSampleTest
from batch.training.emnist import Emnist
from pool.settings import DEFAULT_CHECKPOINTS_DIR
from tests import emnist_files
from tests.conftest import run
from tests.documents import documented

RNG = np.random.default_rng(1)


def test_frechet_distance_of_known_gaussians() -> None:
    one = RNG.standard_normal((20_000, 4)).astype(np.float32)
    other = (2 * RNG.standard_normal((20_000, 4)) + 3).astype(np.float32)
    # Means 3 apart in each of four dimensions, standard deviations 1 and 2.
    assert frechet_distance(one, other) == pytest.approx(4 * (9 + 1), rel=0.03)
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-6)


def test_precision_and_recall_of_known_sets() -> None:
    wide = RNG.uniform(0, 2, (800, 2)).astype(np.float32)
    narrow = RNG.uniform(0, 1, (800, 2)).astype(np.float32)
    precision, recall = precision_and_recall(real=wide, fake=narrow)
    assert precision > 0.95
    assert recall == pytest.approx(0.25, abs=0.06)
    assert precision_and_recall(real=wide, fake=wide + 10) == (0, 0)


def test_density_and_coverage_of_known_sets() -> None:
    wide = RNG.uniform(0, 2, (800, 2)).astype(np.float32)
    narrow = RNG.uniform(0, 1, (800, 2)).astype(np.float32)
    same = RNG.uniform(0, 2, (800, 2)).astype(np.float32)
    assert density_and_coverage(real=wide, fake=same) == pytest.approx((1, 1), abs=0.07)
    density, coverage = density_and_coverage(real=wide, fake=narrow)
    assert density == pytest.approx(1, abs=0.2)  # fakes lie where reals do
    assert coverage == pytest.approx(0.25, abs=0.06)  # but not everywhere
    # An outlier among the reals makes no fakes precise.
    outlier = np.concatenate([wide, [[30, 30]]]).astype(np.float32)
    assert density_and_coverage(real=outlier, fake=wide + 10)[0] < 0.3
    assert precision_and_recall(real=outlier, fake=wide + 10)[0] == 1


def test_kernel_distance_of_known_sets() -> None:
    one, same = (RNG.standard_normal((1000, 4)).astype(np.float32) for _ in range(2))
    assert kernel_distance(one, same) == pytest.approx(0, abs=0.05)
    # For two points a and b it is k(a, a) + k(b, b) - 2 k(a, b), k(x, y) = (x.y / 4 + 1)^3.
    zeros, twos = np.zeros((5, 4), np.float32), np.full((5, 4), 2, np.float32)
    assert kernel_distance(zeros, twos) == pytest.approx(1 + 5**3 - 2 * 1)


def test_the_accuracy_score_tells_what_teaches_from_what_does_not() -> None:
    images, labels = np.zeros((47 * 20, 28, 28), np.uint8), np.repeat(np.arange(47, dtype=np.uint8), 20)
    for image, label in zip(images, labels, strict=True):
        image[4 + 3 * (label // 7) :][:3, 4 + 3 * (label % 7) :][:, :3] = 255  # a dot whose place is the class
    many = np.tile(np.arange(len(images)), 4)
    real, shuffled = (Emnist(images[many], of[many], "") for of in (labels, RNG.permutation(labels)))
    assert accuracy_by_class(real, real, lambda _: None).mean() > 0.5
    assert accuracy_by_class(shuffled, real, lambda _: None).mean() < 0.2


def test_nearest_distances_find_copies() -> None:
    images = emnist_files.strokes(30, RNG)
    among = np.concatenate([emnist_files.strokes(30, RNG), images[:1]])
    distances = nearest_distances(images, among)
    assert distances[0] == pytest.approx(0, abs=1e-2)
    assert (distances[1:] > 0.1).mean() > 0.8
    expected = np.sqrt(((images[5] / 255 - among / 255) ** 2).sum((1, 2))).min()
    assert distances[5] == pytest.approx(expected, abs=1e-2)


def test_confusions_add_up_both_ways() -> None:
    truth, read = np.array([1, 1, 1, 1, 2, 2, 3]), np.array([1, 1, 1, 2, 1, 2, 3])
    assert confusions(truth, read) == {(1, 2): 0.25 + 0.5, (1, 3): 0, (2, 3): 0}


def test_the_two_sample_test_tells_unlike_sets_apart_and_like_ones_not() -> None:
    test = TwoSampleTest()
    strokes, same = emnist_files.strokes(400, RNG), emnist_files.strokes(400, RNG)
    noisy = np.clip(strokes.astype(int) + RNG.integers(0, 60, strokes.shape), 0, 255).astype(np.uint8)
    assert test.accuracy(strokes, noisy, RNG) > 0.95
    assert test.accuracy(strokes, same, RNG) == pytest.approx(0.5, abs=0.12)


def test_evaluate_measures_every_class(tmp_path: Path) -> None:
    for split, count in (("train", 64), ("test", 12)):
        images = emnist_files.strokes(47 * count, RNG)
        emnist_files.write(tmp_path, images, np.repeat(np.arange(47, dtype=np.uint8), count), split)
    checkpoints = shutil.copytree(DEFAULT_CHECKPOINTS_DIR, tmp_path / "checkpoints")
    places: dict[str, object] = {"path/to/emnist": tmp_path, "trained": checkpoints}

    def told(page: str, command: str, *options: object) -> subprocess.CompletedProcess[str]:
        words = [places.get(word, word) for word in documented(page, command)]
        return run(*words, *options, "--cache", tmp_path / "cache")

    before = (checkpoints / "manifest.json").read_bytes()
    command = ("--data", tmp_path, "--checkpoints", checkpoints, "--cache", tmp_path / "cache", "--per-class", 100)
    assert run("batch.spread", *command).returncode == 0
    assert (checkpoints / "manifest.json").read_bytes() == before

    finished = told("docs/training.md", "python -m batch.evaluate", "--per-class", 100, "--repeats", 2)
    assert finished.returncode == 0, finished.stderr
    assert "36-lower-a" in finished.stdout and "ratio to real" in finished.stdout
    manifest = json.loads((checkpoints / "manifest.json").read_text())
    assert all("legibility_lookalikes" in entry["metrics"] for entry in manifest["classes"].values())
    for kind in ("in_captchas", "unfiltered"):
        found, errors = (manifest["evaluation"][key] for key in (kind, f"{kind}_errors"))
        assert 0 < found["legibility"] < 1
        assert found["two_sample"] > 0.9  # glyphs are not the bars of this data
        assert found["accuracy_score_to_real"] < 0.5  # and teach nothing about them
        assert found["worst_frechet_to_real"] > found["frechet_to_real"] > 1
        assert found["kernel"] > found["kernel_real"]
        assert 0 < errors["frechet"] < found["frechet"] / 2
    assert (checkpoints / "evaluation.png").stat().st_size > 10_000
    assert len(list((tmp_path / "cache").glob("reference-classifier-*.weights.h5"))) == 1

    finished = told("docs/training.md", "python -m batch.spread", "--per-class", 100)
    assert finished.returncode == 0, finished.stderr
    chosen = json.loads((checkpoints / "manifest.json").read_text())
    assert "evaluation" not in chosen
    assert {entry["latent_scale"] for entry in chosen["classes"].values()} <= {1.0, 1.1, 1.2, 1.3, 1.4, 1.5}
    assert sum(line.count("-") for line in finished.stdout.splitlines()) >= 47  # every class is named beside its scale

    finished = told("docs/threat-model.md", "python -m batch.readability --data")
    assert finished.returncode == 0, finished.stderr
    assert re.search(r"reads \d+\.\d% of \d+ characters", finished.stdout)


def test_the_widest_scale_that_costs_little_is_chosen() -> None:
    legible = [0.99] * 6
    assert widest([1.5, 1.1, 1.0, 1.1, 1.3, 2], legible) == 1.3
    assert widest([1.0, 1.1, 1.3, 1.6, 2, 3], legible) == 1.1
    assert widest([1.5, 1.1, 1.0, 1.1, 1.1, 1.1], [0.99, 0.98, 0.97, 0.95, 0.94, 0.9]) == 1.2
    assert widest([5, 4, 3, 2, 1, 0.5], [0.99, 0.9, 0.8, 0.7, 0.6, 0.5]) == 1.0

"""The measures of glyphs tell like from unlike."""

import numpy as np
import pytest

from batch.evaluation.metrics import (
    confusions,
    density_and_coverage,
    frechet_distance,
    kernel_distance,
    nearest_distances,
    precision_and_recall,
)
from gantcha.glyphs.specks import specks
from tests.support import emnist_files

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


def test_nearest_distances_find_copies() -> None:
    images = emnist_files.strokes(30, RNG)
    among = np.concatenate([emnist_files.strokes(30, RNG), images[:1]])
    distances = nearest_distances(images, among)
    assert distances[0] == pytest.approx(0, abs=1e-2)
    assert (distances[1:] > 0.1).mean() > 0.8
    expected = np.sqrt(((images[5] / 255 - among / 255) ** 2).sum((1, 2))).min()
    assert distances[5] == pytest.approx(expected, abs=1e-2)


def test_specks_are_small_and_apart() -> None:
    images = np.zeros((5, 28, 28), np.uint8)
    images[:, 4:24, 12:15] = 255  # a stroke
    images[1, 6, 20:22] = 255
    images[2, 2:3, 14:16] = 255  # joined to the stroke at a corner of its end
    images[2, 3, 15] = 255
    images[3, 4:8, 20:24] = 255  # the dot of an i
    images[4, 6, 20:22] = 40  # hardly to be seen
    assert specks(images).tolist() == [False, True, False, False, False]
    assert not specks(np.zeros((1, 28, 28), np.uint8)).any()


def test_confusions_add_up_both_ways() -> None:
    truth, read = np.array([1, 1, 1, 1, 2, 2, 3]), np.array([1, 1, 1, 2, 1, 2, 3])
    assert confusions(truth, read) == {(1, 2): 0.25 + 0.5, (1, 3): 0, (2, 3): 0}

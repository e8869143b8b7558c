"""What judges glyphs by trained networks tells like from unlike."""

import numpy as np
import pytest

from batch.evaluation.accuracy_score import accuracy_by_class
from batch.evaluation.two_sample import TwoSampleTest
from batch.images.labelled import LabelledImages
from tests.support import emnist_files

RNG = np.random.default_rng(1)


def test_the_accuracy_score_tells_what_teaches_from_what_does_not() -> None:
    labels = np.repeat(np.array([0, 6, 24, 42], np.uint8), 200)
    real, shuffled = (
        LabelledImages(emnist_files.dots(labels, RNG), of, "") for of in (labels, RNG.permutation(labels))
    )
    assert np.mean(list(accuracy_by_class(real, real).values())) > 0.9
    assert np.mean(list(accuracy_by_class(shuffled, real).values())) < 0.5


def test_the_two_sample_test_tells_unlike_sets_apart_and_like_ones_not() -> None:
    test = TwoSampleTest()
    strokes, same = emnist_files.strokes(240, RNG), emnist_files.strokes(240, RNG)
    noisy = np.clip(strokes.astype(int) + RNG.integers(0, 60, strokes.shape), 0, 255).astype(np.uint8)
    assert test.accuracy(strokes, noisy, RNG) > 0.95
    assert test.accuracy(strokes, same, RNG) == pytest.approx(0.5, abs=0.12)

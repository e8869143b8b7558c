"""Attacks that learn."""

import numpy as np

from benchmarks.strength.crnn import downsample


def test_pictures_are_downsampled_to_half_their_size() -> None:
    rows = np.repeat(np.array([[0, 0, 40, 60, 255, 255, 9]], np.uint8), 5, 0)
    assert downsample(rows[None]).tolist() == [[[0, 50, 255]] * 2]

"""The baseline of the reference set."""

import numpy as np
import pytest

from batch.baseline import Learnt, downsample, train_baseline
from benchmarks.strength.untrained import rate


def test_pictures_are_downsampled() -> None:
    rows = np.repeat(np.array([[0, 0, 40, 60, 255, 255, 9]], np.uint8), 5, 0)
    assert downsample(rows[None]).tolist() == [[[0, 50, 255]] * 2]
    assert downsample(rows[None], 4).tolist() == [[[25]]]


def test_the_baseline_learns_to_read() -> None:
    """Dark bars that are thick or thin; one that is crossed out is no part of the code."""
    rng = np.random.default_rng(1)
    pictures, labels = np.full((400, 16, 40), 255, np.uint8), []
    for picture in pictures:
        characters, out = "".join(rng.choice(list("ab"), 3)), int(rng.integers(3))
        lefts = rng.integers(3) + np.array([2, 14, 26])
        widths = [2 if character == "a" else 7 for character in characters]
        for place, (left, width) in enumerate(zip(lefts.tolist(), widths, strict=True)):
            picture[:, left : left + width] = 90 if place == out else 0
        boxes = [[4 * left, 0, 4 * (left + width), 64] for left, width in zip(lefts.tolist(), widths, strict=True)]
        crossed_out = [place == out for place in range(3)]
        code = "".join(c for c, is_out in zip(characters, crossed_out, strict=True) if not is_out)
        labels.append({"boxes": boxes, "characters": characters, "crossed_out": crossed_out, "code": code})
    spent = list[float]()
    baseline = train_baseline(Learnt(pictures[:300], labels[:300]), "ba", 25, spent.append)
    assert sum(spent) == pytest.approx(25, abs=2)
    codes = [label["code"] for label in labels[300:]]
    assert rate(codes, baseline.solve(pictures[300:])).codes > 0.8  # 0.25 is chance

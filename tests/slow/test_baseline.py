"""The baseline of the reference set."""

import numpy as np

from batch.baseline import Baseline, downsample
from benchmarks.strength.untrained import rate


def test_pictures_are_downsampled_to_half_their_size() -> None:
    rows = np.repeat(np.array([[0, 0, 40, 60, 255, 255, 9]], np.uint8), 5, 0)
    assert downsample(rows[None]).tolist() == [[[0, 50, 255]] * 2]


def test_the_baseline_learns_to_read() -> None:
    """Codes of two characters told by the brightness of their place."""
    rng = np.random.default_rng(1)
    codes = ["".join(rng.choice(list("ab"), 4)) for _ in range(300)]
    pictures = np.array([np.repeat([255 * (c == "a") for c in code], 10) for code in codes])[:, None].repeat(20, 1)
    solver, steps = Baseline("ba", seed=1), []
    solver.train(pictures[:200].astype(np.uint8), codes[:200], steps.append, 80)
    assert sum(steps) == 80
    assert rate(codes[200:], solver.solve(pictures[200:].astype(np.uint8))).characters > 0.85  # 0.5 is chance

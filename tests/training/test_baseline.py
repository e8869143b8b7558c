"""The baseline of the reference set."""

import numpy as np

from batch.baseline import Baseline, downsample
from benchmarks.strength.untrained import rate


def test_the_solver_learns_to_read() -> None:
    """Codes of two characters told by the brightness of their place."""
    rng = np.random.default_rng(1)
    codes = ["".join(rng.choice(list("ab"), 4)) for _ in range(300)]
    pictures = np.array([np.repeat([255 * (c == "a") for c in code], 20) for code in codes])[:, None].repeat(40, 1)
    downsampled = downsample(pictures.astype(np.uint8))
    assert downsampled.shape == (300, 20, 40)
    solver, steps = Baseline("ba", seed=1), []
    solver.train(downsampled[:200], codes[:200], steps.append, 80)
    assert sum(steps) == 80
    assert rate(codes[200:], solver.solve(downsampled[200:])).characters > 0.85  # 0.5 is chance

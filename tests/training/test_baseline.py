"""The baseline of the reference set."""

from types import ModuleType

import numpy as np
import pytest

from batch import baseline
from benchmarks.strength import crnn
from benchmarks.strength.untrained import rate


@pytest.mark.parametrize("module", [baseline, crnn], ids=lambda module: module.__name__)
def test_pictures_are_downsampled_to_half_their_size(module: ModuleType) -> None:
    rows = np.repeat(np.array([[0, 0, 40, 60, 255, 255, 9]], np.uint8), 5, 0)
    assert module.downsample(rows[None]).tolist() == [[[0, 50, 255]] * 2]


def test_the_baseline_learns_to_read() -> None:
    """Codes of two characters told by the brightness of their place."""
    rng = np.random.default_rng(1)
    codes = ["".join(rng.choice(list("ab"), 4)) for _ in range(300)]
    pictures = np.array([np.repeat([255 * (c == "a") for c in code], 10) for code in codes])[:, None].repeat(20, 1)
    solver, steps = baseline.Baseline("ba", seed=1), []
    solver.train(pictures[:200].astype(np.uint8), codes[:200], steps.append, 80)
    assert sum(steps) == 80
    assert rate(codes[200:], solver.solve(pictures[200:].astype(np.uint8))).characters > 0.85  # 0.5 is chance

"""Values that change smoothly along a line: weights of the points of a coarse grid."""

from functools import cache

import numpy as np
import numpy.typing as npt


@cache
def smoothstep(size: int, points: int) -> npt.NDArray[np.float32]:
    """Weights `[size, points]` of the two nearest of evenly spaced points, by smoothstep."""
    place = np.linspace(0, points - 1, size)[:, None]
    away = np.abs(place - np.arange(points)).clip(0, 1)
    weights: npt.NDArray[np.float32] = (1 - away**2 * (3 - 2 * away)).astype(np.float32)
    return weights

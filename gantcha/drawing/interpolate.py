"""Values that change smoothly over a picture: drawn on a coarse grid and interpolated, as one matrix product."""

from functools import cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def interpolate(points: npt.NDArray[np.float64], size: tuple[int, int]) -> Floats:
    """Interpolate a coarse grid `[N, rows, columns]` with smoothstep: `[N, *size]`."""
    height, width = size
    smooth: Floats = _smoothstep(height, points.shape[1]) @ (
        points.astype(np.float32) @ _smoothstep(width, points.shape[2]).T
    )
    return smooth


def interpolate_onto(
    of_rows: npt.NDArray[np.float64], of_columns: npt.NDArray[np.float64], points: npt.NDArray[np.float64]
) -> Floats:
    """Add what `interpolate` gives, a number of each row `[N, H]` and one of each column `[N, W]`: `[N, H, W]`.

    One matrix product does all of it: a pass over all pictures takes as long.
    """
    (count, height), width = of_rows.shape, of_columns.shape[1]
    weights = np.broadcast_to(_smoothstep(height, points.shape[1]), (count, height, points.shape[1]))
    columns = points @ _smoothstep(width, points.shape[2]).T
    left = np.concatenate([weights, of_rows[:, :, None], np.ones((count, height, 1))], 2, dtype=np.float32)
    right = np.concatenate([columns, np.ones((count, 1, width)), of_columns[:, None]], 1, dtype=np.float32)
    summed: Floats = left @ right
    return summed


@cache
def _smoothstep(size: int, points: int) -> Floats:
    """Weights `[size, points]` of the two nearest of evenly spaced points, by smoothstep."""
    place = np.linspace(0, points - 1, size)[:, None]
    away = np.abs(place - np.arange(points)).clip(0, 1)
    weights: Floats = (1 - away**2 * (3 - 2 * away)).astype(np.float32)
    return weights

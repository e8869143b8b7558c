"""The ways people write one glyph class, found by clustering its images: a g with a loop, a g with a hook."""

import numpy as np
import numpy.typing as npt

from batch.alphabet import SIDE

_COMPONENTS = 16
_RESTARTS = 4
_ROUNDS = 50


def cluster_styles(images: npt.NDArray[np.uint8], style_count: int, rng: np.random.Generator) -> npt.NDArray[np.int32]:
    """Assign each of `[N, 28, 28]` images to one of `style_count` clusters: `[N]`.

    k-means on the principal components of the images at half size, so that strokes and not pixels are compared.
    The best of a few random starts is kept.
    """
    half = images.reshape(-1, SIDE // 2, 2, SIDE // 2, 2).mean((2, 4)).reshape(len(images), -1) / 255
    centred = half - half.mean(0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    points = centred @ axes[:, -_COMPONENTS:]
    found = [_k_means(points, style_count, rng) for _ in range(_RESTARTS)]
    return min(found, key=lambda one: one[1])[0]


def _k_means(
    points: npt.NDArray[np.float64], count: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int32], float]:
    """Lloyd's algorithm; return the assignment and the sum of squared distances."""
    centres = points[rng.choice(len(points), count, replace=False)]
    for _ in range(_ROUNDS):
        nearest, distances = _nearest(points, centres)
        members = np.eye(count)[nearest]
        sizes = members.sum(0)[:, None]
        # An empty cluster starts again from the point that fits worst.
        centres = np.where(sizes > 0, members.T @ points / sizes.clip(1), points[distances.argmax()])
    nearest, distances = _nearest(points, centres)
    return nearest.astype(np.int32), float(distances.sum())


def _nearest(
    points: npt.NDArray[np.float64], centres: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Which centre is nearest to each point, and its squared distance."""
    distances = (points**2).sum(1)[:, None] + (centres**2).sum(1) - 2 * points @ centres.T
    return distances.argmin(1), distances.min(1)

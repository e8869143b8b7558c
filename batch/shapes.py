"""The ways people write one glyph class, found by clustering its images: a g with a loop, a g with a hook."""

import numpy as np
import numpy.typing as npt

from batch.emnist import SIDE

_COMPONENTS = 16
_RESTARTS = 4
_ROUNDS = 50


def cluster_shapes(images: npt.NDArray[np.uint8], shape_count: int, rng: np.random.Generator) -> npt.NDArray[np.int32]:
    """Assign each of `[N, 28, 28]` images to one of `shape_count` clusters: `[N]`.

    k-means on the principal components of the images at half size, so that strokes and not pixels are compared.
    The best of a few random starts is kept.
    """
    half = images.reshape(-1, SIDE // 2, 2, SIDE // 2, 2).mean((2, 4)).reshape(len(images), -1) / 255
    centred = half - half.mean(0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    points = centred @ axes[:, -_COMPONENTS:]
    runs = [_k_means(points, shape_count, rng) for _ in range(_RESTARTS)]
    return min(runs, key=lambda run: run[1])[0]


def _k_means(
    points: npt.NDArray[np.float64], count: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int32], float]:
    """Lloyd's algorithm; return the assignment and the sum of squared distances."""
    centres = points[rng.choice(len(points), count, replace=False)]
    for _ in range(_ROUNDS):
        distances = ((points[:, None] - centres) ** 2).sum(2)
        nearest = distances.argmin(1)
        # An empty cluster starts again from the point that fits worst.
        centres = np.stack(
            [
                points[nearest == cluster].mean(0) if (nearest == cluster).any() else points[distances.min(1).argmax()]
                for cluster in range(count)
            ]
        )
    distances = ((points[:, None] - centres) ** 2).sum(2)
    return distances.argmin(1).astype(np.int32), float(distances.min(1).sum())

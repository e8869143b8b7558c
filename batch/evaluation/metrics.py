"""Distances between two sets of images, and other figures of an evaluation."""

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest
from sklearn.metrics.pairwise import euclidean_distances, pairwise_distances_argmin_min

Features = npt.NDArray[np.float32]
"""`[N, F]`"""


def frechet_distance(one: Features, other: Features) -> float:
    """Frechet distance between the Gaussians fitted to two sets of features (Heusel et al. 2017)."""
    mean_gap = one.mean(0, dtype=np.float64) - other.mean(0, dtype=np.float64)
    covariance, other_covariance = (np.cov(features, rowvar=False, dtype=np.float64) for features in (one, other))
    values, axes = np.linalg.eigh(covariance)
    root = axes * np.sqrt(values.clip(0)) @ axes.T
    # The trace of sqrt(C1 C2) is that of sqrt(R C2 R), which is symmetric.
    shared = np.sqrt(np.linalg.eigvalsh(root @ other_covariance @ root).clip(0)).sum()
    return float(mean_gap @ mean_gap + np.trace(covariance) + np.trace(other_covariance) - 2 * shared)


def precision_and_recall(real: Features, fake: Features, k: int = 3) -> tuple[float, float]:
    """Improved precision and recall (Kynkaanniemi et al. 2019).

    Precision is the share of fakes within the k-th-neighbour balls of the reals, recall the share of reals within
    those of the fakes.
    """
    between = euclidean_distances(real, fake)
    real_radius, fake_radius = (np.sort(euclidean_distances(features, features), 1)[:, k] for features in (real, fake))
    precision = (between <= real_radius[:, None]).any(0).mean()
    return float(precision), float((between <= fake_radius).any(1).mean())


def density_and_coverage(real: Features, fake: Features, k: int = 5) -> tuple[float, float]:
    """Density and coverage (Naeem et al. 2020), which a single outlier hardly moves.

    Density is how many k-th-neighbour balls of the reals a fake lies in, divided by `k`, in the mean. Coverage is the
    share of reals whose ball has a fake in it.
    """
    radius = np.sort(euclidean_distances(real, real), 1)[:, k]
    inside = euclidean_distances(real, fake) <= radius[:, None]
    return float(inside.sum(0).mean() / k), float(inside.any(1).mean())


def kernel_distance(one: Features, other: Features) -> float:
    """Kernel distance, KID (Binkowski et al. 2018): a squared maximum mean discrepancy, unbiased."""

    def kernel(left: Features, right: Features) -> npt.NDArray[np.float64]:
        similarities: npt.NDArray[np.float64] = (left.astype(np.float64) @ right.T / left.shape[1] + 1) ** 3
        return similarities

    def mean_within(features: Features) -> float:
        similarities, count = kernel(features, features), len(features)
        return float((similarities.sum() - np.trace(similarities)) / (count * (count - 1)))

    return mean_within(one) + mean_within(other) - 2 * float(kernel(one, other).mean())


def nearest_distances(images: npt.NDArray[np.uint8], among: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Give the distance in pixel space from each of `[N, 28, 28]` to the nearest of `[M, 28, 28]`: `[N]`.

    Generated images nearer to the training set than other real ones are copies (Meehan et al. 2020).
    """
    flat, flat_among = ((array.reshape(len(array), -1) / 255).astype(np.float32) for array in (images, among))
    _, nearest = pairwise_distances_argmin_min(flat, flat_among)
    return np.asarray(nearest, np.float32)


def confusions(truth: npt.NDArray[np.int64], read: npt.NDArray[np.int64]) -> dict[tuple[int, int], float]:
    """Add up, for each pair of labels, the share of one read as the other and the reverse; both are `[N]`."""
    labels = np.unique(truth)
    shares = {(one, other): float((read[truth == one] == other).mean()) for one in labels for other in labels}
    return {(one, other): shares[one, other] + shares[other, one] for one, other in shares if one < other}


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """Give the 95 % score interval of a share (Wilson 1927)."""
    interval = binomtest(successes, trials).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)

"""How near two sets of images are, in numbers."""

import numpy as np
import numpy.typing as npt

from batch.emnist import SIDE
from batch.networks import as_input
from batch.quiet_tensorflow import keras, tf

Features = npt.NDArray[np.float32]
"""`[N, F]`"""
_HELD_OUT = 0.25
_EPOCHS = 25
_BATCH = 50
_Z = 1.96  # of 95 %


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
    between = _distances(real, fake)
    real_radius, fake_radius = (np.sort(_distances(features, features), 1)[:, k] for features in (real, fake))
    precision = (between <= real_radius[:, None]).any(0).mean()
    return float(precision), float((between <= fake_radius).any(1).mean())


def nearest_distances(images: npt.NDArray[np.uint8], among: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Give the distance in pixel space from each of `[N, 28, 28]` to the nearest of `[M, 28, 28]`: `[N]`."""
    flat, flat_among = ((array.reshape(len(array), -1) / 255).astype(np.float32) for array in (images, among))
    nearest: npt.NDArray[np.float32] = _distances(flat, flat_among).min(1)
    return nearest


def _distances(one: Features, other: Features) -> npt.NDArray[np.float32]:
    squared = (one**2).sum(1)[:, None] + (other**2).sum(1) - 2 * one @ other.T
    distances: npt.NDArray[np.float32] = np.sqrt(squared.clip(0))
    return distances


def confusions(truth: npt.NDArray[np.int64], read: npt.NDArray[np.int64]) -> dict[tuple[int, int], float]:
    """Add up, for each pair of labels, the share of one read as the other and the reverse; both are `[N]`."""
    labels = np.unique(truth)
    shares = {(one, other): float((read[truth == one] == other).mean()) for one in labels for other in labels}
    return {(one, other): shares[one, other] + shares[other, one] for one, other in shares if one < other}


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """Give the 95 % score interval of a share (Wilson 1927)."""
    share = successes / trials
    middle = share + _Z**2 / (2 * trials)
    half = _Z * np.sqrt(share * (1 - share) / trials + _Z**2 / (4 * trials**2))
    scale = 1 + _Z**2 / trials
    return max(0.0, float((middle - half) / scale)), min(1.0, float((middle + half) / scale))


class TwoSampleTest:
    """A classifier two-sample test (Lopez-Paz and Oquab 2017): can a fresh CNN tell two sets of images apart?"""

    def __init__(self) -> None:
        layers = keras.layers
        self._model = keras.Sequential(
            [
                layers.Input((SIDE, SIDE, 1)),
                layers.Conv2D(16, 5, 2, padding="same", activation="relu"),
                layers.Conv2D(32, 5, 2, padding="same", activation="relu"),
                layers.Flatten(),
                layers.Dropout(0.4),
                layers.Dense(64, activation="relu"),
                layers.Dense(1),
            ]
        )
        self._optimizer = keras.optimizers.Adam(1e-3)
        self._optimizer.build(self._model.trainable_variables)
        self._fresh = [variable.numpy() for variable in self._variables]
        self._train_step = tf.function(self._train_step_eagerly)

    @property
    def _variables(self) -> list[tf.Variable]:
        return [*self._model.variables, *self._optimizer.variables]

    def accuracy(self, one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8], rng: np.random.Generator) -> float:
        """Train on three quarters of two sets `[N, 28, 28]` of equal size; return the accuracy on the rest.

        0.5 means that the sets could not be told apart, 1 that every image gave itself away.
        """
        for variable, value in zip(self._variables, self._fresh, strict=True):
            variable.assign(value)
        images = as_input(np.concatenate([one, other]))
        truth = np.repeat(np.array([0, 1], np.float32), len(one))
        order = rng.permutation(len(images))
        held_out, seen = np.split(order, [int(len(order) * _HELD_OUT)])
        for _ in range(_EPOCHS):
            for chosen in rng.permutation(seen)[: len(seen) // _BATCH * _BATCH].reshape(-1, _BATCH):
                self._train_step(tf.constant(images[chosen]), tf.constant(truth[chosen]))
        guesses = np.asarray(self._model(images[held_out], training=False))[:, 0] > 0
        return float((guesses == truth[held_out]).mean())

    def _train_step_eagerly(self, images: tf.Tensor, truth: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            logits = self._model(images, training=True)[:, 0]
            loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(truth, logits))
        variables = self._model.trainable_variables
        self._optimizer.apply(tape.gradient(loss, variables), variables)

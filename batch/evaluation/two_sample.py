"""A classifier two-sample test (Lopez-Paz and Oquab 2017): can a CNN tell two sets of images apart?"""

import numpy as np
import numpy.typing as npt

from batch.training.networks import as_input
from batch.training.tensorflow import keras
from gantcha.alphabet import SIDE

_HELD_OUT = 0.25
_EPOCHS = 25
_BATCH = 50


class TwoSampleTest:
    """The test; the CNN starts anew for each pair of sets."""

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
        self._model.compile(
            keras.optimizers.Adam(1e-3),
            keras.losses.BinaryCrossentropy(from_logits=True),
            steps_per_execution=12,  # the steps are so small that Keras takes longer between them
            jit_compile=False,
        )
        self._model.optimizer.build(self._model.trainable_variables)
        self._variables = [*self._model.variables, *self._model.optimizer.variables]
        self._fresh = [variable.numpy() for variable in self._variables]

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
        chosen = np.concatenate([rng.permutation(seen) for _ in range(_EPOCHS)])
        self._model.fit(images[chosen], truth[chosen, None], _BATCH, shuffle=False, verbose=0)
        guesses = self._model.predict_on_batch(images[held_out])[:, 0] > 0
        return float((guesses == truth[held_out]).mean())

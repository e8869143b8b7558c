"""The CRNN solver (after Shi et al. 2016): convolutions, a recurrent network along the text, and CTC."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from batch.baseline import shifted_batches
from batch.training.classifier import predict
from batch.training.networks import as_input, pooled_convolution
from batch.training.tensorflow import keras, tf
from benchmarks.strength.ctc import decode
from benchmarks.strength.untrained import rate

_CHUNK = 200  # pictures that are read at once
_CONVOLUTIONS = ((32, (2, 2)), (64, (2, 2)), (96, (2, 1)), (128, (2, 1)))  # channels, pooling
_UNITS = 128
_RATE = 2e-3
_WARM_UP = 0.05  # share of the time
_CONTRAST = 0.3  # change of it, at most
_HELD_OUT = 200  # labelled captchas, at most a tenth: they tell when there is nothing more to learn
_CHECKED = 0.05  # of the time: between looks at them
_ENOUGH = 0.98  # of their codes


def make_crnn_model(size: tuple[int, int], alphabet_size: int) -> keras.Model:
    """Build the CRNN: pictures `[N, *size, 1]` in -1..1 -> logits `[N, columns, 1 + alphabet_size]`, blank first."""
    layers = keras.layers
    picture = layers.Input((*size, 1))
    hidden = picture
    for channels, pooling in _CONVOLUTIONS:
        hidden = pooled_convolution(hidden, channels, pooling)
    columns = layers.Permute((2, 1, 3))(hidden)
    columns = layers.Reshape((columns.shape[1], columns.shape[2] * columns.shape[3]))(columns)
    columns = layers.Dropout(0.2)(layers.Dense(_UNITS, activation="relu")(columns))
    columns = layers.Bidirectional(layers.GRU(_UNITS, return_sequences=True))(columns)
    return keras.Model(picture, layers.Dense(1 + alphabet_size)(layers.Dropout(0.2)(columns)))


class CrnnSolver:
    """A CRNN trained on labelled captchas."""

    def __init__(self, alphabet: str, seed: int) -> None:
        self._alphabet, self._seed = np.array(sorted(set(alphabet))), seed

    def train(
        self, pictures: npt.NDArray[np.uint8], codes: Sequence[str], report: Callable[[float], Any], seconds: float
    ) -> None:
        """Train on downsampled pictures `[N, H, W]` for some processor time, less if that is enough.

        `report` gets the seconds of each step.
        """
        keras.utils.set_random_seed(self._seed)
        labels = 1 + np.searchsorted(self._alphabet, np.array([list(code) for code in codes]))
        self._length = labels.shape[1]
        self._model = make_crnn_model(pictures.shape[1:], len(self._alphabet))
        self._model.compile(keras.optimizers.Adam(_RATE, clipnorm=1.0), keras.losses.CTC(), jit_compile=False)
        rng = np.random.default_rng(self._seed)
        learnt = len(pictures) - min(_HELD_OUT, len(pictures) // 10)
        started = reported = time.process_time()
        next_check = _CHECKED
        for chosen, shifted in shifted_batches(pictures[:learnt], rng):
            done = (reported - started) / seconds
            if done >= next_check:
                next_check += _CHECKED
                if done >= 1 or self._has_learnt(pictures[learnt:], codes[learnt:]):
                    report(max(seconds - (reported - started), 0))
                    break
            warmth = min(done / _WARM_UP + 0.05, 1)
            self._model.optimizer.learning_rate = _RATE * warmth * (1 + np.cos(np.pi * done)) / 2
            contrast = rng.uniform(1 - _CONTRAST, 1 + _CONTRAST, (len(chosen), 1, 1, 1)).astype(np.float32)
            self._model.train_on_batch(as_input(shifted) * contrast, labels[chosen])
            now = time.process_time()
            report(now - reported)
            reported = now

    def _has_learnt(self, pictures: npt.NDArray[np.uint8], codes: Sequence[str]) -> bool:
        return len(codes) > 0 and rate(codes, self.solve(pictures)).codes >= _ENOUGH

    def solve(self, pictures: npt.NDArray[np.uint8]) -> list[str]:
        """Read downsampled pictures `[N, H, W]`."""
        logits = predict(self._model, pictures, _CHUNK)
        decoded = decode(tf.nn.log_softmax(logits).numpy(), self._length)
        return ["".join(characters) for characters in self._alphabet[decoded.symbols]]

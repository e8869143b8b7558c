"""The baseline of the reference set: a small convolutional network with a head for each place of the code."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from batch.training.classifier import compile_classifier, predict
from batch.training.networks import as_input, pooled_convolution
from batch.training.tensorflow import keras

_SHRINK = 2  # half the size shows all that a solver needs
_CHANNELS = (24, 40, 64, 96)
_HIDDEN = 256
_BATCH = 64
_RATE = 1e-3
_SHIFT = 3
_CHUNK = 200  # pictures that are read at once


def downsample(pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Downsample grey pictures `[N, H, W]` to half their size: `[N, H / 2, W / 2]`."""
    count, height, width = pictures.shape[0], *(side // _SHRINK * _SHRINK for side in pictures.shape[1:])
    blocks = pictures[:, :height, :width].reshape(count, height // _SHRINK, _SHRINK, width // _SHRINK, _SHRINK)
    downsampled: npt.NDArray[np.uint8] = (blocks.sum((2, 4), np.uint16) // _SHRINK**2).astype(np.uint8)
    return downsampled


def shifted_batches(
    pictures: npt.NDArray[np.uint8], rng: np.random.Generator
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]]:
    """Draw batches of `[N, H, W]` without end: their numbers, and the pictures shifted a little."""
    around = np.pad(pictures, ((0, 0), (_SHIFT, _SHIFT), (_SHIFT, _SHIFT)), "symmetric")
    windows = sliding_window_view(around, pictures.shape[1:], (1, 2))
    while True:
        chosen = rng.integers(len(pictures), size=_BATCH)
        down, across = rng.integers(2 * _SHIFT + 1, size=(2, _BATCH))
        yield chosen, windows[chosen, down, across]


def make_baseline_model(size: tuple[int, int], length: int, alphabet_size: int) -> keras.Model:
    """Build the network: pictures `[N, *size, 1]` in -1..1 -> logits `[N, length, alphabet_size]`."""
    layers = keras.layers
    picture = layers.Input((*size, 1))
    hidden = picture
    for channels in _CHANNELS:
        hidden = pooled_convolution(hidden, channels)
    hidden = layers.Dense(_HIDDEN, use_bias=False)(layers.Flatten()(hidden))
    hidden = layers.Dropout(0.3)(layers.ReLU()(layers.BatchNormalization(momentum=0.9)(hidden)))
    return keras.Model(picture, layers.Reshape((length, alphabet_size))(layers.Dense(length * alphabet_size)(hidden)))


class Baseline:
    """A network trained on labelled captchas; it reads them at a quarter of their size."""

    def __init__(self, alphabet: str, seed: int) -> None:
        self._alphabet, self._seed = np.array(sorted(alphabet)), seed

    def train(
        self, pictures: npt.NDArray[np.uint8], codes: Sequence[str], report: Callable[[int], Any], steps: int
    ) -> None:
        """Train on downsampled pictures `[N, H, W]` and their codes; `report` is called after each step."""
        keras.utils.set_random_seed(self._seed)
        labels = np.searchsorted(self._alphabet, np.array([list(code) for code in codes]))
        self._model = make_baseline_model(pictures.shape[1:], labels.shape[1], len(self._alphabet))
        compile_classifier(self._model, _RATE, steps)
        rng = np.random.default_rng(self._seed)
        for chosen, shifted in islice(shifted_batches(pictures, rng), steps):
            self._model.train_on_batch(as_input(shifted), labels[chosen])
            report(1)

    def solve(self, pictures: npt.NDArray[np.uint8]) -> list[str]:
        """Read downsampled pictures `[N, H, W]`."""
        symbols = predict(self._model, pictures, _CHUNK).argmax(2)
        return ["".join(characters) for characters in self._alphabet[symbols]]

"""A small network that reads glyphs, so that none gets into a captcha that people could not read."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from batch.alphabet import GLYPH_CLASSES
from batch.architecture import FIRST, HIDDEN, SECOND, STRIDE, FoldedReader
from batch.emnist import SIDE, Emnist
from batch.quiet_tensorflow import keras
from batch.recogniser import train_reading

_EPOCHS = 6


def make_reader_model() -> keras.Model:
    """Build the reader as it is trained: images `[N, 28, 28, 1]` in -1..1 -> logits `[N, 47]`."""
    layers = keras.layers
    image = layers.Input((SIDE, SIDE, 1))
    hidden = image
    for channels, side, name in ((FIRST, 5, "first"), (SECOND, 3, "second")):
        convolution = layers.Conv2D(channels, side, STRIDE, padding="same", use_bias=False, name=name)
        hidden = layers.ReLU()(layers.BatchNormalization(name=f"{name}_norm")(convolution(hidden)))
    hidden = layers.Dense(HIDDEN, use_bias=False, name="dense")(layers.Flatten()(hidden))
    hidden = layers.ReLU()(layers.BatchNormalization(name="dense_norm")(hidden))
    return keras.Model(image, layers.Dense(len(GLYPH_CLASSES), name="logits")(hidden))


def train_reader(emnist: Emnist, report: Callable[[float], Any]) -> FoldedReader:
    """Train the reader (a minute or two); `report` is told of each finished share, 1 in all."""
    return fold_reader(train_reading(make_reader_model, emnist, _EPOCHS, report))


def fold_reader(model: keras.Model) -> FoldedReader:
    """Fold the normalisations of a trained reader into its kernels."""

    def folded(name: str) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        (kernel,), norm = model.get_layer(name).get_weights(), model.get_layer(f"{name}_norm")
        gamma, beta, mean, variance = norm.get_weights()
        scale = gamma / np.sqrt(variance + norm.epsilon)
        return kernel * scale, beta - mean * scale

    return FoldedReader(*folded("first"), *folded("second"), *folded("dense"), *model.get_layer("logits").get_weights())

"""The legibility filter: a small classifier that keeps glyphs out of captchas that people could not read."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from batch.alphabet import GLYPH_CLASSES
from batch.glyphs.architecture import FIRST, HIDDEN, SECOND, SIDE, STRIDE, FilterWeights
from batch.training.classifier import train_classifier
from batch.training.emnist import Emnist
from batch.training.tensorflow import keras

_EPOCHS = 6


def make_filter_model() -> keras.Model:
    """Build the filter as it is trained: images `[N, 28, 28, 1]` in -1..1 -> logits `[N, 47]`."""
    layers = keras.layers
    image = layers.Input((SIDE, SIDE, 1))
    hidden = image
    for channels, side, name in ((FIRST, 5, "first"), (SECOND, 3, "second")):
        convolution = layers.Conv2D(channels, side, STRIDE, padding="same", use_bias=False, name=name)
        hidden = layers.ReLU()(layers.BatchNormalization(name=f"{name}_norm")(convolution(hidden)))
    hidden = layers.Dense(HIDDEN, use_bias=False, name="dense")(layers.Flatten()(hidden))
    hidden = layers.ReLU()(layers.BatchNormalization(name="dense_norm")(hidden))
    return keras.Model(image, layers.Dense(len(GLYPH_CLASSES), name="logits")(hidden))


def train_filter(emnist: Emnist, report: Callable[[float], Any]) -> FilterWeights:
    """Train the filter (a minute or two); `report` is called with each finished share, 1 in all."""
    return fuse_filter(train_classifier(make_filter_model, emnist, _EPOCHS, report))


def fuse_filter(model: keras.Model) -> FilterWeights:
    """Fuse the batch normalisation of a trained filter into its kernels."""

    def fused(name: str) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        (kernel,), norm = model.get_layer(name).get_weights(), model.get_layer(f"{name}_norm")
        gamma, beta, mean, variance = norm.get_weights()
        scale = gamma / np.sqrt(variance + norm.epsilon)
        return kernel * scale, beta - mean * scale

    return FilterWeights(*fused("first"), *fused("second"), *fused("dense"), *model.get_layer("logits").get_weights())

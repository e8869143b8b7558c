"""A small network that reads glyphs, so that none gets into a captcha that people could not read."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from batch.alphabet import GLYPH_CLASSES
from batch.emnist import SIDE, Emnist
from batch.quiet_tensorflow import keras, tf
from batch.recogniser import train_reading

_EPOCHS = 6
_FIRST, _SECOND, _HIDDEN = 8, 24, 48
_STRIDE = 2


class FoldedReader(NamedTuple):
    """What the checkpoint stores: the reader with its normalisations folded into the kernels."""

    first: npt.NDArray[np.floating[Any]]
    """`[5, 5, 1, 8]`"""
    first_bias: npt.NDArray[np.floating[Any]]
    second: npt.NDArray[np.floating[Any]]
    """`[3, 3, 8, 24]`"""
    second_bias: npt.NDArray[np.floating[Any]]
    dense: npt.NDArray[np.floating[Any]]
    """`[7 * 7 * 24, 48]`"""
    dense_bias: npt.NDArray[np.floating[Any]]
    logits: npt.NDArray[np.floating[Any]]
    """`[48, 47]`"""
    logits_bias: npt.NDArray[np.floating[Any]]


READER_SHAPES = {
    "first": (5, 5, 1, _FIRST),
    "first_bias": (_FIRST,),
    "second": (3, 3, _FIRST, _SECOND),
    "second_bias": (_SECOND,),
    "dense": ((SIDE // _STRIDE**2) ** 2 * _SECOND, _HIDDEN),
    "dense_bias": (_HIDDEN,),
    "logits": (_HIDDEN, len(GLYPH_CLASSES)),
    "logits_bias": (len(GLYPH_CLASSES),),
}


def make_reader_model() -> keras.Model:
    """Build the reader as it is trained: images `[N, 28, 28, 1]` in -1..1 -> logits `[N, 47]`."""
    layers = keras.layers
    image = layers.Input((SIDE, SIDE, 1))
    hidden = image
    for channels, side, name in ((_FIRST, 5, "first"), (_SECOND, 3, "second")):
        convolution = layers.Conv2D(channels, side, _STRIDE, padding="same", use_bias=False, name=name)
        hidden = layers.ReLU()(layers.BatchNormalization(name=f"{name}_norm")(convolution(hidden)))
    hidden = layers.Dense(_HIDDEN, use_bias=False, name="dense")(layers.Flatten()(hidden))
    hidden = layers.ReLU()(layers.BatchNormalization(name="dense_norm")(hidden))
    return keras.Model(image, layers.Dense(len(GLYPH_CLASSES), name="logits")(hidden))


def train_reader(emnist: Emnist, report: Callable[[float], Any]) -> FoldedReader:
    """Train the reader (a minute or two); `report` is told of each finished share, 1 in all."""
    model = train_reading(make_reader_model, emnist, _EPOCHS, report)

    def folded(name: str) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        (kernel,), norm = model.get_layer(name).get_weights(), model.get_layer(f"{name}_norm")
        gamma, beta, mean, variance = norm.get_weights()
        scale = gamma / np.sqrt(variance + norm.epsilon)
        return kernel * scale, beta - mean * scale

    return FoldedReader(*folded("first"), *folded("second"), *folded("dense"), *model.get_layer("logits").get_weights())


@tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
def read_glyphs(images: tf.Tensor, reader: FoldedReader) -> tf.Tensor:
    """uint8 `[N, 28, 28]` -> the probability of each glyph class `[N, 47]`."""
    hidden = tf.cast(images, tf.float32)[..., None] / 127.5 - 1
    hidden = tf.nn.relu(tf.nn.conv2d(hidden, reader.first, _STRIDE, "SAME") + reader.first_bias)
    hidden = tf.nn.relu(tf.nn.conv2d(hidden, reader.second, _STRIDE, "SAME") + reader.second_bias)
    hidden = tf.reshape(hidden, (tf.shape(images)[0], reader.dense.shape[0]))
    hidden = tf.nn.relu(hidden @ reader.dense + reader.dense_bias)
    return tf.nn.softmax(hidden @ reader.logits + reader.logits_bias)


def flops_per_reading() -> int:
    """Count multiplications and additions of `read_glyphs` for one glyph."""
    positions = {"first": (SIDE // 2) ** 2, "second": (SIDE // 4) ** 2, "dense": 1, "logits": 1}
    return sum(2 * at * math.prod(READER_SHAPES[name]) for name, at in positions.items())

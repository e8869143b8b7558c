"""The legibility filter: a small classifier that keeps glyphs out of captchas that people could not read."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from batch.images.labelled import LabelledImages
from batch.training.classifier import train_classifier
from batch.training.export import FLOAT, to_onnx
from batch.training.tensorflow import keras
from gantcha.alphabet import SIDE

_FIRST, _SECOND, _HIDDEN = (5, 8), (3, 24), 48  # side and number of kernels, at a stride of 2; units
_MAP = SIDE // 4
_EPOCHS = 6
# Convolutions pad as TensorFlow does by "same": the odd pixel comes after.
_GRAPH = f"""
legibility_filter (uint8[N, {SIDE}, {SIDE}] glyphs) => (float[N, class_count] probabilities) {{
    level = Cast <to = {FLOAT}> (glyphs)
    half_range = Constant <value_float = 127.5> ()
    scaled = Div (level, half_range)
    one = Constant <value_float = 1.0> ()
    bright = Sub (scaled, one)
    image_shape = Constant <value_ints = [0, 1, {SIDE}, {SIDE}]> ()
    image = Reshape (bright, image_shape)
    half_map = Conv <strides = [2, 2], pads = [1, 1, 2, 2]> (image, first_kernel, first_bias)
    half_hidden = Relu (half_map)
    map = Conv <strides = [2, 2], pads = [0, 0, 1, 1]> (half_hidden, second_kernel, second_bias)
    map_hidden = Relu (map)
    features = Flatten (map_hidden)
    sum = Gemm (features, dense_kernel, dense_bias)
    hidden = Relu (sum)
    logits = Gemm (hidden, logits_kernel, logits_bias)
    probabilities = Softmax (logits)
}}
"""


def filter_flops(class_count: int) -> int:
    """Count multiplications and additions for one glyph."""
    convolutions = _FIRST[0] ** 2 * _FIRST[1] * (2 * _MAP) ** 2 + _SECOND[0] ** 2 * _FIRST[1] * _SECOND[1] * _MAP**2
    return 2 * (convolutions + _MAP**2 * _SECOND[1] * _HIDDEN + _HIDDEN * class_count)


def make_filter_model(class_count: int) -> keras.Model:
    """Build the filter as it is trained: images `[N, 28, 28, 1]` in -1..1 -> logits `[N, C]`."""
    layers = keras.layers
    image = layers.Input((SIDE, SIDE, 1))
    hidden = image
    for name, (side, channels) in (("first", _FIRST), ("second", _SECOND)):
        convolution = layers.Conv2D(channels, side, 2, padding="same", use_bias=False, name=name)
        hidden = layers.ReLU()(layers.BatchNormalization(name=f"{name}_norm")(convolution(hidden)))
    hidden = layers.Dense(_HIDDEN, use_bias=False, name="dense")(layers.Flatten()(hidden))
    hidden = layers.ReLU()(layers.BatchNormalization(name="dense_norm")(hidden))
    return keras.Model(image, layers.Dense(class_count, name="logits")(hidden))


def train_filter(labelled: LabelledImages, least_steps: int, report: Callable[[float], Any]) -> bytes:
    """Train the filter (a minute or two) and give its `.onnx` file; `report` is called with each finished share."""
    return filter_to_onnx(train_classifier(make_filter_model, labelled, _EPOCHS, report, least_steps))


def filter_to_onnx(model: keras.Model) -> bytes:
    """Return the `.onnx` file of a trained filter, batch normalisation fused into its kernels."""
    weights: dict[str, npt.NDArray[Any]] = {}
    for name in ("first", "second", "dense"):
        (kernel,), norm = model.get_layer(name).get_weights(), model.get_layer(f"{name}_norm")
        gamma, beta, mean, variance = norm.get_weights()
        scale = gamma / np.sqrt(variance + norm.epsilon)
        weights |= {f"{name}_kernel": kernel * scale, f"{name}_bias": beta - mean * scale}
    weights["logits_kernel"], weights["logits_bias"] = model.get_layer("logits").get_weights()
    for name in ("first_kernel", "second_kernel"):
        weights[name] = weights[name].transpose(3, 2, 0, 1)
    by_place = weights["dense_kernel"].reshape(_MAP, _MAP, -1, _HIDDEN)
    weights["dense_kernel"] = by_place.transpose(2, 0, 1, 3).reshape(-1, _HIDDEN)
    return to_onnx(_GRAPH.replace("class_count", str(len(weights["logits_bias"]))), weights)

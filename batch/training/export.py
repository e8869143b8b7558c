"""From trained networks to `.onnx` files: batch normalisation fused into the kernels, weights in half precision."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from batch.training.networks import EPSILON
from batch.training.recipe import BASE, SLOPE
from batch.training.tensorflow import keras, tf
from gantcha.alphabet import SIDE

ops = keras.ops
FLOAT, UINT8 = 1, 2  # ONNX's element types

# ConvTranspose crops what it adds as TensorFlow does by "same": the odd pixel comes after.
_GENERATOR = f"""
generator (float[N, latent_size] latent, int64[N] style) => (uint8[N, {SIDE}, {SIDE}] glyphs) {{
    offset = Gather (styles, style)
    sum = Gemm (latent, dense, offset)
    hidden = LeakyRelu <alpha = {SLOPE}> (sum)
    map_shape = Constant <value_ints = [0, -1, {BASE}, {BASE}]> ()
    map = Reshape (hidden, map_shape)
    double_map = ConvTranspose <strides = [2, 2], pads = [1, 1, 2, 2]> (map, conv_kernel, conv_bias)
    double_hidden = LeakyRelu <alpha = {SLOPE}> (double_map)
    image = ConvTranspose <strides = [2, 2], pads = [1, 1, 2, 2]> (double_hidden, image_kernel, image_bias)
    bright = Tanh (image)
    half_range = Constant <value_float = 127.5> ()
    scaled = Mul (bright, half_range)
    level = Add (scaled, half_range)
    rounded = Round (level)
    bytes = Cast <to = {UINT8}> (rounded)
    image_shape = Constant <value_ints = [0, {SIDE}, {SIDE}]> ()
    glyphs = Reshape (bytes, image_shape)
}}
"""


def fuse_batch_norm(generator: keras.Model, latent: tf.Tensor, styles: tf.Tensor) -> dict[str, tf.Tensor]:
    """Return the weights of a generator of one class, its batch normalisation fused with the moments of a large batch.

    These are the standing statistics of Brock et al. 2019 (BigGAN): `latent` `[N, latent_size]` and `styles` `[N]`
    should number some thousands and be drawn as in training.
    """
    weights = {weight.path: ops.convert_to_tensor(weight) for weight in generator.weights}
    mean, variance = tf.nn.moments(latent @ weights["dense/kernel"], 0)
    scale = weights["dense_norm/scale"][0] * tf.math.rsqrt(variance + EPSILON)
    dense, style_table = weights["dense/kernel"] * scale, weights["styles/embeddings"] - mean * scale
    conv_kernel = weights["conv/kernel"]
    narrow, wide = conv_kernel.shape[2:]
    hidden = tf.nn.leaky_relu(latent @ dense + tf.gather(style_table, styles), SLOPE)
    map_shape = (len(latent), 2 * BASE, 2 * BASE, narrow)
    maps = tf.nn.conv2d_transpose(tf.reshape(hidden, (-1, BASE, BASE, wide)), conv_kernel, map_shape, 2)
    mean, variance = tf.nn.moments(maps, (0, 1, 2))
    scale = weights["conv_norm/scale"][0] * tf.math.rsqrt(variance + EPSILON)
    return {
        "dense": dense,
        "styles": style_table,
        "conv_kernel": conv_kernel * scale[:, None],
        "conv_bias": weights["conv_norm/offset"][0] - mean * scale,
        "image_kernel": weights["image/kernel"],
        "image_bias": weights["image/bias"],
    }


def generator_to_onnx(weights: Mapping[str, tf.Tensor | npt.NDArray[np.float32]]) -> bytes:
    """Return the `.onnx` file of a generator, its weights as float16."""
    arrays = {name: np.asarray(weight, np.float16) for name, weight in weights.items()}
    for name in ("dense", "styles"):  # ONNX has channels first
        table = arrays[name].reshape(-1, BASE, BASE, arrays[name].shape[1] // BASE**2)
        arrays[name] = table.transpose(0, 3, 1, 2).reshape(len(table), -1)
    for name in ("conv_kernel", "image_kernel"):
        arrays[name] = arrays[name].transpose(3, 2, 0, 1)
    return to_onnx(_GENERATOR.replace("latent_size", str(len(arrays["dense"]))), arrays)


def to_onnx(graph: str, weights: dict[str, npt.NDArray[Any]]) -> bytes:
    """Return the `.onnx` file of a graph in ONNX's text format, with its weights, float16 or float32, by name."""
    from onnx import checker, numpy_helper, parser  # noqa: PLC0415 - `--help` does without the packages of training

    half = {name for name, array in weights.items() if array.dtype == np.float16}
    casts = "".join(f"    {name} = Cast <to = {FLOAT}> ({name}_half)\n" for name in sorted(half))
    head, _, body = graph.strip().partition("{\n")
    model = parser.parse_model(f'<ir_version: 9, opset_import: ["": 18]>\n{head}{{\n{casts}{body}')
    model.graph.initializer.extend(
        numpy_helper.from_array(np.ascontiguousarray(array), f"{name}_half" if name in half else name)
        for name, array in weights.items()
    )
    checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())

"""The networks of the GAN (after Radford et al. 2016, DCGAN) and the small net that is left of them for drawing."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from batch.emnist import SIDE
from batch.quiet_tensorflow import keras, tf

layers, ops = keras.layers, keras.ops

_SLOPE = 0.2  # of the leaky ReLUs
_EPSILON = 1e-3
_BASE = SIDE // 4  # side of the first feature map


@dataclass(frozen=True)
class Architecture:
    """Sizes of a generator; part of the manifest, so that a checkpoint is never read into another net."""

    latent_size: int = 64
    shape_count: int = 24
    """Ways of writing one glyph class; the last entries of a latent say in a one-hot which one to draw."""
    wide: int = 32
    """Channels at 7 x 7."""
    narrow: int = 16
    """Channels at 14 x 14."""


class RunNormalization(keras.layers.Layer):  # type: ignore[misc] # Keras ships no types
    """Batch normalisation over batches that are runs of one glyph class each, of equal length.

    Moments are taken by run, so that a class is normalised alike whether it is trained alone or among others; scale
    and offset are learnt by class (conditional batch normalisation, de Vries et al. 2017).
    """

    def __init__(self, runs: int, class_count: int, *, has_offset: bool, **options: Any) -> None:
        super().__init__(**options)
        self.runs, self.class_count, self.has_offset = runs, class_count, has_offset

    def build(self, features_shape: tuple[int | None, ...], classes_shape: tuple[int | None, ...]) -> None:  # noqa: ARG002 - Keras asks for it
        """Make the tables `[classes, F]`."""
        table = (self.class_count, features_shape[-1])
        self.scale = self.add_weight(shape=table, initializer="ones", name="scale")
        if self.has_offset:
            self.offset = self.add_weight(shape=table, initializer="zeros", name="offset")

    def call(self, features: Any, classes: Any) -> Any:
        """`[N, ..., F]` and class indices `[N]` -> `[N, ..., F]`."""
        by_run = ops.reshape(features, (self.runs, -1, *features.shape[1:]))
        axes = tuple(range(1, len(by_run.shape) - 1))
        mean, variance = ops.moments(by_run, axes, keepdims=True)
        normal = ops.reshape((by_run - mean) * ops.rsqrt(variance + _EPSILON), ops.shape(features))
        spread = (-1, *[1] * (len(features.shape) - 2), features.shape[-1])
        scaled = normal * ops.reshape(ops.take(self.scale, classes, 0), spread)
        return scaled + ops.reshape(ops.take(self.offset, classes, 0), spread) if self.has_offset else scaled


def make_generator_model(architecture: Architecture, class_count: int = 1, runs: int = 1, seed: int = 1) -> keras.Model:
    """Build the generator as it is trained: latent `[N, 64]`, condition `[N]` -> images `[N, 28, 28, 1]` in -1..1.

    A condition is `class * shape_count + shape`. A batch consists of `runs` runs of one class each.
    """
    start = keras.initializers.GlorotUniform(seed)
    latent = layers.Input((architecture.latent_size,))
    condition = layers.Input((), dtype="int32")
    classes = condition // architecture.shape_count
    units = _BASE * _BASE * architecture.wide
    hidden = layers.Dense(units, use_bias=False, kernel_initializer=start, name="dense")(latent)
    hidden = RunNormalization(runs, class_count, has_offset=False, name="dense_norm")(hidden, classes)
    shape_table = layers.Embedding(
        class_count * architecture.shape_count, units, embeddings_initializer="zeros", name="shapes"
    )
    hidden = layers.LeakyReLU(_SLOPE)(hidden + shape_table(condition))
    hidden = layers.Reshape((_BASE, _BASE, architecture.wide))(hidden)
    wider = {"padding": "same", "kernel_initializer": start}
    hidden = layers.Conv2DTranspose(architecture.narrow, 5, 2, **wider, use_bias=False, name="conv")(hidden)
    hidden = RunNormalization(runs, class_count, has_offset=True, name="conv_norm")(hidden, classes)
    hidden = layers.LeakyReLU(_SLOPE)(hidden)
    image = layers.Conv2DTranspose(1, 5, 2, **wider, activation="tanh", name="image")(hidden)
    return keras.Model([latent, condition], image, name="generator")


def make_discriminator_model(condition_count: int, seed: int = 1) -> keras.Model:
    """Build the discriminator: images `[N, 28, 28, 1]` in -1..1, condition `[N]` -> logits `[N]`, high for real.

    The condition enters by projection (Miyato and Koyama 2018).
    """
    start = keras.initializers.GlorotUniform(seed)
    image = layers.Input((SIDE, SIDE, 1))
    condition = layers.Input((), dtype="int32")
    hidden = image
    for channels in (48, 96):
        hidden = layers.LeakyReLU(_SLOPE)(
            layers.Conv2D(channels, 4, 2, padding="same", kernel_initializer=start)(hidden)
        )
    features = layers.LeakyReLU(_SLOPE)(layers.Dense(128, kernel_initializer=start)(layers.Flatten()(hidden)))
    table = layers.Embedding(condition_count, 128 + 1, embeddings_initializer="zeros", name="conditions")
    by_condition = table(condition)
    unconditional = layers.Dense(1, kernel_initializer=start, name="logit")(features)[:, 0]
    projected = ops.sum(by_condition[:, :-1] * features, axis=1) + by_condition[:, -1]
    return keras.Model([image, condition], unconditional + projected, name="discriminator")


class FoldedGenerator(NamedTuple):
    """What a checkpoint stores: a generator of one class with its normalisations folded into the kernels."""

    dense: npt.NDArray[np.floating[Any]]
    """`[latent_size + shape_count, 7 * 7 * wide]`"""
    conv_kernel: npt.NDArray[np.floating[Any]]
    """`[5, 5, narrow, wide]`"""
    conv_bias: npt.NDArray[np.floating[Any]]
    """`[narrow]`"""
    image_kernel: npt.NDArray[np.floating[Any]]
    """`[5, 5, 1, narrow]`"""
    image_bias: npt.NDArray[np.floating[Any]]
    """`[1]`"""


def as_input(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Scale images `[N, 28, 28]` to what networks read: `[N, 28, 28, 1]` in -1..1."""
    return images[..., None].astype(np.float32) / 127.5 - 1


def folded_shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """Give the shapes of the arrays that a `FoldedGenerator` of this architecture must have."""
    return {
        "dense": (architecture.latent_size + architecture.shape_count, _BASE * _BASE * architecture.wide),
        "conv_kernel": (5, 5, architecture.narrow, architecture.wide),
        "conv_bias": (architecture.narrow,),
        "image_kernel": (5, 5, 1, architecture.narrow),
        "image_bias": (1,),
    }


def fold(generator: keras.Model, latent: tf.Tensor, shapes: tf.Tensor) -> FoldedGenerator:
    """Fold a generator of one class, with the moments that a large batch of its own latents has.

    The standing statistics of Brock et al. 2019 (BigGAN): `latent` `[N, latent_size]` and `shapes` `[N]` should
    number some thousands and be drawn as in training.
    """
    weights = {weight.path: ops.convert_to_tensor(weight) for weight in generator.weights}
    dense, shape_table = weights["dense/kernel"], weights["shapes/embeddings"]
    mean, variance = tf.nn.moments(latent @ dense, 0)
    scale = weights["dense_norm/scale"][0] * tf.math.rsqrt(variance + _EPSILON)
    inputs = tf.concat([latent, tf.one_hot(shapes, shape_table.shape[0])], 1)
    dense = tf.concat([dense * scale, shape_table - mean * scale], 0)
    conv_kernel = weights["conv/kernel"]
    mean, variance = tf.nn.moments(_first_half(inputs, dense, conv_kernel), (0, 1, 2))
    scale = weights["conv_norm/scale"][0] * tf.math.rsqrt(variance + _EPSILON)
    folded = FoldedGenerator(
        dense,
        conv_kernel * scale[:, None],
        weights["conv_norm/offset"][0] - mean * scale,
        weights["image/kernel"],
        weights["image/bias"],
    )
    return FoldedGenerator(*(np.asarray(array) for array in folded))


def _first_half(inputs: tf.Tensor, dense: tf.Tensor, conv_kernel: tf.Tensor) -> tf.Tensor:
    """`[N, latent_size + shape_count]` -> the feature map at 14 x 14 before bias and activation."""
    narrow, wide = conv_kernel.shape[2:]
    hidden = tf.reshape(tf.nn.leaky_relu(inputs @ dense, _SLOPE), (-1, _BASE, _BASE, wide))
    return tf.nn.conv2d_transpose(hidden, conv_kernel, (tf.shape(inputs)[0], 2 * _BASE, 2 * _BASE, narrow), 2)


@tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
def draw_glyphs(inputs: tf.Tensor, folded: FoldedGenerator) -> tf.Tensor:
    """`[N, latent_size + shape_count]` -> uint8 `[N, 28, 28]`, bright stroke on black.

    One traced graph serves every class, since the weights are arguments.
    """
    hidden = _first_half(inputs, folded.dense, folded.conv_kernel) + folded.conv_bias
    size = (tf.shape(inputs)[0], SIDE, SIDE, 1)
    image = tf.nn.conv2d_transpose(tf.nn.leaky_relu(hidden, _SLOPE), folded.image_kernel, size, 2)
    return tf.cast(tf.round(tf.tanh(image[..., 0] + folded.image_bias) * 127.5 + 127.5), tf.uint8)


def flops_per_glyph(architecture: Architecture) -> int:
    """Count multiplications and additions of `draw_glyphs` for one glyph."""
    shapes = folded_shapes(architecture)
    positions = {"dense": 1, "conv_kernel": _BASE**2, "image_kernel": (2 * _BASE) ** 2}  # a kernel is applied there
    return sum(2 * at * math.prod(shapes[name]) for name, at in positions.items())

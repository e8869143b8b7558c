"""The networks of the GAN (after Radford et al. 2016, DCGAN)."""

from typing import Any

import numpy as np
import numpy.typing as npt

from batch.training.recipe import BASE, KERNEL, SLOPE, Architecture
from batch.training.tensorflow import keras
from gantcha.alphabet import SIDE

layers, ops = keras.layers, keras.ops

EPSILON = 1e-3
_USUAL = Architecture()


class GroupedBatchNormalization(keras.layers.Layer):  # type: ignore[misc] # Keras ships no types
    """Batch normalisation over batches made of equal groups, each of one glyph class.

    Moments are those of a group, so a class is normalised in the same way whether it is trained alone or with others;
    scale and offset are learnt for each class (conditional batch normalisation, de Vries et al. 2017).
    """

    def __init__(self, groups: int, class_count: int, *, has_offset: bool, **options: Any) -> None:
        super().__init__(**options)
        self.groups, self.class_count, self.has_offset = groups, class_count, has_offset

    def build(self, features_shape: tuple[int | None, ...], classes_shape: tuple[int | None, ...]) -> None:  # noqa: ARG002 - Keras asks for it
        """Make the tables `[classes, F]`."""
        table = (self.class_count, features_shape[-1])
        self.scale = self.add_weight(shape=table, initializer="ones", name="scale")
        if self.has_offset:
            self.offset = self.add_weight(shape=table, initializer="zeros", name="offset")

    def call(self, features: Any, classes: Any) -> Any:
        """`[N, ..., F]` and class indices `[N]` -> `[N, ..., F]`."""
        by_group = ops.reshape(features, (self.groups, -1, *features.shape[1:]))
        axes = tuple(range(1, len(by_group.shape) - 1))
        mean, variance = ops.moments(by_group, axes, keepdims=True)
        normal = ops.reshape((by_group - mean) * ops.rsqrt(variance + EPSILON), ops.shape(features))
        per_feature = (-1, *[1] * (len(features.shape) - 2), features.shape[-1])
        scaled = normal * ops.reshape(ops.take(self.scale, classes, 0), per_feature)
        return scaled + ops.reshape(ops.take(self.offset, classes, 0), per_feature) if self.has_offset else scaled


def make_generator_model(
    architecture: Architecture = _USUAL, class_count: int = 1, groups: int = 1, seed: int = 1
) -> keras.Model:
    """Build the generator as it is trained: latent `[N, 64]`, condition `[N]` -> images `[N, 28, 28, 1]` in -1..1.

    A condition is `class * style_count + style`. A batch consists of `groups` equal groups of one class each.
    """
    start = keras.initializers.GlorotUniform(seed)
    latent = layers.Input((architecture.latent_size,))
    condition = layers.Input((), dtype="int32")
    classes = condition // architecture.style_count
    units = BASE * BASE * architecture.wide
    hidden = layers.Dense(units, use_bias=False, kernel_initializer=start, name="dense")(latent)
    hidden = GroupedBatchNormalization(groups, class_count, has_offset=False, name="dense_norm")(hidden, classes)
    style_table = layers.Embedding(
        class_count * architecture.style_count, units, embeddings_initializer="zeros", name="styles"
    )
    hidden = layers.LeakyReLU(SLOPE)(hidden + style_table(condition))
    hidden = layers.Reshape((BASE, BASE, architecture.wide))(hidden)
    wider = {"padding": "same", "kernel_initializer": start}
    hidden = layers.Conv2DTranspose(architecture.narrow, KERNEL, 2, **wider, use_bias=False, name="conv")(hidden)
    hidden = GroupedBatchNormalization(groups, class_count, has_offset=True, name="conv_norm")(hidden, classes)
    hidden = layers.LeakyReLU(SLOPE)(hidden)
    image = layers.Conv2DTranspose(1, KERNEL, 2, **wider, activation="tanh", name="image")(hidden)
    return keras.Model([latent, condition], image, name="generator")


def make_discriminator_model(
    condition_count: int = Architecture.style_count,
    seed: int = 1,
    channels: tuple[int, ...] = (48, 96),
    hidden_size: int = 128,
) -> keras.Model:
    """Build the discriminator: images `[N, 28, 28, 1]` in -1..1, condition `[N]` -> logits `[N]`, high for real.

    The condition enters by projection (Miyato and Koyama 2018).
    """
    start = keras.initializers.GlorotUniform(seed)
    image = layers.Input((SIDE, SIDE, 1))
    condition = layers.Input((), dtype="int32")
    hidden = image
    for size in channels:
        hidden = layers.LeakyReLU(SLOPE)(layers.Conv2D(size, 4, 2, padding="same", kernel_initializer=start)(hidden))
    features = layers.LeakyReLU(SLOPE)(layers.Dense(hidden_size, kernel_initializer=start)(layers.Flatten()(hidden)))
    table = layers.Embedding(condition_count, hidden_size + 1, embeddings_initializer="zeros", name="conditions")
    by_condition = table(condition)
    unconditional = layers.Dense(1, kernel_initializer=start, name="logit")(features)[:, 0]
    projected = ops.sum(by_condition[:, :-1] * features, axis=1) + by_condition[:, -1]
    return keras.Model([image, condition], unconditional + projected, name="discriminator")


def pooled_convolution(maps: Any, channels: int, pooling: int | tuple[int, int] = 2) -> Any:
    """Convolve `[N, H, W, F]`, pool and normalise, as the classifiers of captchas do."""
    convolved = layers.Conv2D(channels, 3, padding="same", use_bias=False)(maps)
    pooled = layers.MaxPooling2D(pooling, padding="same")(convolved)  # first: what follows has less to do
    # With the usual momentum of 0.99 a short training would leave the statistics of its start.
    return layers.ReLU()(layers.BatchNormalization(momentum=0.9)(pooled))


def as_input(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Scale images `[N, H, W]` to what networks read: `[N, H, W, 1]` in -1..1."""
    return images[..., None].astype(np.float32) / 127.5 - 1

"""An independent judge of glyphs: a recogniser of the 47 classes that has seen EMNIST and no generated image."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from batch.alphabet import CHARACTER_OF_CLASS, GLYPH_CLASSES
from batch.emnist import SIDE, Emnist
from batch.networks import as_input
from batch.quiet_tensorflow import keras, tf
from pool.errors import StorageError

FEATURES = 128
_EPOCHS = 6
_BATCH = 128
_RATE = 2e-3
_FOLDS = ("0o", "1il", "5s", "2z", "9gq", "uv")


def _fold_confusable(character: str) -> str:
    return next((fold[0] for fold in _FOLDS if character in fold), character)


FOLDED_OF_CLASS = np.array([ord(_fold_confusable(chr(character))) for character in CHARACTER_OF_CLASS])
"""`[47]`: classes that are one character, with those that handwriting does not tell apart as one."""


class Judgement(NamedTuple):
    """What the recogniser makes of N images."""

    classes: npt.NDArray[np.int64]
    """`[N]`, the likeliest ByMerge index"""
    features: npt.NDArray[np.float32]
    """`[N, 128]`, the last hidden layer"""


def make_recogniser_model() -> keras.Model:
    """Build the recogniser: images `[N, 28, 28, 1]` in -1..1 -> logits `[N, 47]` and features `[N, 128]`."""
    layers = keras.layers
    image = layers.Input((SIDE, SIDE, 1))
    hidden = image
    for channels in (24, 48, 96):
        hidden = layers.Conv2D(channels, 3, padding="same", use_bias=False)(hidden)
        hidden = layers.MaxPooling2D()(layers.ReLU()(layers.BatchNormalization()(hidden)))
    hidden = layers.Dropout(0.3)(layers.Flatten()(hidden))
    features = layers.Dense(FEATURES, activation="relu")(hidden)
    logits = layers.Dense(len(GLYPH_CLASSES))(layers.Dropout(0.3)(features))
    return keras.Model(image, [logits, features])


def _augment(images: tf.Tensor) -> tf.Tensor:
    """Turn, scale, shear and shift each of `[N, 28, 28, 1]` a little."""
    count = tf.shape(images)[0]

    def spread(scale: float) -> tf.Tensor:
        return tf.random.uniform((count,), -scale, scale)

    angle, shear, centre = spread(0.2), spread(0.15), SIDE / 2 - 0.5
    a, b = (1 + spread(0.12)) * tf.cos(angle), shear - tf.sin(angle)
    c, d = tf.sin(angle), (1 + spread(0.12)) * tf.cos(angle)
    across = centre - a * centre - b * centre + spread(2)
    down = centre - c * centre - d * centre + spread(2)
    zero = tf.zeros_like(a)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack([a, b, across, c, d, down, zero, zero], 1),
        output_shape=(SIDE, SIDE),
        fill_value=-1.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )


class Recogniser:
    """The trained model."""

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        self._forward = tf.function(lambda images: model(images, training=False), reduce_retracing=True)

    @classmethod
    def cached(cls, emnist: Emnist, folder: Path, report: Callable[[float], Any]) -> "Recogniser":
        """Load the recogniser of this training data from `folder`, or train it and keep it there.

        `report` is told of each finished share of the training, 1 in all.

        Raises:
            StorageError: the folder is not writable.
        """
        path = folder / f"recogniser-{emnist.digest[:16]}.weights.h5"
        if path.exists():
            model = make_recogniser_model()
            model.load_weights(path)
            report(1)
            return cls(model)
        model = train_reading(make_recogniser_model, emnist, _EPOCHS, report)
        unfinished = folder / f"unfinished-{os.getpid()}.weights.h5"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            model.save_weights(unfinished)
            unfinished.rename(path)
        except OSError as error:
            raise StorageError(f"can't keep the recogniser in {folder}: {error}") from error
        return cls(model)

    def judge(self, images: npt.NDArray[np.uint8]) -> Judgement:
        """Read `[N, 28, 28]`."""
        parts = [self._forward(as_input(images[start : start + 1000])) for start in range(0, len(images), 1000)]
        logits = np.concatenate([part[0] for part in parts])
        return Judgement(logits.argmax(1), np.concatenate([part[1] for part in parts]))


def train_reading(
    make_model: Callable[[], keras.Model], emnist: Emnist, epochs: int, report: Callable[[float], Any]
) -> keras.Model:
    """Make a model, whose first output is 47 logits, and train it to read slightly distorted glyphs.

    `report` is told of each finished share of the training, 1 in all.
    """
    keras.utils.set_random_seed(1)
    model = make_model()
    reading = keras.Model(model.input, model.outputs[0])
    steps = len(emnist.images) // _BATCH
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(_RATE, epochs * steps))
    optimizer.build(reading.trainable_variables)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    @tf.function  # type: ignore[untyped-decorator]
    def train_step(images: tf.Tensor, labels: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            wrong = loss(labels, reading(_augment(images), training=True))
        optimizer.apply(tape.gradient(wrong, reading.trainable_variables), reading.trainable_variables)

    rng = np.random.default_rng(1)
    for _ in range(epochs):
        for chosen in rng.permutation(len(emnist.images))[: steps * _BATCH].reshape(steps, _BATCH):
            train_step(tf.constant(as_input(emnist.images[chosen])), tf.constant(emnist.labels[chosen]))
            report(1 / (epochs * steps))
    return model

"""Features in which generated glyphs are to be like real ones: of two classifiers, of their textures, and of pixels."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from batch.images.labelled import LabelledImages
from batch.training.classifier import train_classifier
from batch.training.networks import as_input
from batch.training.tensorflow import keras, tf
from gantcha.alphabet import SIDE

WEIGHTS = (1.0, 1.0, 0.5, 0.5, 0.5)
"""Weight in the loss of each part that `Features.of` returns."""
_EPOCHS = 6
_SIZES = 128, 96

layers = keras.layers


def make_pooling_model(class_count: int) -> keras.Model:
    """Build a classifier of three small convolutions: images -> logits `[N, C]`, features `[N, 128]`."""
    image = layers.Input((SIDE, SIDE, 1))
    hidden = image
    for channels in (24, 48, 96):
        hidden = _convolved(hidden, channels, 3, 1, "relu")
        hidden = layers.MaxPooling2D()(hidden)
    return keras.Model(image, [*_head(hidden, class_count, _SIZES[0], "relu")])


def make_striding_model(class_count: int) -> keras.Model:
    """Build one of two wide convolutions: images -> logits, features `[N, 96]`, textures `[N, 32]` and `[N, 64]`."""
    image = layers.Input((SIDE, SIDE, 1))
    first = _convolved(image, 32, 5, 2, "elu")
    second = _convolved(first, 64, 5, 2, "elu")
    textures = [layers.GlobalAveragePooling2D()(maps) for maps in (first, second)]
    return keras.Model(image, [*_head(second, class_count, _SIZES[1], "elu"), *textures])


def _convolved(maps: Any, channels: int, side: int, stride: int, activation: str) -> Any:
    convolution = layers.Conv2D(channels, side, stride, padding="same", use_bias=False)
    return layers.Activation(activation)(layers.BatchNormalization()(convolution(maps)))


def _head(maps: Any, class_count: int, size: int, activation: str) -> tuple[Any, Any]:
    features = layers.Dense(size, activation=activation)(layers.Dropout(0.3)(layers.Flatten()(maps)))
    return layers.Dense(class_count)(layers.Dropout(0.3)(features)), features


_MODELS = {"pooling": make_pooling_model, "striding": make_striding_model}


class Features:
    """The trained classifiers."""

    def __init__(self, folder: Path, class_count: int) -> None:
        """Load what `train_features` saved."""
        self._pooling, self._striding = (make(class_count) for make in _MODELS.values())
        for name, model in zip(_MODELS, (self._pooling, self._striding), strict=True):
            model.load_weights(_path(folder, name))
        self._forward = tf.function(self.of, reduce_retracing=True)

    def of(self, images: tf.Tensor) -> list[tf.Tensor]:
        """`[N, 28, 28, 1]` -> parts `[N, F]`, differentiable."""
        halved = tf.reshape(tf.nn.avg_pool2d(images, 2, 2, "VALID"), (-1, (SIDE // 2) ** 2))
        return [self._pooling(images, training=False)[1], *self._striding(images, training=False)[1:], halved]

    def of_glyphs(self, glyphs: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.float32]]:
        """Uint8 `[N, 28, 28]` -> the same parts."""
        blocks = [self._forward(as_input(glyphs[start : start + 500])) for start in range(0, len(glyphs), 500)]
        return [np.concatenate(parts) for parts in zip(*blocks, strict=True)]


def train_features(labelled: LabelledImages, folder: Path, least_steps: int, report: Callable[[float], Any]) -> None:
    """Train the classifiers on half of the images and save them, unless `folder` has them.

    The reference classifier of evaluation sees all images: it should not share more than need be with these.
    `report` is called with each finished share, 1 in all.
    """
    half = np.random.default_rng(1).permutation(len(labelled.images))[::2]
    images = labelled._replace(images=labelled.images[half], labels=labelled.labels[half])
    for name, make in _MODELS.items():
        if _path(folder, name).exists():
            report(1 / len(_MODELS))
            continue
        model = train_classifier(make, images, _EPOCHS, lambda share: report(share / len(_MODELS)), least_steps)
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = folder / f"unfinished-{name}.weights.h5"
        model.save_weights(unfinished)
        unfinished.rename(_path(folder, name))


def _path(folder: Path, name: str) -> Path:
    return folder / f"features-{name}.weights.h5"

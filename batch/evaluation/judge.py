"""The reference classifier: an independent judge of glyphs, trained on real images and on no generated one."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from batch.images.labelled import LabelledImages
from batch.training.classifier import train_classifier
from batch.training.networks import as_input
from batch.training.tensorflow import keras, tf
from gantcha.alphabet import SIDE
from gantcha.errors import StorageError

_FEATURES = 128
_EPOCHS = 6


class Judgement(NamedTuple):
    """The answer of the reference classifier for N images."""

    classes: npt.NDArray[np.int64]
    """`[N]`, the likeliest label"""
    features: npt.NDArray[np.float32]
    """`[N, 128]`, the last hidden layer"""
    probabilities: npt.NDArray[np.float32]
    """`[N, C]`"""


def make_reference_model(class_count: int) -> keras.Model:
    """Build the reference classifier: images `[N, 28, 28, 1]` in -1..1 -> logits `[N, C]` and features `[N, 128]`."""
    layers = keras.layers
    image = layers.Input((SIDE, SIDE, 1))
    hidden = image
    for channels in (24, 48, 96):
        hidden = layers.Conv2D(channels, 3, padding="same", use_bias=False)(hidden)
        hidden = layers.MaxPooling2D()(layers.ReLU()(layers.BatchNormalization()(hidden)))
    hidden = layers.Dropout(0.3)(layers.Flatten()(hidden))
    features = layers.Dense(_FEATURES, activation="relu")(hidden)
    logits = layers.Dense(class_count)(layers.Dropout(0.3)(features))
    return keras.Model(image, [logits, features])


def saved_or_trained(
    path: Path, make_model: Callable[[], keras.Model], train: Callable[[], keras.Model], report: Callable[[float], Any]
) -> keras.Model:
    """Load the weights of a model, or train it and save them; `report` is called with 1 if nothing is to be trained.

    Raises:
        StorageError: the folder is not writable.
    """
    if path.exists():
        model = make_model()
        model.load_weights(path)
        report(1)
        return model
    model = train()
    unfinished = path.with_name(f"unfinished-{os.getpid()}.weights.h5")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        model.save_weights(unfinished)
        unfinished.rename(path)
    except OSError as error:
        raise StorageError(f"can't save the weights in {path.parent}: {error}") from error
    return model


class ReferenceClassifier:
    """The trained model."""

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        self._forward = tf.function(lambda images: model(images, training=False), reduce_retracing=True)

    @classmethod
    def of(cls, weights: list[npt.NDArray[np.float32]]) -> "ReferenceClassifier":
        """Make the classifier again from its `weights`, in another process."""
        model = make_reference_model(len(weights[-1]))  # the biases of the logits come last
        model.set_weights(weights)
        return cls(model)

    @property
    def weights(self) -> list[npt.NDArray[np.float32]]:
        """The weights, which `of` takes."""
        return list(self._model.get_weights())

    @classmethod
    def cached(cls, labelled: LabelledImages, folder: Path, report: Callable[[float], Any]) -> "ReferenceClassifier":
        """Load the classifier of this training data from `folder`, or train it (some minutes) and save it there.

        `report` is called with each finished share of the training, 1 in all.

        Raises:
            StorageError: the folder is not writable.
        """
        path = folder / f"reference-classifier-{labelled.digest[:16]}.weights.h5"
        train = partial(train_classifier, make_reference_model, labelled, _EPOCHS, report)
        make_model = partial(make_reference_model, len(labelled.classes))
        return cls(saved_or_trained(path, make_model, train, report))

    def judge(self, images: npt.NDArray[np.uint8]) -> Judgement:
        """Classify `[N, 28, 28]`."""
        parts = [self._forward(as_input(images[start : start + 1000])) for start in range(0, len(images), 1000)]
        logits = np.concatenate([part[0] for part in parts])
        features = np.concatenate([part[1] for part in parts])
        return Judgement(logits.argmax(1), features, softmax(logits, 1))

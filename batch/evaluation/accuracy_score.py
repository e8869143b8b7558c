"""The classifier accuracy score (Ravuri and Vinyals 2019): do generated glyphs teach as much as real ones?"""

import numpy as np

from batch.images.labelled import LabelledImages
from batch.training.classifier import train_classifier
from batch.training.networks import as_input
from batch.training.tensorflow import keras
from gantcha.alphabet import SIDE

_EPOCHS = 10
_PART = 1000


def accuracy_by_class(taught: LabelledImages, test: LabelledImages) -> dict[int, float]:
    """Train a fresh classifier on `taught`; return the share of each class of `test` that it reads rightly."""
    model = train_classifier(_make_model, taught, _EPOCHS, lambda _: None)
    parts = (as_input(test.images[start : start + _PART]) for start in range(0, len(test.images), _PART))
    read = np.concatenate([np.asarray(model(part, training=False)).argmax(1) for part in parts])
    return {int(index): float((read[test.labels == index] == index).mean()) for index in np.unique(test.labels)}


def _make_model(class_count: int) -> keras.Model:
    """Build a classifier: images `[N, 28, 28, 1]` in -1..1 -> logits `[N, C]`."""
    layers = keras.layers
    image = layers.Input((SIDE, SIDE, 1))
    hidden = image
    for channels, side in ((16, 5), (32, 3)):
        hidden = layers.Conv2D(channels, side, 2, padding="same", activation="relu")(hidden)
        hidden = layers.BatchNormalization(momentum=0.9)(hidden)  # few glyphs make few steps
    hidden = layers.Dense(96, activation="relu")(layers.Dropout(0.2)(layers.Flatten()(hidden)))
    return keras.Model(image, layers.Dense(class_count)(hidden))

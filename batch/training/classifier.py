"""How classifiers of glyphs are trained: the legibility filter and the reference classifier of evaluation."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from batch.images.labelled import LabelledImages
from batch.training.networks import as_input
from batch.training.tensorflow import keras, tf
from gantcha.alphabet import SIDE

_BATCH = 128
_RATE = 2e-3


def train_classifier(
    make_model: Callable[[int], keras.Model],
    labelled: LabelledImages,
    epochs: int,
    report: Callable[[float], Any],
    least_steps: int = 1,
) -> keras.Model:
    """Make a model for the number of classes, and train its first output, the logits, on slightly distorted glyphs.

    There are more epochs where these have not the least number of steps. `report` is called with each finished share
    of the training, 1 in all.
    """
    keras.utils.set_random_seed(1)
    model = make_model(len(labelled.classes))
    classifier = keras.Model(model.input, model.outputs[0])
    batch_size = min(_BATCH, len(labelled.images))
    steps = len(labelled.images) // batch_size
    epochs = max(epochs, -(-least_steps // steps))
    compile_classifier(classifier, _RATE, epochs * steps)
    rng = np.random.default_rng(1)
    for _ in range(epochs):
        for chosen in rng.permutation(len(labelled.images))[: steps * batch_size].reshape(steps, batch_size):
            classifier.train_on_batch(_augment(as_input(labelled.images[chosen])), labelled.labels[chosen])
            report(1 / (epochs * steps))
    return model


def compile_classifier(model: keras.Model, rate: float, steps: int) -> None:
    """Prepare a model of logits for so many steps by Adam, at a learning rate that falls by cosine."""
    schedule = keras.optimizers.schedules.CosineDecay(rate, steps)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(schedule), loss, jit_compile=False)


def predict(model: keras.Model, images: npt.NDArray[np.uint8], chunk: int) -> npt.NDArray[np.float32]:
    """Return what a model of one output makes of `[N, H, W]`, some at a time: all at once would not fit into memory."""
    parts = np.split(images, range(chunk, len(images), chunk))
    outputs: npt.NDArray[np.float32] = np.concatenate([model.predict_on_batch(as_input(part)) for part in parts])
    return outputs


@tf.function  # type: ignore[untyped-decorator]
def _augment(images: tf.Tensor) -> tf.Tensor:
    """Rotate, scale, shear and shift each of `[N, 28, 28, 1]` a little."""
    count = tf.shape(images)[0]

    def within(bound: float) -> tf.Tensor:
        return tf.random.uniform((count,), -bound, bound)

    angle, shear, centre = within(0.2), within(0.15), SIDE / 2 - 0.5
    a, b = (1 + within(0.12)) * tf.cos(angle), shear - tf.sin(angle)
    c, d = tf.sin(angle), (1 + within(0.12)) * tf.cos(angle)
    across = centre - a * centre - b * centre + within(2)
    down = centre - c * centre - d * centre + within(2)
    zero = tf.zeros_like(a)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack([a, b, across, c, d, down, zero, zero], 1),
        output_shape=(SIDE, SIDE),
        fill_value=-1.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )

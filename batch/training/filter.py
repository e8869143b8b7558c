"""The legibility filter: a small network that keeps glyphs out of captchas that are illegible or look generated."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from batch.alphabet import GLYPH_CLASSES
from batch.glyphs.architecture import FIRST, HIDDEN, SECOND, SIDE, STRIDE, FilterWeights
from batch.glyphs.checkpoints import Loaded
from batch.glyphs.sampler import draw_class
from batch.training.classifier import distort
from batch.training.emnist import Emnist
from batch.training.networks import as_input
from batch.training.tensorflow import keras, tf

_EPOCHS = 6
_BATCH = 128  # of distorted images to classify, of real ones and of generated ones
_PER_CLASS = 1500  # real and generated glyphs of a class in each epoch
_RATE = 3e-3
_REALNESS = 1.0  # weight of telling real from generated beside telling classes apart


def make_filter_model() -> keras.Model:
    """Build the filter as it is trained: images `[N, 28, 28, 1]` in -1..1 -> logits and realness, both `[N, 47]`."""
    layers = keras.layers
    image = layers.Input((SIDE, SIDE, 1))
    hidden = image
    for channels, side, name in ((FIRST, 5, "first"), (SECOND, 3, "second")):
        convolution = layers.Conv2D(channels, side, STRIDE, padding="same", use_bias=False, name=name)
        hidden = layers.ReLU()(layers.BatchNormalization(name=f"{name}_norm")(convolution(hidden)))
    hidden = layers.Dense(HIDDEN, use_bias=False, name="dense")(layers.Flatten()(hidden))
    hidden = layers.ReLU()(layers.BatchNormalization(name="dense_norm")(hidden))
    return keras.Model(image, [layers.Dense(len(GLYPH_CLASSES), name=name)(hidden) for name in ("logits", "realness")])


def train_filter(
    emnist: Emnist, generators: Mapping[int, Loaded], report: Callable[[float], Any], epochs: int = _EPOCHS
) -> FilterWeights:
    """Train the filter (some minutes) against these generators, by class.

    `report` is called with each finished share, 1 in all.
    """
    keras.utils.set_random_seed(1)
    model = make_filter_model()
    labels = np.repeat(np.array(list(generators), np.int32), _PER_CLASS)
    steps = len(labels) // _BATCH
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(_RATE, epochs * steps))
    optimizer.build(model.trainable_variables)

    @tf.function  # type: ignore[untyped-decorator]
    def train_step(images: tf.Tensor, classes: tf.Tensor, real: tf.Tensor, fake: tf.Tensor, labels: tf.Tensor) -> None:
        truth = tf.repeat([1.0, 0.0], _BATCH)
        with tf.GradientTape() as tape:
            # Distortion would blur what tells generated glyphs from real ones.
            logits, realness = model(tf.concat([distort(images), real, fake], 0), training=True)
            error = tf.nn.sparse_softmax_cross_entropy_with_logits(classes, logits[:_BATCH])
            realness = tf.gather(realness[_BATCH:], tf.tile(labels, [2]), batch_dims=1)
            confusion = tf.nn.sigmoid_cross_entropy_with_logits(truth, realness)
            loss = tf.reduce_mean(error) + _REALNESS * tf.reduce_mean(confusion)
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)

    rng = np.random.default_rng(1)
    places = {index: np.flatnonzero(emnist.labels == index) for index in generators}
    for _ in range(epochs):
        real = np.concatenate([np.resize(rng.permutation(places[index]), _PER_CLASS) for index in generators])
        fake = np.concatenate([draw_class(generator, _PER_CLASS, rng) for generator in generators.values()])
        everything = np.resize(rng.permutation(len(emnist.images)), (steps, _BATCH))
        pairs = rng.permutation(len(labels))[: steps * _BATCH].reshape(steps, _BATCH)
        for chosen, some in zip(everything, pairs, strict=True):
            train_step(
                tf.constant(as_input(emnist.images[chosen])),
                tf.constant(emnist.labels[chosen].astype(np.int32)),
                tf.constant(as_input(emnist.images[real[some]])),
                tf.constant(as_input(fake[some])),
                tf.constant(labels[some]),
            )
            report(1 / (epochs * steps))
    return fuse_filter(model)


def fuse_filter(model: keras.Model) -> FilterWeights:
    """Fuse the batch normalisation of a trained filter into its kernels."""

    def fused(name: str) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        (kernel,), norm = model.get_layer(name).get_weights(), model.get_layer(f"{name}_norm")
        gamma, beta, mean, variance = norm.get_weights()
        scale = gamma / np.sqrt(variance + norm.epsilon)
        return kernel * scale, beta - mean * scale

    heads = (weights for name in ("logits", "realness") for weights in model.get_layer(name).get_weights())
    return FilterWeights(*fused("first"), *fused("second"), *fused("dense"), *heads)

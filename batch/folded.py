"""What is left of a trained generator for drawing: a small net, its normalisations folded into the kernels."""

import numpy as np

from batch.architecture import BASE, SLOPE, FoldedGenerator
from batch.networks import EPSILON
from batch.quiet_tensorflow import keras, tf

ops = keras.ops


def fold(generator: keras.Model, latent: tf.Tensor, shapes: tf.Tensor) -> FoldedGenerator:
    """Fold a generator of one class, with the moments that a large batch of its own latents has.

    The standing statistics of Brock et al. 2019 (BigGAN): `latent` `[N, latent_size]` and `shapes` `[N]` should
    number some thousands and be drawn as in training.
    """
    weights = {weight.path: ops.convert_to_tensor(weight) for weight in generator.weights}
    dense, shape_table = weights["dense/kernel"], weights["shapes/embeddings"]
    mean, variance = tf.nn.moments(latent @ dense, 0)
    scale = weights["dense_norm/scale"][0] * tf.math.rsqrt(variance + EPSILON)
    inputs = tf.concat([latent, tf.one_hot(shapes, shape_table.shape[0])], 1)
    dense = tf.concat([dense * scale, shape_table - mean * scale], 0)
    conv_kernel = weights["conv/kernel"]
    mean, variance = tf.nn.moments(_first_half(inputs, dense, conv_kernel), (0, 1, 2))
    scale = weights["conv_norm/scale"][0] * tf.math.rsqrt(variance + EPSILON)
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
    hidden = tf.reshape(tf.nn.leaky_relu(inputs @ dense, SLOPE), (-1, BASE, BASE, wide))
    return tf.nn.conv2d_transpose(hidden, conv_kernel, (tf.shape(inputs)[0], 2 * BASE, 2 * BASE, narrow), 2)

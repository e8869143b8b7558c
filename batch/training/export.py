"""Trained networks as they are drawn with: batch normalisation fused into the kernels."""

import numpy as np

from batch.glyphs.architecture import BASE, SLOPE, GeneratorWeights
from batch.training.networks import EPSILON
from batch.training.tensorflow import keras, tf

ops = keras.ops


def fuse_batch_norm(generator: keras.Model, latent: tf.Tensor, styles: tf.Tensor) -> GeneratorWeights:
    """Fuse the batch normalisation of a generator of one class, with the moments of a large batch of latents.

    These are the standing statistics of Brock et al. 2019 (BigGAN): `latent` `[N, latent_size]` and `styles` `[N]`
    should number some thousands and be drawn as in training.
    """
    weights = {weight.path: ops.convert_to_tensor(weight) for weight in generator.weights}
    dense, style_table = weights["dense/kernel"], weights["styles/embeddings"]
    mean, variance = tf.nn.moments(latent @ dense, 0)
    scale = weights["dense_norm/scale"][0] * tf.math.rsqrt(variance + EPSILON)
    inputs = tf.concat([latent, tf.one_hot(styles, style_table.shape[0])], 1)
    dense = tf.concat([dense * scale, style_table - mean * scale], 0)
    conv_kernel = weights["conv/kernel"]
    mean, variance = tf.nn.moments(_first_half(inputs, dense, conv_kernel), (0, 1, 2))
    scale = weights["conv_norm/scale"][0] * tf.math.rsqrt(variance + EPSILON)
    fused = GeneratorWeights(
        dense,
        conv_kernel * scale[:, None],
        weights["conv_norm/offset"][0] - mean * scale,
        weights["image/kernel"],
        weights["image/bias"],
    )
    return GeneratorWeights(*(np.asarray(array) for array in fused))


def _first_half(inputs: tf.Tensor, dense: tf.Tensor, conv_kernel: tf.Tensor) -> tf.Tensor:
    """`[N, latent_size + style_count]` -> the feature map at 14 x 14 before bias and activation."""
    narrow, wide = conv_kernel.shape[2:]
    hidden = tf.reshape(tf.nn.leaky_relu(inputs @ dense, SLOPE), (-1, BASE, BASE, wide))
    return tf.nn.conv2d_transpose(hidden, conv_kernel, (tf.shape(inputs)[0], 2 * BASE, 2 * BASE, narrow), 2)

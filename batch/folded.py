"""What is left of a trained generator for drawing: a small net, its normalisations folded into the kernels."""

from typing import NamedTuple

import numpy as np

from batch.architecture import BASE, FoldedGenerator
from batch.networks import EPSILON, SLOPE
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


class SubPixelGenerator(NamedTuple):
    """A folded generator as it draws; see `by_sub_pixels`."""

    dense: tf.Tensor
    """`[latent_size + shape_count, 7 * 7 * wide]`"""
    conv_kernel: tf.Tensor
    """`[3, 3, wide, 2 * 2 * narrow]`"""
    conv_bias: tf.Tensor
    """`[2 * 2 * narrow]`"""
    image_kernel: tf.Tensor
    """`[3, 3, 2 * 2 * narrow, 4 * 4]`"""
    image_bias: tf.Tensor
    """`[1]`"""


def by_sub_pixels(folded: FoldedGenerator) -> SubPixelGenerator:
    """Turn the transposed convolutions into plain ones at 7 x 7, which take half the time and give the same.

    A feature map of 14 x 14 is held as 7 x 7 blocks of 2 x 2 pixels, and the image as blocks of 4 x 4: the sub-pixel
    convolutions of Shi et al. 2016, without the shuffle between them.
    """
    narrow, wide = folded.conv_kernel.shape[2:]
    conv_kernel = np.zeros((3, 3, wide, 2, 2, narrow), np.float32)
    image_kernel = np.zeros((3, 3, 2, 2, narrow, 4, 4), np.float32)
    for tap_y, tap_x in np.ndindex(5, 5):
        for y, x in np.ndindex(2, 2):  # in a block of the 14 x 14 map, from blocks of one pixel
            (from_y, rest_y), (from_x, rest_x) = divmod(y + 1 - tap_y, 2), divmod(x + 1 - tap_x, 2)
            if not (rest_y or rest_x):
                conv_kernel[from_y + 1, from_x + 1, :, y, x] = folded.conv_kernel[tap_y, tap_x].T
        for y, x in np.ndindex(4, 4):  # in a block of the image, from blocks of two
            (from_y, rest_y), (from_x, rest_x) = divmod(y + 1 - tap_y, 2), divmod(x + 1 - tap_x, 2)
            if not (rest_y or rest_x):
                (block_y, in_y), (block_x, in_x) = divmod(from_y, 2), divmod(from_x, 2)
                image_kernel[block_y + 1, block_x + 1, in_y, in_x, :, y, x] = folded.image_kernel[tap_y, tap_x, 0]
    return SubPixelGenerator(
        tf.constant(folded.dense),
        tf.constant(conv_kernel.reshape(3, 3, wide, -1)),
        tf.tile(folded.conv_bias, [4]),
        tf.constant(image_kernel.reshape(3, 3, -1, 16)),
        tf.constant(folded.image_bias),
    )


@tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
def draw_glyphs(inputs: tf.Tensor, generator: SubPixelGenerator) -> tf.Tensor:
    """`[N, latent_size + shape_count]` -> uint8 `[N, 28, 28]`, bright stroke on black.

    One traced graph serves every class, since the weights are arguments.
    """
    wide = generator.conv_kernel.shape[2]
    hidden = tf.reshape(tf.nn.leaky_relu(inputs @ generator.dense, SLOPE), (-1, BASE, BASE, wide))
    hidden = tf.nn.leaky_relu(tf.nn.conv2d(hidden, generator.conv_kernel, 1, "SAME") + generator.conv_bias, SLOPE)
    image = tf.nn.depth_to_space(tf.nn.conv2d(hidden, generator.image_kernel, 1, "SAME"), 4)
    return tf.cast(tf.round(tf.tanh(image[..., 0] + generator.image_bias) * 127.5 + 127.5), tf.uint8)

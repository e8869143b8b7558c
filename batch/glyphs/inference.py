"""The trained networks at work, in NumPy: as fast on a core as TensorFlow, whose import takes seconds.

Feature maps are `[channels, H, W, N]`: copying a pixel then copies N numbers that lie side by side.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from batch.alphabet import GLYPH_CLASSES
from batch.glyphs.architecture import BASE, SIDE, SLOPE, STRIDE, FilterWeights, GeneratorWeights

_BLOCK = 64  # glyphs whose feature maps stay in the processor's caches

Floats = npt.NDArray[np.floating[Any]]


def draw_glyphs(inputs: Floats, generator: GeneratorWeights) -> npt.NDArray[np.uint8]:
    """`[N, latent_size + style_count]` -> uint8 `[N, 28, 28]`, bright stroke on black."""
    glyphs = np.empty((len(inputs), SIDE, SIDE), np.uint8)
    for block in _blocks(len(inputs)):
        dense = (generator.dense.T @ inputs[block].T).reshape(BASE, BASE, -1, len(glyphs[block]))
        maps = _leaky_relu(dense.transpose(2, 0, 1, 3))
        maps = _leaky_relu(_convolve_transposed(maps, generator.conv_kernel, generator.conv_bias))
        (image,) = np.tanh(_convolve_transposed(maps, generator.image_kernel, generator.image_bias))
        glyphs[block] = np.rint(image * 127.5 + 127.5).astype(np.uint8).transpose(2, 0, 1)
    return glyphs


def classify_glyphs(glyphs: npt.NDArray[np.uint8], weights: FilterWeights) -> Floats:
    """uint8 `[N, 28, 28]` -> the probability of each glyph class `[N, 47]`."""
    probabilities = np.empty((len(glyphs), len(GLYPH_CLASSES)), np.float32)
    for block in _blocks(len(glyphs)):
        maps = glyphs[block].transpose(1, 2, 0)[None] / np.float32(127.5) - 1
        maps = _convolve(maps, weights.first, weights.first_bias).clip(0)
        maps = _convolve(maps, weights.second, weights.second_bias).clip(0)
        features = maps.transpose(3, 1, 2, 0).reshape(-1, len(weights.dense))
        logits = (features @ weights.dense + weights.dense_bias).clip(0) @ weights.logits + weights.logits_bias
        odds = np.exp(logits - logits.max(1, keepdims=True))
        probabilities[block] = odds / odds.sum(1, keepdims=True)
    return probabilities


def _blocks(count: int) -> Iterator[slice]:
    return (slice(first, first + _BLOCK) for first in range(0, count, _BLOCK))


def _leaky_relu(maps: Floats) -> Floats:
    bent: Floats = np.maximum(maps, maps * np.float32(SLOPE), order="C")
    return bent


def _taps(kernel_side: int, side: int) -> list[tuple[slice, slice]]:
    """For each row of a kernel: which rows of the smaller map meet which of the larger, at a stride of 2.

    The padding is what TensorFlow calls "SAME": the odd pixel comes after.
    """
    before = (kernel_side - STRIDE) // 2
    taps = []
    for tap in range(kernel_side):
        first = max(0, -((tap - before) // STRIDE))
        end = min(side, side + (before - tap + 1) // STRIDE)
        start = STRIDE * first + tap - before
        taps.append((slice(first, end), slice(start, start + STRIDE * (end - first), STRIDE)))
    return taps


def _convolve(maps: Floats, kernel: Floats, bias: Floats) -> Floats:
    """`[C, 2S, 2S, N]` by `[k, k, C, F]` at a stride of 2 -> `[F, S, S, N]`."""
    channels, side, _, count = maps.shape
    side //= STRIDE
    patches = np.zeros((*kernel.shape[:2], channels, side, side, count), np.float32)
    taps = _taps(len(kernel), side)
    for y, (small_y, large_y) in enumerate(taps):
        for x, (small_x, large_x) in enumerate(taps):
            patches[y, x, :, small_y, small_x] = maps[:, large_y, large_x]
    found = kernel.reshape(-1, len(bias)).T @ patches.reshape(-1, side * side * count)
    return (found + bias[:, None]).reshape(-1, side, side, count)


def _convolve_transposed(maps: Floats, kernel: Floats, bias: Floats) -> Floats:
    """`[C, S, S, N]` by `[k, k, F, C]` at a stride of 2 -> `[F, 2S, 2S, N]`."""
    channels, side, _, count = maps.shape
    patches = (kernel.reshape(-1, channels) @ maps.reshape(channels, -1)).reshape(*kernel.shape[:3], side, side, count)
    large = np.empty((len(bias), STRIDE * side, STRIDE * side, count), np.float32)
    large[:] = bias[:, None, None, None]
    taps = _taps(len(kernel), side)
    for y, (small_y, large_y) in enumerate(taps):
        for x, (small_x, large_x) in enumerate(taps):
            large[:, large_y, large_x] += patches[y, x][:, small_y, small_x]
    return large

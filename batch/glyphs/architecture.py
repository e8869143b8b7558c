"""What checkpoints hold, and what it costs to draw with them; without TensorFlow, which takes seconds to import."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from batch.alphabet import GLYPH_CLASSES

SIDE = 28
"""Of a glyph's image, as of EMNIST's."""
BASE = SIDE // 4
"""Side of a generator's first feature map."""
SLOPE = 0.2
"""Of a generator's leaky ReLUs."""
FIRST, SECOND, HIDDEN = 8, 24, 48
STRIDE = 2


@dataclass(frozen=True)
class Architecture:
    """Sizes of a generator; part of the manifest, so that a checkpoint is never read into another net."""

    latent_size: int = 64
    shape_count: int = 24
    """Styles, the ways of writing one glyph class; a one-hot after the latent selects the one to draw."""
    wide: int = 32
    """Channels at 7 x 7."""
    narrow: int = 16
    """Channels at 14 x 14."""


class GeneratorWeights(NamedTuple):
    """What a checkpoint stores: a generator of one class with batch normalisation fused into the kernels."""

    dense: npt.NDArray[np.floating[Any]]
    """`[latent_size + shape_count, 7 * 7 * wide]`"""
    conv_kernel: npt.NDArray[np.floating[Any]]
    """`[5, 5, narrow, wide]`"""
    conv_bias: npt.NDArray[np.floating[Any]]
    """`[narrow]`"""
    image_kernel: npt.NDArray[np.floating[Any]]
    """`[5, 5, 1, narrow]`"""
    image_bias: npt.NDArray[np.floating[Any]]
    """`[1]`"""


def weight_shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """Give the shapes of the arrays that a `GeneratorWeights` of this architecture must have."""
    return {
        "dense": (architecture.latent_size + architecture.shape_count, BASE * BASE * architecture.wide),
        "conv_kernel": (5, 5, architecture.narrow, architecture.wide),
        "conv_bias": (architecture.narrow,),
        "image_kernel": (5, 5, 1, architecture.narrow),
        "image_bias": (1,),
    }


def flops_per_glyph(architecture: Architecture) -> int:
    """Count multiplications and additions of `draw_glyphs` for one glyph."""
    shapes = weight_shapes(architecture)
    positions = {"dense": 1, "conv_kernel": BASE**2, "image_kernel": (2 * BASE) ** 2}  # a kernel is applied there
    return sum(2 * at * math.prod(shapes[name]) for name, at in positions.items())


class FilterWeights(NamedTuple):
    """What its checkpoint stores: the legibility filter with batch normalisation fused into the kernels."""

    first: npt.NDArray[np.floating[Any]]
    """`[5, 5, 1, 8]`"""
    first_bias: npt.NDArray[np.floating[Any]]
    second: npt.NDArray[np.floating[Any]]
    """`[3, 3, 8, 24]`"""
    second_bias: npt.NDArray[np.floating[Any]]
    dense: npt.NDArray[np.floating[Any]]
    """`[7 * 7 * 24, 48]`"""
    dense_bias: npt.NDArray[np.floating[Any]]
    logits: npt.NDArray[np.floating[Any]]
    """`[48, 47]`"""
    logits_bias: npt.NDArray[np.floating[Any]]


FILTER_SHAPES = {
    "first": (5, 5, 1, FIRST),
    "first_bias": (FIRST,),
    "second": (3, 3, FIRST, SECOND),
    "second_bias": (SECOND,),
    "dense": ((SIDE // STRIDE**2) ** 2 * SECOND, HIDDEN),
    "dense_bias": (HIDDEN,),
    "logits": (HIDDEN, len(GLYPH_CLASSES)),
    "logits_bias": (len(GLYPH_CLASSES),),
}


def flops_per_classification() -> int:
    """Count multiplications and additions of `classify_glyphs` for one glyph."""
    positions = {"first": (SIDE // 2) ** 2, "second": (SIDE // 4) ** 2, "dense": 1, "logits": 1}
    return sum(2 * at * math.prod(FILTER_SHAPES[name]) for name, at in positions.items())

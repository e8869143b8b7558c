"""Sizes of a generator."""

from dataclasses import dataclass

from batch.alphabet import SIDE

BASE = SIDE // 4
"""Side of a generator's first feature map."""
KERNEL = 5
"""Side of a generator's kernels."""
SLOPE = 0.2
"""Of a generator's leaky ReLUs."""


@dataclass(frozen=True)
class Architecture:
    """Sizes of a generator; part of the manifest, so that a folder holds generators of one kind only."""

    latent_size: int = 64
    style_count: int = 24
    """Styles, the ways of writing one glyph class."""
    wide: int = 32
    """Channels at 7 x 7."""
    narrow: int = 16
    """Channels at 14 x 14."""

    @property
    def flops(self) -> int:
        """Multiplications and additions for one glyph."""
        dense = self.latent_size * BASE**2 * self.wide
        convolutions = KERNEL**2 * (BASE**2 * self.wide * self.narrow + (2 * BASE) ** 2 * self.narrow)
        return 2 * (dense + convolutions)

"""The settings of a training, and the sizes of a generator."""

from dataclasses import dataclass

from gantcha.alphabet import SIDE

BASE = SIDE // 4
"""Side of a generator's first feature map."""
KERNEL = 5
"""Side of a generator's kernels."""
SLOPE = 0.2
"""Slope of a generator's leaky ReLUs."""
STATE = ".training"
"""Folder within the checkpoints for what a resumed training needs."""


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


FEW = 1_000
"""Images of a class in a folder of one's own, below which they are copied with changes."""


@dataclass(frozen=True)
class TrainingSettings:
    """The recipe; saved in the manifest."""

    pretraining_steps: int = 12_000
    """Steps of one conditional GAN over all classes, whose weights start each class."""
    pretraining_rate: float = 6e-4
    pretraining_groups: int = 4
    """Classes in a batch of the pretraining, each with an equal share."""
    steps: int = 2_400
    """Steps of each class alone."""
    rate: float = 1.2e-3
    """Adam's learning rate for both networks; falls by cosine to `last_rate_ratio` of it."""
    last_rate_ratio: float = 0.1
    batch_size: int = 64
    r1_gamma: float = 0.2
    r1_every: int = 4
    """Apply R1 every `r1_every` steps, scaled by `r1_every` (Karras et al. 2020)."""
    ema_decay: float = 0.998
    refined_steps: int = 400
    """Steps of each class's fine-tuning after that, which makes its glyphs vary as real ones do."""
    refined_rate: float = 5e-4
    """Adam's learning rate of the generator in it; falls as `rate` does."""
    refined_batch_size: int = 96
    refined_scale: float = 1.2
    """Standard deviation of its latents, where the training before had 1: wider latents give more varied glyphs."""
    refined_filtered: float = 0.5
    """How much its real images count by their chance to pass the legibility filter: from 0, all alike, to 1."""
    latent_scale: float = 0.95
    """Standard deviation of the latents that glyphs are drawn from after the training."""
    copied: tuple[str, ...] = ("14-upper-e", "17-upper-h", "26-upper-q", "40-lower-f")
    """Classes of few images, which a generator would memorise without augmented copies."""
    copies: int = 8
    """Augmented copies of each image of such a class."""
    classifier_steps: int = 1_500
    """Least steps of the legibility filter and of the classifiers of the fine-tuning: few images make short epochs."""
    seed: int = 1


def usual_pretraining_steps(class_count: int) -> int:
    """Return the steps on all classes together: fewer classes have less to share."""
    return min(TrainingSettings.pretraining_steps, 2_000 + 250 * class_count)


def usual_classifier_steps(class_count: int) -> int:
    """Return the least steps of the classifiers: fewer classes are told apart sooner."""
    return min(TrainingSettings.classifier_steps, 300 + 30 * class_count)

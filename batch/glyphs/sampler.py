"""Glyphs of any classes from the trained generators."""

import numpy as np
import numpy.typing as npt

from batch.alphabet import GLYPH_CLASSES, LOOKALIKES_OF_CLASS
from batch.glyphs.architecture import SIDE, FilterWeights
from batch.glyphs.checkpoints import Checkpoints, Loaded
from batch.glyphs.inference import classify_glyphs, draw_glyphs

OVERSAMPLING = 1.2
"""Glyphs drawn for each one that captchas contain; the filter leaves the rest out."""
_LEGIBLE = 0.5  # a probability above which glyphs count as equally legible: many real ones are not certain either
_LEAST = 1e-30  # a chance, so that there is a logarithm
_STRICTNESS = 8  # how steeply the chance of a glyph falls below that


class Sampler:
    """All 47 generators, each loaded once and called once a batch."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        """Raises CheckpointError for a missing or damaged checkpoint."""
        self._generators, self.filter = checkpoints.load()

    def draw(
        self, classes: npt.NDArray[np.uint8], rng: np.random.Generator, latent_scale: float | None = None
    ) -> npt.NDArray[np.uint8]:
        """Draw a glyph for each ByMerge index of `classes` `[...]`: uint8 `[..., 28, 28]`, bright stroke on black.

        Latents have the scale that the manifest gives for each class, or `latent_scale` for all classes.
        Glyphs of one class are drawn in one call of its generator, wherever they are in the batch.
        """
        labels = classes.ravel()
        glyphs = np.empty((len(labels), SIDE, SIDE), np.uint8)
        order = np.argsort(labels, kind="stable")
        for places in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
            if len(places):
                glyphs[places] = draw_class(self._generators[int(labels[places[0]])], len(places), rng, latent_scale)
        return glyphs.reshape(*classes.shape, SIDE, SIDE)

    def draw_legible(
        self, classes: npt.NDArray[np.uint8], rng: np.random.Generator, latent_scale: float | None = None
    ) -> npt.NDArray[np.uint8]:
        """As `draw`, but leave out glyphs that look like another character. These are what captchas contain.

        A fifth more glyphs of each class are drawn than asked for. Which are kept is random, with the chances of
        `legibility`: to keep the surest ones would make all glyphs alike.
        """
        wanted = classes.ravel()
        counts = np.bincount(wanted, minlength=len(GLYPH_CLASSES))
        labels = np.repeat(np.arange(len(GLYPH_CLASSES), dtype=np.uint8), np.ceil(counts * OVERSAMPLING).astype(int))
        glyphs = self.draw(labels, rng, latent_scale)
        # The greatest of log chances plus Gumbel noise are a sample without replacement (Kool et al. 2019).
        keys = np.log(legibility(glyphs, labels, self.filter) + _LEAST) + rng.gumbel(size=len(labels))
        best_first = np.lexsort([-keys, labels])
        firsts = np.searchsorted(labels, labels)
        # In the order they were drawn in: otherwise the last captchas of a batch would get the least legible glyphs.
        kept = np.sort(best_first[np.arange(len(labels)) - firsts < counts[labels]])
        legible = np.empty((len(wanted), SIDE, SIDE), np.uint8)
        legible[np.argsort(wanted, kind="stable")] = glyphs[kept]
        return legible.reshape(*classes.shape, SIDE, SIDE)


def legibility(
    glyphs: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint8], weights: FilterWeights
) -> npt.NDArray[np.float32]:
    """Give the chance, 0 to 1, that each of `[N, 28, 28]` gets into a captcha for a glyph of the class of its label.

    It is 1 where the filter finds it likelier than not that the glyph is of its character or one that looks alike.
    """
    own = LOOKALIKES_OF_CLASS[labels][:, None] == LOOKALIKES_OF_CLASS
    probability = (classify_glyphs(glyphs, weights) * own).sum(1)
    chances: npt.NDArray[np.float32] = (probability.clip(max=_LEGIBLE) / _LEGIBLE) ** _STRICTNESS
    return chances


def draw_class(
    loaded: Loaded, count: int, rng: np.random.Generator, latent_scale: float | None = None
) -> npt.NDArray[np.uint8]:
    """Draw so many glyphs of one class: uint8 `[count, 28, 28]`."""
    frequencies = loaded.style_frequencies
    styles = rng.choice(len(frequencies), count, p=frequencies)
    latent = rng.standard_normal((count, len(loaded.generator.dense) - len(frequencies)), np.float32)
    latent *= np.float32(loaded.latent_scale if latent_scale is None else latent_scale)
    inputs = np.concatenate([latent, np.eye(len(frequencies), dtype=np.float32)[styles]], 1)
    return draw_glyphs(inputs, loaded.generator)

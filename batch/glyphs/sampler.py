"""Glyphs of any classes from the trained generators."""

import numpy as np
import numpy.typing as npt

from batch.alphabet import CHARACTER_OF_CLASS, GLYPH_CLASSES
from batch.glyphs.architecture import SIDE
from batch.glyphs.checkpoints import Checkpoints, Loaded
from batch.glyphs.inference import classify_glyphs, draw_glyphs

OVERSAMPLING = 1.4
"""Glyphs drawn for each one that captchas contain; the rest is left out by the filter."""
_LEGIBLE = 0.3  # a probability above which glyphs count as equally legible: many a real one is not certain either
_STRICTNESS = 2.0  # power of the legibility in a glyph's chance
_MOST_REAL = 2.0  # log odds above which glyphs count as equally real: few glyphs should not be drawn again and again


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
        """As `draw`, but leave out glyphs that look like another character or not like handwriting.

        Captchas contain these. More glyphs of each class are drawn than asked for. Which are kept is random, with
        chances in the ratio of real to generated glyphs of their kind, as the filter estimates it (discriminator
        rejection sampling, Azadi et al. 2019), times their legibility.
        """
        wanted = classes.ravel()
        counts = np.bincount(wanted, minlength=len(GLYPH_CLASSES))
        labels = np.repeat(np.arange(len(GLYPH_CLASSES), dtype=np.uint8), np.ceil(counts * OVERSAMPLING).astype(int))
        glyphs = self.draw(labels, rng, latent_scale)
        found = classify_glyphs(glyphs, self.filter)
        legibility = (found.probabilities * (CHARACTER_OF_CLASS[labels][:, None] == CHARACTER_OF_CLASS)).sum(1)
        realness = found.realness[np.arange(len(labels)), labels]
        log_chances = realness.clip(max=_MOST_REAL) + _STRICTNESS * np.log(legibility.clip(1e-6, _LEGIBLE))
        # The greatest of log chances plus Gumbel noise are a sample without replacement (Kool et al. 2019).
        best_first = np.lexsort([-(log_chances + rng.gumbel(size=len(labels))), labels])
        firsts = np.searchsorted(labels, labels)
        # In the order they were drawn in: otherwise the last captchas of a batch would get the least legible glyphs.
        kept = np.sort(best_first[np.arange(len(labels)) - firsts < counts[labels]])
        legible = np.empty((len(wanted), SIDE, SIDE), np.uint8)
        legible[np.argsort(wanted, kind="stable")] = glyphs[kept]
        return legible.reshape(*classes.shape, SIDE, SIDE)


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

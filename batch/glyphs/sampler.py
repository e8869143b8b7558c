"""Glyphs of any classes from the trained generators."""

import numpy as np
import numpy.typing as npt

from batch.alphabet import CHARACTER_OF_CLASS, GLYPH_CLASSES
from batch.glyphs.architecture import SIDE
from batch.glyphs.checkpoints import Checkpoints
from batch.glyphs.inference import classify_glyphs, draw_glyphs

DEFAULT_LATENT_SCALE = 1.2
"""Standard deviation of the latents, 1 in training, until `batch.spread` chooses one for each class."""
TRUNCATION = 0.8
"""The latent scale for captchas: glyphs near the mean are the most legible (Brock et al. 2019)."""
OVERSAMPLING = 1.2
"""Glyphs drawn for each one asked for where illegible ones are left out."""
_SURE = 0.95  # a probability above which glyphs count as equally legible; a higher one gains nothing


class Sampler:
    """All 47 generators, each loaded once and called once a batch."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        """Raises CheckpointError for a missing or damaged checkpoint."""
        loaded, self.filter = checkpoints.load()
        self._generators = {index: entry.generator for index, entry in loaded.items()}
        self._style_thresholds = np.stack([np.cumsum(loaded[c.index].style_frequencies) for c in GLYPH_CLASSES])
        self.latent_scales = np.array([loaded[c.index].latent_scale for c in GLYPH_CLASSES], np.float32)
        """`[47]`, standard deviation of the latents of each class"""
        inputs = loaded[0].generator.dense.shape[0]
        self._style_count = self._style_thresholds.shape[1]
        self._latent_size = inputs - self._style_count

    def draw(
        self, classes: npt.NDArray[np.uint8], rng: np.random.Generator, latent_scale: float | None = None
    ) -> npt.NDArray[np.uint8]:
        """Draw a glyph for each ByMerge index of `classes` `[...]`: uint8 `[..., 28, 28]`, bright stroke on black.

        Latents have the scale that the manifest gives for each class, or `latent_scale` for all classes.
        Glyphs of one class are drawn in one call of its generator, wherever they are in the batch.
        """
        labels = classes.ravel()
        styles = (rng.random((len(labels), 1)) > self._style_thresholds[labels, :-1]).sum(1)
        latent = rng.standard_normal((len(labels), self._latent_size), np.float32)
        latent *= self.latent_scales[labels, None] if latent_scale is None else np.float32(latent_scale)
        inputs = np.concatenate([latent, np.eye(self._style_count, dtype=np.float32)[styles]], 1)
        glyphs = np.empty((len(labels), SIDE, SIDE), np.uint8)
        order = np.argsort(labels, kind="stable")
        for places in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
            if len(places):
                glyphs[places] = draw_glyphs(inputs[places], self._generators[int(labels[places[0]])])
        return glyphs.reshape(*classes.shape, SIDE, SIDE)

    def draw_legible(self, classes: npt.NDArray[np.uint8], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
        """As `draw`, but leave out glyphs that look like another character.

        A fifth more glyphs of each class are drawn than asked for, and the least legible are left out. Those that the
        legibility filter is sure of count as equally legible.
        """
        wanted = classes.ravel()
        counts = np.bincount(wanted, minlength=len(GLYPH_CLASSES))
        labels = np.repeat(np.arange(len(GLYPH_CLASSES), dtype=np.uint8), np.ceil(counts * OVERSAMPLING).astype(int))
        glyphs = self.draw(labels, rng, TRUNCATION)
        probabilities = classify_glyphs(glyphs, self.filter)
        legibility = (probabilities * (CHARACTER_OF_CLASS[labels][:, None] == CHARACTER_OF_CLASS)).sum(1)
        best_first = np.lexsort([-legibility.clip(max=_SURE), labels])
        firsts = np.searchsorted(labels, labels)
        # In the order they were drawn in: otherwise the last captchas of a batch would get the least legible glyphs.
        kept = np.sort(best_first[np.arange(len(labels)) - firsts < counts[labels]])
        legible = np.empty((len(wanted), SIDE, SIDE), np.uint8)
        legible[np.argsort(wanted, kind="stable")] = glyphs[kept]
        return legible.reshape(*classes.shape, SIDE, SIDE)

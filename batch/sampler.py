"""Glyphs of any classes from the trained generators."""

import numpy as np
import numpy.typing as npt

from batch.alphabet import CHARACTER_OF_CLASS, GLYPH_CLASSES
from batch.checkpoints import Checkpoints
from batch.emnist import SIDE
from batch.inference import draw_glyphs, read_glyphs

USUAL_SPREAD = 1.2
"""Latents are drawn so many times wider than training did, until `batch.spread` finds what fits a class."""
TYPICAL = 0.8
"""The spread for captchas: glyphs as most people write them are the most legible."""
OVERDRAW = 1.2
"""So many times the glyphs asked for are drawn where illegible ones are left out."""
_SURE = 0.95  # the doubtful are left out up to here; asking for more gains nothing more


class Sampler:
    """All 47 generators, loaded once and called once a batch each."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        """Raises CheckpointError for a missing or damaged checkpoint."""
        loaded, self.reader = checkpoints.load()
        self._generators = {index: entry.generator for index, entry in loaded.items()}
        self._shape_thresholds = np.stack([np.cumsum(loaded[c.index].shape_frequencies) for c in GLYPH_CLASSES])
        self.spreads = np.array([loaded[c.index].latent_spread for c in GLYPH_CLASSES], np.float32)
        """`[47]`, how many times wider than in training the latents of each class are drawn"""
        inputs = loaded[0].generator.dense.shape[0]
        self._shape_count = self._shape_thresholds.shape[1]
        self._latent_size = inputs - self._shape_count

    def draw(
        self, classes: npt.NDArray[np.uint8], rng: np.random.Generator, spread: float | None = None
    ) -> npt.NDArray[np.uint8]:
        """Draw a glyph for each ByMerge index of `classes` `[...]`: uint8 `[..., 28, 28]`, bright stroke on black.

        Latents are as wide as the manifest says of each class, or all of them `spread` times as wide as in training.

        Glyphs of one class are drawn in one call of its generator, whatever their places in the batch.
        """
        labels = classes.ravel()
        shapes = (rng.random((len(labels), 1)) > self._shape_thresholds[labels, :-1]).sum(1)
        latent = rng.standard_normal((len(labels), self._latent_size), np.float32)
        latent *= self.spreads[labels, None] if spread is None else np.float32(spread)
        inputs = np.concatenate([latent, np.eye(self._shape_count, dtype=np.float32)[shapes]], 1)
        glyphs = np.empty((len(labels), SIDE, SIDE), np.uint8)
        order = np.argsort(labels, kind="stable")
        for places in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
            if len(places):
                glyphs[places] = draw_glyphs(inputs[places], self._generators[int(labels[places[0]])])
        return glyphs.reshape(*classes.shape, SIDE, SIDE)

    def draw_legible(self, classes: npt.NDArray[np.uint8], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
        """As `draw`, but leave out glyphs that look like another character.

        Of each class some more glyphs are drawn than asked for. Those that the reader is sure of are all as good; of
        the others the least legible are left out, as far as there are more than enough.
        """
        wanted = classes.ravel()
        counts = np.bincount(wanted, minlength=len(GLYPH_CLASSES))
        labels = np.repeat(np.arange(len(GLYPH_CLASSES), dtype=np.uint8), np.ceil(counts * OVERDRAW).astype(int))
        glyphs = self.draw(labels, rng, TYPICAL)
        probabilities = read_glyphs(glyphs, self.reader)
        legibility = (probabilities * (CHARACTER_OF_CLASS[labels][:, None] == CHARACTER_OF_CLASS)).sum(1)
        best_first = np.lexsort([-legibility.clip(max=_SURE), labels])
        firsts = np.searchsorted(labels, labels)
        # In the order they were drawn in: else the last captchas of a batch would get all that is doubtful.
        kept = np.sort(best_first[np.arange(len(labels)) - firsts < counts[labels]])
        legible = np.empty((len(wanted), SIDE, SIDE), np.uint8)
        legible[np.argsort(wanted, kind="stable")] = glyphs[kept]
        return legible.reshape(*classes.shape, SIDE, SIDE)

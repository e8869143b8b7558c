"""Glyphs of any classes from the trained generators."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from batch.alphabet import CHARACTER_OF_CLASS, GLYPH_CLASSES, SIDE
from batch.glyphs.checkpoints import Checkpoints

DEFAULT_LATENT_SCALE = 1.2
"""Standard deviation of the latents, 1 in training, until `batch.spread` chooses one for each class."""
TRUNCATION = 0.9
"""The latent scale for captchas: glyphs near the mean are the most legible (Brock et al. 2019)."""
OVERSAMPLING = 1.4
"""Glyphs drawn for each one asked for where illegible ones are left out."""
_SURE = 0.99  # a probability above which glyphs count as equally legible; a higher one gains nothing


class Sampler:
    """All 47 generators and the legibility filter."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        """Raises CheckpointError for a missing or damaged checkpoint."""
        loaded = checkpoints.load()
        self.filter = loaded.filter
        self._generators = loaded.generators
        self._latent_size = loaded.latent_size
        self._style_thresholds = loaded.style_frequencies.cumsum(1)
        self._latent_scales = loaded.latent_scales

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
        latent *= self._latent_scales[labels, None] if latent_scale is None else np.float32(latent_scale)
        glyphs = np.empty((len(labels), SIDE, SIDE), np.uint8)
        order = np.argsort(labels, kind="stable")
        for places in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
            if len(places):
                generator = self._generators[int(labels[places[0]])]
                glyphs[places] = generator.run(latent=latent[places], style=styles[places])
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
        probabilities = self.filter.run(glyphs=glyphs)
        legibility = (probabilities * (CHARACTER_OF_CLASS[labels][:, None] == CHARACTER_OF_CLASS)).sum(1)
        best_first = np.lexsort([-legibility.clip(max=_SURE), labels])
        firsts = np.searchsorted(labels, labels)
        # In the order they were drawn in: otherwise the last captchas of a batch would get the least legible glyphs.
        kept = np.sort(best_first[np.arange(len(labels)) - firsts < counts[labels]])
        legible = np.empty((len(wanted), SIDE, SIDE), np.uint8)
        legible[np.argsort(wanted, kind="stable")] = glyphs[kept]
        return legible.reshape(*classes.shape, SIDE, SIDE)


_samplers: dict[Path, Sampler] = {}


def load_sampler(checkpoints_dir: Path) -> Sampler:
    """Load the generators, once in a process. Raises CheckpointError for a missing or damaged checkpoint."""
    if checkpoints_dir not in _samplers:
        keep_sampler(checkpoints_dir, Sampler(Checkpoints(checkpoints_dir)))
    return _samplers[checkpoints_dir]


def keep_sampler(checkpoints_dir: Path, sampler: Sampler) -> None:
    """Make `load_sampler` return this one, or the one it has: on another machine the folder may not exist."""
    _samplers.setdefault(checkpoints_dir, sampler)

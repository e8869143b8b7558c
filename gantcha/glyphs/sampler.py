"""Glyphs of any classes from the trained generators."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from gantcha.alphabet import SIDE, GlyphClasses
from gantcha.glyphs.checkpoints import Checkpoints
from gantcha.glyphs.network import Network
from gantcha.glyphs.specks import specks

_LEGIBLE = 0.98  # a probability above which glyphs count as equally legible
_STRICTNESS = 30  # how steeply the chance of a glyph falls below that
_LENIENCE = 5  # how many glyphs a little below it are kept all the same: as legible as the best of 1.4 times as many
_LEAST = 0.1  # a probability, so that no chance is 0
_TRIES = 12  # for a glyph, of which the surest is taken if none was kept: a bad generator must not draw for ever
_SPECKED = 0.7  # of its probability is left to a glyph with specks


class Sampler:
    """The generators and the legibility filter."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        """Raises CheckpointError as `Checkpoints.load` does."""
        loaded = checkpoints.load()
        self.classes, self.filter = loaded.classes, loaded.filter
        self._generators = loaded.generators
        self._latent_size = loaded.latent_size
        self._style_thresholds = loaded.style_frequencies.cumsum(1)
        self._latent_scales = loaded.latent_scales

    def draw(
        self,
        classes: npt.NDArray[np.uint8],
        rng: np.random.Generator,
        truncation: float = 1,
    ) -> npt.NDArray[np.uint8]:
        """Draw a glyph for each label of `classes` `[...]`: uint8 `[..., 28, 28]`, bright stroke on black.

        Latents have the scale that the manifest gives for each class, times `truncation`: below 1 glyphs are more alike
        and more legible.
        Glyphs of one class are drawn in one call of its generator, wherever they are in the batch.
        """
        labels = classes.ravel()
        styles = (rng.random((len(labels), 1)) > self._style_thresholds[labels, :-1]).sum(1)
        latent = rng.standard_normal((len(labels), self._latent_size), np.float32)
        latent *= self._latent_scales[labels, None] * np.float32(truncation)
        glyphs = np.empty((len(labels), SIDE, SIDE), np.uint8)
        order = np.argsort(labels, kind="stable")
        for places in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
            if len(places):
                generator = self._generators[int(labels[places[0]])]
                glyphs[places] = generator.run(latent=latent[places], style=styles[places])
        return glyphs.reshape(*classes.shape, SIDE, SIDE)

    def draw_legible(
        self,
        classes: npt.NDArray[np.uint8],
        rng: np.random.Generator,
        truncation: float = 1,
    ) -> npt.NDArray[np.uint8]:
        """Draw as `draw` does, without glyphs that look like another character: what captchas contain.

        A glyph is kept by chance, and drawn again otherwise. Those that the filter is sure of have the same chance: to
        keep the surest ones would make all glyphs alike.
        """
        labels = classes.ravel()
        legible = np.empty((len(labels), SIDE, SIDE), np.uint8)
        surest = np.full(len(labels), -1, np.float32)
        lacking = np.arange(len(labels))
        for _ in range(_TRIES):
            if not len(lacking):
                break
            glyphs = self.draw(labels[lacking], rng, truncation)
            sure = legibility(glyphs, labels[lacking], self.filter, self.classes)
            kept = rng.random(len(lacking)) < chances(sure)
            better = kept | (sure > surest[lacking])
            legible[lacking[better]], surest[lacking[better]] = glyphs[better], sure[better]
            lacking = lacking[~kept]
        return legible.reshape(*classes.shape, SIDE, SIDE)


def legibility(
    glyphs: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint8], legibility_filter: Network, classes: GlyphClasses
) -> npt.NDArray[np.float32]:
    """Return the probability that each of `[N, 28, 28]` is of its label's character or one that looks alike: `[N]`.

    It is less where there are specks.
    """
    own = classes.lookalikes[labels][:, None] == classes.lookalikes
    probabilities: npt.NDArray[np.float32] = (legibility_filter.run(glyphs=glyphs) * own).sum(1)
    probabilities[specks(glyphs)] *= _SPECKED
    return probabilities


def chances(sure: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return the chance that `Sampler.draw_legible` keeps a glyph of such a legibility: `[N]` of both."""
    weights = (sure.clip(_LEAST, _LEGIBLE).astype(float) / _LEGIBLE) ** _STRICTNESS
    return np.asarray(np.expm1(-_LENIENCE * weights) / np.expm1(-_LENIENCE))


_samplers: dict[Path, Sampler] = {}


def load_sampler(checkpoints_dir: Path) -> Sampler:
    """Load the generators, once in a process. Raises CheckpointError for a missing or damaged checkpoint."""
    if checkpoints_dir not in _samplers:
        keep_sampler(checkpoints_dir, Sampler(Checkpoints(checkpoints_dir)))
    return _samplers[checkpoints_dir]


def keep_sampler(checkpoints_dir: Path, sampler: Sampler) -> None:
    """Make `load_sampler` return this one, or the one it has: on another machine the folder may not exist."""
    _samplers.setdefault(checkpoints_dir, sampler)

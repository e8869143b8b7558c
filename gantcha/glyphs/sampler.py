"""Glyphs of any classes from the trained generators."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from gantcha.alphabet import SIDE, GlyphClasses
from gantcha.glyphs.checkpoints import Checkpoints
from gantcha.glyphs.network import Network
from gantcha.glyphs.specks import specks

OVERSAMPLING = 1.4
"""Glyphs drawn for each one that captchas contain; the filter leaves the rest out."""
_LEGIBLE = 0.98  # a probability above which glyphs count as equally legible
_STRICTNESS = 30  # how steeply the chance of a glyph falls below that
_LEAST = 1e-30  # a probability, so that there is a logarithm
_EXACT = 1e-3  # relative error of chances
_SPECKED = 0.7  # of its probability is left to a glyph with specks


class Sampler:
    """The generators and the legibility filter."""

    def __init__(self, checkpoints: Checkpoints, *, partial: bool = False) -> None:
        """With `partial`, only `trained` classes can be drawn. Raises CheckpointError as `Checkpoints.load` does."""
        loaded = checkpoints.load(partial=partial)
        self.classes, self.filter = loaded.classes, loaded.filter
        self.trained = [c for c in self.classes if c.index in loaded.generators]
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

        Two fifths more glyphs of each class are drawn than asked for. Those that the filter is sure of have the same
        chance to be kept: to keep the surest ones would make all glyphs alike.
        """
        wanted = classes.ravel()
        counts = np.bincount(wanted, minlength=len(self.classes))
        labels = np.repeat(np.arange(len(self.classes), dtype=np.uint8), np.ceil(counts * OVERSAMPLING).astype(int))
        glyphs = self.draw(labels, rng, truncation)
        legible = np.empty((len(wanted), SIDE, SIDE), np.uint8)
        legible[np.argsort(wanted, kind="stable")] = self.choose_legible(glyphs, labels, counts, rng)
        return legible.reshape(*classes.shape, SIDE, SIDE)

    def choose_legible(
        self,
        glyphs: npt.NDArray[np.uint8],
        labels: npt.NDArray[np.uint8],
        counts: npt.NDArray[np.int64],
        rng: np.random.Generator,
    ) -> npt.NDArray[np.uint8]:
        """Choose `counts` `[C]` of each class from glyphs `[N, 28, 28]` whose labels `[N]` are sorted."""
        # The greatest of log chances plus Gumbel noise are a sample without replacement (Kool et al. 2019).
        sure = legibility(glyphs, labels, self.filter, self.classes).clip(_LEAST, _LEGIBLE)
        keys = _STRICTNESS * np.log(sure / _LEGIBLE) + rng.gumbel(size=len(labels))
        best_first = np.lexsort((-keys, labels))
        firsts = np.searchsorted(labels, labels)
        # In the order they were drawn in: otherwise the last captchas of a batch would get the least legible glyphs.
        kept = np.sort(best_first[np.arange(len(labels)) - firsts < counts[labels]])
        return glyphs[kept]


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
    """Return the chance that `Sampler.draw_legible` keeps each of N glyphs of one class, by their legibility `[N]`."""
    weights = (sure.clip(max=_LEGIBLE).astype(float) / _LEGIBLE) ** _STRICTNESS + _LEAST
    # Glyphs are kept that come first: so long, until enough have come (Efraimidis and Spirakis 2006).
    least, most = 1.0, 1 / _LEAST
    while most / least > 1 + _EXACT:
        time = (least * most) ** 0.5
        least, most = (time, most) if -np.expm1(-time * weights).mean() < 1 / OVERSAMPLING else (least, time)
    return np.asarray(-np.expm1(-least * weights))


_samplers: dict[Path, Sampler] = {}


def load_sampler(checkpoints_dir: Path) -> Sampler:
    """Load the generators, once in a process. Raises CheckpointError for a missing or damaged checkpoint."""
    if checkpoints_dir not in _samplers:
        keep_sampler(checkpoints_dir, Sampler(Checkpoints(checkpoints_dir)))
    return _samplers[checkpoints_dir]


def keep_sampler(checkpoints_dir: Path, sampler: Sampler) -> None:
    """Make `load_sampler` return this one, or the one it has: on another machine the folder may not exist."""
    _samplers.setdefault(checkpoints_dir, sampler)

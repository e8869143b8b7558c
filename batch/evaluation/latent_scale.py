"""The latent scale of each class: wider latents give more varied glyphs, until they no longer look like handwriting."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from threadpoolctl import threadpool_limits

from batch.evaluation.judge import ReferenceClassifier
from batch.evaluation.metrics import frechet_distance
from batch.glyphs.sampler import Sampler
from batch.images.labelled import LabelledImages

LATENT_SCALES = (1.0, 1.1, 1.2, 1.3, 1.4, 1.5)
_FARTHER = 1.2  # variety is worth a Frechet distance of so many times the least
_LESS_LEGIBLE = 0.028  # and so much of legibility


def widest(distances: Sequence[float], legibilities: Sequence[float]) -> float:
    """Choose the widest of the scales that is nearly as near to real images, and as legible, as the best."""
    near = [distance <= _FARTHER * min(distances) for distance in distances]
    legible = [legibility >= max(legibilities) - _LESS_LEGIBLE for legibility in legibilities]
    return max((scale for scale, *fits in zip(LATENT_SCALES, near, legible, strict=True) if all(fits)), default=1.0)


def choose_latent_scales(
    sampler: Sampler,
    judge: ReferenceClassifier,
    train: LabelledImages,
    per_class: int,
    seed: int,
    track: Callable[[Iterable[float]], Iterable[float]],
) -> dict[str, float]:
    """Choose a scale for each class, by name, from glyphs as captchas contain them: `per_class` of each scale."""
    classes, lookalikes = sampler.classes, sampler.classes.lookalikes
    labels = np.repeat(np.arange(len(classes), dtype=np.uint8), per_class)
    rng = np.random.default_rng(seed)
    reals = [judge.judge(rng.permutation(train.images[train.labels == c.index])[:per_class]).features for c in classes]
    distances, legibilities = [], []
    for scale in track(LATENT_SCALES):
        judged = judge.judge(sampler.draw_legible(labels, rng, scale))
        fakes = judged.features.reshape(len(classes), per_class, -1)
        with threadpool_limits(1, "blas"):  # threads make matrices this small ten times as slow
            distances.append([frechet_distance(real, fake) for real, fake in zip(reals, fakes, strict=True)])
        right = lookalikes[judged.classes] == lookalikes[labels]
        legibilities.append(right.reshape(len(classes), per_class).mean(1))
    measured = zip(classes, np.transpose(distances), np.transpose(legibilities), strict=True)
    return {c.name: widest(*of_class) for c, *of_class in measured}

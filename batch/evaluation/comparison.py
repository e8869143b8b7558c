"""Generated glyphs of one class against real ones."""

import numpy as np
import numpy.typing as npt

from batch.evaluation.judge import Judgement, ReferenceClassifier
from batch.evaluation.metrics import (
    density_and_coverage,
    frechet_distance,
    kernel_distance,
    nearest_distances,
    precision_and_recall,
)
from batch.evaluation.two_sample import TwoSampleTest
from gantcha.alphabet import GlyphClass, GlyphClasses
from gantcha.glyphs.sampler import Sampler, chances, legibility
from gantcha.glyphs.specks import specks

_DRAWS = 3  # for small test sets: means over so many draws of as many images
_TWO_SAMPLE_SIZE = 400
_LEAST = 20  # real images: so many of the surest ones, if the filter keeps fewer

Images = npt.NDArray[np.uint8]
Metrics = dict[str, float]


class Comparison:
    """Real glyphs of one class, and what generated ones are compared with them in."""

    def __init__(
        self,
        glyph_class: GlyphClass,
        classes: GlyphClasses,
        train: Images,
        test: Images,
        per_class: int,
        judge: ReferenceClassifier,
        two_sample_test: TwoSampleTest,
    ) -> None:
        """`per_class` glyphs are compared with the test images, or as many as there are of these."""
        self._index, self._classes = glyph_class.index, classes
        self._train, self._test, self._per_class = train, test, per_class
        self._judge, self._two_sample_test = judge, two_sample_test
        self._test_features = judge.judge(test).features
        self._count = min(len(train), len(test), per_class)

    def measure(self, fakes: Images, rng: np.random.Generator) -> Metrics:
        """Compare generated glyphs `[per_class, 28, 28]` with real ones."""
        judged = self._judge.judge(fakes)
        size = min(_TWO_SAMPLE_SIZE, len(fakes), len(self._train))
        one, other = (rng.choice(images, size, replace=False) for images in (self._train, fakes))
        return {
            **self._legibility(judged),
            **self._distances(judged.features, rng),
            "specks": float(specks(fakes).mean()),
            "nearest": self._nearest(fakes, rng),
            "two_sample": self._two_sample_test.accuracy(one, other, rng),
        }

    def measure_real(self, rng: np.random.Generator) -> Metrics:
        """Compare training images with the test images, as generated ones are compared with them."""
        return self._of_real(rng.permutation(self._train)[: self._per_class], self._test, rng)

    def measure_filtered(self, sampler: Sampler, rng: np.random.Generator) -> Metrics:
        """Compare those real images that captchas would contain, were they generated glyphs, with the test images.

        That is as near to real as the filter lets a generator come.
        """

        def legible(images: Images) -> Images:
            images = rng.permutation(images)
            labels = np.full(len(images), self._index, np.uint8)
            sure = legibility(images, labels, sampler.filter, self._classes)
            kept = rng.random(len(images)) < chances(sure)
            if kept.sum() < _LEAST:
                kept[np.argsort(-sure)[:_LEAST]] = True
            return images[kept][: self._per_class]

        return self._of_real(legible(self._train), legible(self._test), rng)

    def _of_real(self, train: Images, test: Images, rng: np.random.Generator) -> Metrics:
        return {
            # Legible is what the judge reads of images it has not seen; and each training image is its own nearest.
            **self._legibility(self._judge.judge(test)),
            **self._distances(self._judge.judge(train).features, rng),
            "specks": float(specks(test).mean()),
            "nearest": self._nearest(test, rng),
            "two_sample": 0.5,
        }

    def _legibility(self, judged: Judgement) -> Metrics:
        meanings = {"legibility": self._classes.meanings, "legibility_lookalikes": self._classes.lookalikes}
        return {
            name: float((meaning[judged.classes] == meaning[self._index]).mean()) for name, meaning in meanings.items()
        }

    def _distances(self, features: npt.NDArray[np.float32], rng: np.random.Generator) -> Metrics:
        count = min(self._count, len(features))
        real = self._test_features[:count]
        rows = []
        for _ in range(_DRAWS):
            draw = rng.choice(features, count, replace=False)
            rows.append(
                (
                    frechet_distance(real, draw),
                    kernel_distance(real, draw),
                    *precision_and_recall(real, draw),
                    *density_and_coverage(real, draw),
                )
            )
        names = ("frechet", "kernel", "precision", "recall", "density", "coverage")
        return dict(zip(names, np.mean(rows, axis=0).tolist(), strict=True))

    def _nearest(self, images: Images, rng: np.random.Generator) -> float:
        distances = nearest_distances(images, self._train)
        # From equally many: the 1st percentile of few distances is nearly their minimum.
        count = min(self._count, len(distances))
        firsts = [np.percentile(rng.choice(distances, count, replace=False), 1) for _ in range(_DRAWS)]
        return float(np.mean(firsts))

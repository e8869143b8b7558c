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

_DRAWS = 3  # for small test sets: means over so many draws of as many images
_TWO_SAMPLE_SIZE = 400

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
        self._judged_test = judge.judge(test)
        self._count = min(len(train), len(test), per_class)

    def measure(self, fakes: Images, rng: np.random.Generator) -> Metrics:
        """Compare generated glyphs `[per_class, 28, 28]` with real ones."""
        judged = self._judge.judge(fakes)
        size = min(_TWO_SAMPLE_SIZE, len(fakes), len(self._train))
        one, other = (rng.choice(images, size, replace=False) for images in (self._train, fakes))
        return {
            **self._legibility(judged),
            **self._distances(judged.features, rng),
            "nearest": self._nearest(fakes, rng),
            "two_sample": self._two_sample_test.accuracy(one, other, rng),
        }

    def measure_real(self, rng: np.random.Generator) -> Metrics:
        """Compare training images with the test images, as generated ones are compared with them."""
        chosen = rng.permutation(self._train)[: self._per_class]
        return {
            # Legible is what the judge reads of images it has not seen; and each training image is its own nearest.
            **self._legibility(self._judged_test),
            **self._distances(self._judge.judge(chosen).features, rng),
            "nearest": self._nearest(self._test, rng),
            "two_sample": 0.5,
        }

    def _legibility(self, judged: Judgement) -> Metrics:
        meanings = {"legibility": self._classes.meanings, "legibility_lookalikes": self._classes.lookalikes}
        return {
            name: float((meaning[judged.classes] == meaning[self._index]).mean()) for name, meaning in meanings.items()
        }

    def _distances(self, features: npt.NDArray[np.float32], rng: np.random.Generator) -> Metrics:
        real = self._judged_test.features[: self._count]
        rows = []
        for _ in range(_DRAWS):
            draw = rng.choice(features, self._count, replace=False)
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
        firsts = [np.percentile(rng.choice(distances, self._count, replace=False), 1) for _ in range(_DRAWS)]
        return float(np.mean(firsts))

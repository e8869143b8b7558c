"""An attack with a detector: a small network finds the glyphs that count among the pieces of a captcha."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from batch.training.classifier import compile_classifier, predict
from batch.training.networks import as_input
from batch.training.tensorflow import keras
from benchmarks.strength.preprocessing import Pictures, Preprocessing
from benchmarks.strength.segmentation import LEAST, NEVER, Classify, Spans, by_picture, find_spans, log_likelihoods
from gantcha.alphabet import SIDE
from gantcha.captcha import Captcha
from gantcha.drawing.crossing import MOST_DECOYS

_COUNTS, _CROSSED, _NO_GLYPH = range(3)
_ALIKE = 0.65  # of the columns of a span and of a glyph, together
_EPOCHS, _BATCH, _RATE = 3, 128, 3e-3
_CHUNK = 2000


class Detector:
    """Tell glyphs that count, glyphs that are crossed out and what is no glyph; a classifier reads the first."""

    def __init__(self, prepare: Preprocessing, usual_count: int) -> None:
        """`prepare` makes pictures of two levels; captchas show `usual_count` glyphs, more or less."""
        self._prepare, self._count = prepare, usual_count
        layers = keras.layers
        hidden = image = layers.Input((SIDE, SIDE, 1))
        for channels in (16, 32, 48):
            hidden = layers.Conv2D(channels, 3, padding="same", use_bias=False)(hidden)
            hidden = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(layers.MaxPooling2D()(hidden)))
        hidden = layers.Dense(64, activation="relu")(layers.Dropout(0.3)(layers.Flatten()(hidden)))
        self._model = keras.Model(image, layers.Dense(3)(hidden))

    def train(self, captchas: Sequence[Captcha], report: Callable[[float], Any]) -> None:
        """Learn from captchas with boxes; `report` is called with each finished share."""
        spans = [self._spans(captcha.picture) for captcha in captchas]
        images = np.concatenate([of.images for of in spans])
        scale = self._prepare.pixel_ratio / captchas[0].look.pixel_ratio
        labels = np.concatenate([_labels(of, captcha, scale) for of, captcha in zip(spans, captchas, strict=True)])
        rng = np.random.default_rng(1)
        steps = _EPOCHS * len(images) // _BATCH
        compile_classifier(self._model, _RATE, steps)
        for _ in range(steps):
            chosen = rng.integers(len(images), size=_BATCH)
            self._model.train_on_batch(as_input(images[chosen]), labels[chosen])
            report(1 / steps)

    def _spans(self, picture: npt.NDArray[np.uint8]) -> Spans:
        return find_spans(self._prepare.apply(picture[None])[0], self._count, self._prepare.pixel_ratio)

    def read(self, pictures: Pictures, count: int, alphabet: str, classify: Classify) -> list[str]:
        """Read the `count` characters that count."""
        spans = [self._spans(picture) for picture in pictures]
        logits = predict(self._model, np.concatenate([of.images for of in spans]), _CHUNK)
        parts = by_picture(np.log(softmax(logits, 1) + np.float32(LEAST)), spans)
        read = log_likelihoods(spans, alphabet, classify)
        symbols = np.array(sorted(set(alphabet)))
        chosen = [_choose(*one, count) for one in zip(spans, parts, read, strict=True)]
        return ["".join(symbols[of[numbers].argmax(1)]) for of, numbers in zip(read, chosen, strict=True)]


def detecting(
    prepare: Preprocessing,
    captchas: Sequence[Captcha],
    alphabet: str,
    classify: Classify,
    decoys: int,
    report: Callable[[float], Any],
) -> Callable[[Pictures], list[str]]:
    """Train a detector on captchas of one length, and give the attack."""
    length = len(captchas[0].characters) - sum(captchas[0].crossed_out)
    detector = Detector(prepare, length + decoys)
    detector.train(captchas, report)
    return partial(detector.read, count=length, alphabet=alphabet, classify=classify)


def _labels(spans: Spans, captcha: Captcha, scale: float) -> npt.NDArray[np.int64]:
    """Compare spans with the boxes of glyphs, which are `scale` times as big in the prepared picture: `[S]`."""
    boxes = scale * np.array(captcha.boxes)
    common = np.minimum(spans.edges[:, 1:], boxes[:, 2]) - np.maximum(spans.edges[:, :1], boxes[:, 0])
    together = np.maximum(spans.edges[:, 1:], boxes[:, 2]) - np.minimum(spans.edges[:, :1], boxes[:, 0])
    share = common / together
    kind = np.where(captcha.crossed_out, _CROSSED, _COUNTS)[share.argmax(1)]
    return np.where(share.max(1) >= _ALIKE, kind, _NO_GLYPH)


def _choose(spans: Spans, kinds: npt.NDArray[np.float32], read: npt.NDArray[np.float32], count: int) -> list[int]:
    """Choose spans that cover all pieces, `count` of them counting, the others crossed out; give those that count."""
    ends = max((end for _, end in spans.ends), default=0)
    best = np.full((count + 1, MOST_DECOYS + 1, ends + 1), NEVER)
    came_by = np.zeros(best.shape, int)
    best[0, 0, 0] = 0
    scores = np.stack([kinds[:, _COUNTS] + read.max(1, initial=NEVER), kinds[:, _CROSSED]], 1)
    for number, (start, end) in enumerate(spans.ends):
        for crossed, before, after in (
            (0, best[:-1, :, start], (slice(1, None), slice(None), end)),
            (1, best[:, :-1, start], (slice(None), slice(1, None), end)),
        ):
            longer = before + scores[number, crossed]
            better = longer > best[after]
            best[after] = np.where(better, longer, best[after])
            came_by[after] = np.where(better, 2 * number + crossed, came_by[after])
    chosen, counting, crossed_out = [], count, int(best[count, :, ends].argmax())
    if best[count, crossed_out, ends] <= NEVER / 2:
        return []
    while counting or crossed_out:
        number, crossed = divmod(int(came_by[counting, crossed_out, ends]), 2)
        ends = spans.ends[number][0]
        if crossed:
            crossed_out -= 1
        else:
            chosen.append(number)
            counting -= 1
    return chosen[::-1]

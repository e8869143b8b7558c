"""The baseline of the reference set: a CRNN that learns from some of its captchas at a quarter of their size."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from batch.recogniser import BATCH, COLUMN, Crnn, Lesson
from gantcha.frames import label_frames

SHRINK: Final = 4
_SHIFT = 2  # pixels up or down at that size: more captchas than there are


class Learnt(NamedTuple):
    """Captchas of a dataset that were read, in the size that the baseline sees."""

    pictures: npt.NDArray[np.uint8]
    """`[N, H, W]`"""
    labels: Sequence[Mapping[str, Any]]


def downsample(pictures: npt.NDArray[np.uint8], shrink: int = 2) -> npt.NDArray[np.uint8]:
    """Downsample grey pictures `[N, H, W]`: `[N, H / shrink, W / shrink]`."""
    count, height, width = pictures.shape[0], *(side // shrink for side in pictures.shape[1:])
    blocks = pictures[:, : height * shrink, : width * shrink].reshape(count, height, shrink, width, shrink)
    downsampled: npt.NDArray[np.uint8] = (blocks.sum((2, 4), np.uint16) // shrink**2).astype(np.uint8)
    return downsampled


def train_baseline(learnt: Learnt, alphabet: str, seconds: float, report: Callable[[float], Any]) -> Crnn:
    """Train for some processor time; `report` gets the seconds of each step."""
    baseline = Crnn(alphabet, seed=1, shrink=SHRINK)
    baseline.train(_lessons(learnt, "".join(sorted(alphabet)), np.random.default_rng(1)), report, seconds)
    return baseline


def _lessons(learnt: Learnt, alphabet: str, rng: np.random.Generator) -> Iterator[Lesson]:
    """Give the captchas in batches without end, each time in another order and moved up or down a little."""
    columns = -(-learnt.pictures.shape[2] * SHRINK // COLUMN)
    frames = np.stack(
        [
            label_frames(label["boxes"], label["characters"], label["crossed_out"], alphabet, columns, COLUMN)
            for label in learnt.labels
        ]
    )
    height = learnt.pictures.shape[1]
    around = np.pad(learnt.pictures, ((0, 0), (_SHIFT, _SHIFT), (0, 0)), "edge")
    while True:
        order = rng.permutation(len(frames))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            chosen, down = order[start : start + BATCH], rng.integers(2 * _SHIFT + 1)
            codes = [learnt.labels[number]["code"] for number in chosen.tolist()]
            yield Lesson(around[chosen, down : down + height], codes, frames[chosen])

"""Samples for TensorFlow, drawn while it trains."""

import secrets
from collections.abc import Iterator
from itertools import count
from typing import Any, Unpack

import tensorflow as tf

from gantcha.stream import EPOCH, Settings, samples


def dataset(
    worker: int = 0, workers: int = 1, *, seed: int | None = None, start: int = 0, **settings: Unpack[Settings]
) -> Any:
    """Return an endless `tf.data.Dataset` of pictures `[height, width, 1]`, uint8, and codes, of `gantcha.samples`.

    Of several `workers` with one `seed`, such as the pipelines of a `tf.distribute` strategy, each has its own samples.
    Each epoch, which is one iteration of the dataset, goes on with other samples; `start` is the number of its first.

    Raises:
        GantchaError: a setting is invalid.
    """
    samples(seed=seed, worker=worker, workers=workers, start=start, **settings)  # not told by a thread of TensorFlow
    chosen, epochs = secrets.randbits(63) if seed is None else seed, count()

    def pairs() -> Iterator[tuple[Any, str]]:
        first = next(epochs) * EPOCH + start
        for sample in samples(seed=chosen, worker=worker, workers=workers, start=first, **settings):
            yield sample.picture[:, :, None], sample.code

    signature = (tf.TensorSpec((None, None, 1), tf.uint8), tf.TensorSpec((), tf.string))
    return tf.data.Dataset.from_generator(pairs, output_signature=signature)

"""Samples for TensorFlow, drawn while it trains."""

from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from gantcha.stream import samples


def dataset(worker: int = 0, workers: int = 1, **settings: Any) -> Any:
    """Return an endless `tf.data.Dataset` of pictures `[height, width, 1]`, uint8, and codes, of `gantcha.samples`.

    Of several `workers` with one `seed`, such as the pipelines of a `tf.distribute` strategy, each has its own samples.

    Raises:
        GantchaError: a setting is invalid.
    """
    samples(worker=worker, workers=workers, **settings)  # a fault is told here, not by a thread of TensorFlow

    def pairs() -> Iterator[tuple[Any, str]]:
        for sample in samples(worker=worker, workers=workers, **settings):
            yield sample.picture[:, :, None], sample.code

    signature = (tf.TensorSpec((None, None, 1), tf.uint8), tf.TensorSpec((), tf.string))
    return tf.data.Dataset.from_generator(pairs, output_signature=signature)

"""TensorFlow and Keras, imported without the greetings that TensorFlow writes to stderr past its own log level."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def _stderr_shut() -> Iterator[None]:
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


# It also reports on its graph optimiser as if that were the user's error; its exceptions tell enough.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # the first process would take all memory of a GPU
with _stderr_shut():
    import keras
    import tensorflow as tf

tf.get_logger().setLevel("ERROR")  # each class has a graph of its own, and it warns of many

__all__ = ["keras", "tf", "use_one_thread"]


def use_one_thread() -> None:
    """Keep TensorFlow to one core, where processes work side by side."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)

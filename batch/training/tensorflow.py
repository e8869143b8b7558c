"""TensorFlow and Keras, imported without the greetings that TensorFlow writes to stderr past its own log level."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from pool.errors import GantchaError


class TrainingPackagesError(GantchaError):
    """TensorFlow is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "TensorFlow is missing, and training and measuring need it: pip install -r requirements-train.txt"
        )


class _Missing:
    """Stands in for TensorFlow where it is not installed, so that the commands can still show their `--help`."""

    def __getattr__(self, name: str) -> "_Missing":
        return self

    def __or__(self, other: object) -> "_Missing":
        return self

    def __mro_entries__(self, bases: object) -> tuple[type, ...]:
        return ()

    def __call__(self, *_: object, **__: object) -> NoReturn:
        raise TrainingPackagesError


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
with _stderr_shut():
    try:
        import keras
        import tensorflow as tf
    except ModuleNotFoundError as error:
        if error.name not in ("keras", "tensorflow"):
            raise
        keras = tf = _Missing()

__all__ = ["keras", "require_tensorflow", "tf", "use_one_thread"]


def require_tensorflow() -> None:
    """Fail before any work where TensorFlow is not installed.

    Raises:
        TrainingPackagesError: it is not.
    """
    if isinstance(tf, _Missing):
        raise TrainingPackagesError


def use_one_thread() -> None:
    """Keep TensorFlow to one core, where processes work side by side."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)

"""What training and measuring need beyond drawing is imported late: `--help` shows without it, and in a moment."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

from gantcha.errors import GantchaError
from gantcha.home import cure


class TrainingPackagesError(GantchaError):
    """A package of `requirements-train.txt` is not installed."""


@contextmanager
def training_packages() -> Iterator[None]:
    """Import TensorFlow, and whatever the block imports.

    Raises:
        TrainingPackagesError: a package is not installed.
    """
    try:
        import_module("batch.training.tensorflow")
        yield
    except ModuleNotFoundError as error:
        name = "TensorFlow" if error.name in ("keras", "tensorflow") else error.name
        raise TrainingPackagesError(
            f"{name} is missing, and training and measuring need it: {cure('train')}"
        ) from error

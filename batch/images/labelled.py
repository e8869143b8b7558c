"""Images of glyphs with their classes."""

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from gantcha.alphabet import BYMERGE, GlyphClasses
from gantcha.errors import GantchaError

EMNIST = "EMNIST ByMerge"
Split = Literal["train", "test"]


class ImagesError(GantchaError):
    """A file of images is missing, or not what its format says."""


class LabelledImages(NamedTuple):
    """One split, upright."""

    images: npt.NDArray[np.uint8]
    """`[N, 28, 28]`, bright stroke on black."""
    labels: npt.NDArray[np.uint8]
    """`[N]`, indices of the classes."""
    digest: str
    """sha256 that tells the data of trainings apart."""
    classes: GlyphClasses = BYMERGE
    name: str = EMNIST
    """what the data is, for the manifest"""

    def counts(self) -> npt.NDArray[np.int64]:
        """Count the images of each class: `[C]`."""
        return np.bincount(self.labels, minlength=len(self.classes))

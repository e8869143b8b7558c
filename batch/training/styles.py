"""The styles of one glyph class, found by clustering its images: a g with a loop, a g with a hook."""

import numpy as np
import numpy.typing as npt
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from gantcha.alphabet import SIDE

_COMPONENTS = 16
_RESTARTS = 4


def cluster_styles(images: npt.NDArray[np.uint8], style_count: int, seed: int) -> npt.NDArray[np.int32]:
    """Assign each of `[N, 28, 28]` images to one of `style_count` clusters: `[N]`.

    The images are compared by their principal components at half size, so that strokes count and not pixels.
    """
    half = images.reshape(-1, SIDE // 2, 2, SIDE // 2, 2).mean((2, 4)).reshape(len(images), -1) / 255
    points = PCA(_COMPONENTS, random_state=seed).fit_transform(half)
    assignment: npt.NDArray[np.int32] = KMeans(style_count, n_init=_RESTARTS, random_state=seed).fit_predict(points)
    return assignment

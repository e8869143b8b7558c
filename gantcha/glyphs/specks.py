"""Specks of ink, such as generators leave and hands do not."""

import cv2
import numpy as np
import numpy.typing as npt

_INKED = 64  # of 255
_MOST = 10  # pixels; the dot of an i has more
_BLOCK = 500  # images at once: OpenCV takes more than ten times their size


def specks(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Return which of `[N, H, W]` have a speck, apart from the strokes: `[N]`."""
    blocks = (images[first : first + _BLOCK] for first in range(0, max(len(images), 1), _BLOCK))
    return np.concatenate([_specks(block) for block in blocks])


def _specks(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    count, height, width = images.shape
    page = np.zeros((count, height + 1, width), np.uint8)  # one below the other, a line between them
    np.greater(images, _INKED, out=page[:, :-1], casting="unsafe")
    grana = cv2.CCL_GRANA  # the quickest by far
    _, _, shapes, _ = cv2.connectedComponentsWithStatsWithAlgorithm(page.reshape(-1, width), 8, cv2.CV_32S, grana)
    shapes = shapes[1:]  # without the paper
    small = shapes[shapes[:, cv2.CC_STAT_AREA] <= _MOST]
    specked = np.zeros(count, bool)
    specked[small[:, cv2.CC_STAT_TOP] // (height + 1)] = True
    return specked

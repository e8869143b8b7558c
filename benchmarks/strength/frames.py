"""Labels of frames: what a network has to say at each column of a captcha whose characters' places are known."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gantcha.captcha import Captcha

_REACH = 0.3  # of a box's width


def label_frames(captchas: Sequence[Captcha], alphabet: str, column: int) -> npt.NDArray[np.int64]:
    """Label each column of `column` pixels of single density: `[N, columns]`, 1 + the place in the sorted alphabet.

    That is the character whose box's middle is within 0.3 of its width, if it counts; all else is 0, the blank.
    """
    symbols = np.array(sorted(set(alphabet)))
    column *= captchas[0].look.pixel_ratio
    middles = column * (0.5 + np.arange(-(-captchas[0].picture.shape[1] // column)))[:, None]
    labels = np.zeros((len(captchas), len(middles)), np.int64)
    for columns, captcha in zip(labels, captchas, strict=True):
        left, _, right, _ = np.array(captcha.boxes).T
        distances = np.abs(middles - (left + right) / 2) / (right - left)
        shown = np.where(captcha.crossed_out, 0, 1 + np.searchsorted(symbols, list(captcha.characters)))
        columns[:] = np.where(distances.min(1) <= _REACH, shown[distances.argmin(1)], 0)
    return labels

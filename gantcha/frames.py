"""Labels of frames: what a network has to say at each column of a captcha whose characters have known places.

A network that learns these first learns to read with CTC in a tenth of the time (see `examples/train_ctc.py`).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_REACH = 0.3  # of a box's width
_Box = Sequence[float]


def label_frames(
    boxes: Sequence[_Box], characters: str, crossed_out: Sequence[bool], alphabet: str, columns: int, width: float
) -> npt.NDArray[np.int64]:
    """Label each of so many columns of a picture, each `width` pixels wide: 1 + the place in the alphabet, or 0.

    A column shows a character if the middle of its box is within 0.3 of the box's width, unless it is crossed out; all
    else is 0, the blank of CTC. `boxes`, `characters` and `crossed_out` are those of a `Captcha` or of a dataset.
    """
    left, _, right, _ = np.array(boxes, float).T
    middles = width * (0.5 + np.arange(columns))[:, None]
    distances = np.abs(middles - (left + right) / 2) / (right - left)
    shown = [
        0 if out else 1 + alphabet.index(character) for character, out in zip(characters, crossed_out, strict=True)
    ]
    return np.where(distances.min(1) <= _REACH, np.array(shown)[distances.argmin(1)], 0)

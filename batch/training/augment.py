"""More images of a scarce glyph class, by small changes of slant and curve such as a hand makes."""

import cv2
import numpy as np
import numpy.typing as npt

from gantcha.alphabet import SIDE

_TURN = 0.1  # radians, either way
_SHEAR = 0.12
_BEND = 1.0  # pixels, either way, at each point of a coarse grid
_POINTS = 4  # of the grid, along each side
_INKED = 40  # of 255
_CENTRE = (SIDE - 1) / 2

Images = npt.NDArray[np.uint8]


def augment(images: Images, rng: np.random.Generator) -> Images:
    """Distort each of `[N, 28, 28]` a little: `[N, 28, 28]`.

    The ink fills the same box as before, since EMNIST fits every image into a box.
    """
    turn, shear = (rng.uniform(-most, most, len(images)) for most in (_TURN, _SHEAR))
    bends = rng.uniform(-_BEND, _BEND, (len(images), 2, _POINTS, _POINTS)).astype(np.float32)
    rows, columns = np.mgrid[:SIDE, :SIDE] - _CENTRE
    distorted = np.empty_like(images)
    for image, angle, slant, bend, place in zip(images, turn, shear, bends, distorted, strict=True):
        across, down = (cv2.resize(pull, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) for pull in bend)
        x = np.cos(angle) * columns + (np.sin(angle) + slant) * rows + _CENTRE + across
        y = np.cos(angle) * rows - np.sin(angle) * columns + _CENTRE + down
        warped = cv2.remap(image, x.astype(np.float32), y.astype(np.float32), cv2.INTER_CUBIC)
        back = np.stack([_fit(_extent(warped, axis), _extent(image, axis), axis) for axis in (0, 1)])
        cv2.warpAffine(warped, back, (SIDE, SIDE), dst=place, flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)
    return distorted


def _extent(image: Images, axis: int) -> tuple[float, float]:
    """Return where the ink begins and ends along axis 0 (across) or 1 (down); the whole side where there is none."""
    inked = np.flatnonzero(image.max(axis) > _INKED)
    return (inked[0] - 0.5, inked[-1] + 0.5) if len(inked) else (-0.5, SIDE - 0.5)


def _fit(source: tuple[float, float], target: tuple[float, float], axis: int) -> npt.NDArray[np.float64]:
    """Row of an affine matrix that takes places of the `target` extent to those of the `source`."""
    scale = (source[1] - source[0]) / (target[1] - target[0])
    return np.array([scale * (axis == 0), scale * (axis == 1), source[0] - scale * target[0]])

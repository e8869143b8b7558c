"""An attack without a captcha solver: cut captchas into glyphs that a classifier of EMNIST reads."""

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from scipy.signal import find_peaks

from batch.ctc import Decoded
from benchmarks.strength.preprocessing import Pictures
from gantcha.alphabet import BYMERGE, SIDE

Piece = npt.NDArray[np.bool_]
"""`[H, W]`: where its ink is"""
Classify = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]
"""Glyphs `[N, 28, 28]` -> probabilities of the 47 classes `[N, 47]`"""

_INK = 128  # of pictures after a threshold
_SPECK = 25  # pixels of ink that are no glyph, at single density, as the next two
_LOW = 14  # pixels of height: a stroke, no glyph
_NARROW = 6  # columns
_PIECES = 4  # of a glyph, at most
_BORDER = 2  # of EMNIST's images
_SOFTNESS = 0.7  # pixels: edges as in EMNIST
_UNEVEN = 2.0  # cost of a glyph e times as wide as usual, in units of log probability
LEAST = 1e-4  # of a probability
NEVER = -1e9


def cut_into_pieces(picture: npt.NDArray[np.uint8], count: int, pixel_ratio: float = 1) -> list[Piece]:
    """Cut a picture `[H, W]` of two levels into pieces, from left to right: parts of a glyph, not of two.

    Connected components of the ink are cut at the emptiest columns of each; if there are still fewer than `count`, the
    widest are halved.
    """
    speck, low, narrow = _SPECK * pixel_ratio**2, _LOW * pixel_ratio, _NARROW * pixel_ratio
    found, labels, stats, _ = cv2.connectedComponentsWithStats((picture < _INK).astype(np.uint8))
    pieces = []
    for label in range(1, found):
        if stats[label, cv2.CC_STAT_AREA] >= speck and stats[label, cv2.CC_STAT_HEIGHT] >= low:
            ink = labels == label
            edge, width = stats[label, cv2.CC_STAT_LEFT], stats[label, cv2.CC_STAT_WIDTH]
            valleys = edge + find_peaks(-ink.sum(0)[edge : edge + width], distance=narrow, prominence=1)[0]
            pieces += _cut(ink, [v for v in valleys if narrow <= v - edge <= width - narrow])
    while 0 < len(pieces) < count:
        pieces.sort(key=lambda piece: np.ptp(np.flatnonzero(piece.any(0))))
        columns = np.flatnonzero(pieces[-1].any(0))
        if len(columns) < 2:
            break
        pieces += _cut(pieces.pop(), [int(columns[len(columns) // 2])])
    return sorted(pieces, key=lambda piece: float(piece.sum(0) @ np.arange(piece.shape[1]) / piece.sum()))


def _cut(piece: Piece, columns: list[int]) -> list[Piece]:
    bounds = [0, *columns, piece.shape[1]]
    across = np.arange(piece.shape[1])
    parts = [piece & (across >= left) & (across < right) for left, right in pairwise(bounds)]
    return [part for part in parts if part.any()]


def frame(piece: Piece) -> npt.NDArray[np.uint8]:
    """Set ink into an image as EMNIST does: `[28, 28]`, bright on black, its longer side 24 pixels."""
    left, top, width, height = cv2.boundingRect(piece.astype(np.uint8))
    scale = (SIDE - 2 * _BORDER) / max(width, height)
    across, down = max(round(width * scale), 1), max(round(height * scale), 1)
    glyph = piece[top : top + height, left : left + width].astype(np.uint8) * 255
    image, x, y = np.zeros((SIDE, SIDE), np.uint8), (SIDE - across) // 2, (SIDE - down) // 2
    image[y : y + down, x : x + across] = cv2.resize(glyph, (across, down), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(image, (0, 0), _SOFTNESS), np.uint8)


class Spans(NamedTuple):
    """The S runs of neighbouring pieces of a picture that may be glyphs."""

    ends: list[tuple[int, int]]
    """first piece of each run and the one after its last; sorted by the first"""
    images: npt.NDArray[np.uint8]
    """`[S, 28, 28]`"""
    edges: npt.NDArray[np.int64]
    """`[S, 2]`, the columns where its ink begins and ends"""
    priors: npt.NDArray[np.float32]
    """`[S]`, log probabilities of their widths"""


def find_spans(picture: npt.NDArray[np.uint8], count: int, pixel_ratio: float = 1) -> Spans:
    """Join the pieces of a picture of two levels, which shows `count` glyphs, in all ways that may be glyphs."""
    pieces = cut_into_pieces(picture, count, pixel_ratio)
    ends = [(a, b) for a in range(len(pieces)) for b in range(a + 1, min(a + _PIECES, len(pieces)) + 1)]
    joined = [np.any(pieces[a:b], axis=0) for a, b in ends]
    columns = [np.flatnonzero(glyph.any(0)) for glyph in joined]
    edges = np.array([(inked[0], inked[-1] + 1) for inked in columns], np.int64).reshape(-1, 2)
    usual = np.any(pieces, axis=(0, 1)).sum() / count if pieces else 1
    priors = -_UNEVEN * np.square(np.log(np.diff(edges)[:, 0] / usual))
    images = np.array([frame(glyph) for glyph in joined], np.uint8).reshape(-1, SIDE, SIDE)
    return Spans(ends, images, edges, priors.astype(np.float32))


def read_segments(pictures: Pictures, count: int, alphabet: str, classify: Classify, pixel_ratio: float = 1) -> Decoded:
    """Read pictures of two levels: pieces are joined into `count` glyphs, about equally wide, that are read surest."""
    spans = [find_spans(picture, count, pixel_ratio) for picture in pictures]
    likelihoods = log_likelihoods(spans, alphabet, classify)
    chosen = np.stack(
        [_join(of.ends, read + of.priors[:, None], count) for of, read in zip(spans, likelihoods, strict=True)]
    )
    surest = chosen.max(2)
    return Decoded(chosen.argmax(2), np.exp(surest), surest.sum(1))


def log_likelihoods(spans: list[Spans], alphabet: str, classify: Classify) -> list[npt.NDArray[np.float32]]:
    """Read each span as a glyph: for each picture, log probabilities `[S, A]` of the sorted alphabet's characters."""
    images = np.concatenate([of.images for of in spans])
    of_symbol = BYMERGE.meanings[:, None] == [ord(symbol) for symbol in sorted(set(alphabet))]
    shares = classify(images) @ of_symbol.astype(np.float32) if len(images) else np.empty((0, of_symbol.shape[1]))
    read = np.log(shares + np.float32(LEAST)).astype(np.float32)
    return by_picture(read, spans)


def by_picture(values: npt.NDArray[np.float32], spans: list[Spans]) -> list[npt.NDArray[np.float32]]:
    """Divide what belongs to the spans of all pictures, one after another, among the pictures."""
    return np.split(values, np.cumsum([len(of.ends) for of in spans])[:-1])


def _join(spans: list[tuple[int, int]], read: npt.NDArray[np.float32], count: int) -> npt.NDArray[np.float32]:
    """Choose `count` spans that follow each other and cover all pieces; give what each is read as: `[count, A]`."""
    ends = max((end for _, end in spans), default=0)
    best, came_by = np.full((count + 1, ends + 1), NEVER), np.zeros((count + 1, ends + 1), int)
    best[0, 0] = 0
    for number, (start, end) in enumerate(spans):  # by their first piece, so all that end at `start` came before
        longer = best[:-1, start] + read[number].max()
        better = np.append(False, longer > best[1:, end])
        best[better, end], came_by[better, end] = longer[better[1:]], number
    if best[count, ends] <= NEVER / 2:
        return np.full((count, read.shape[1]), np.log(LEAST), np.float32)
    chosen = []
    for glyph in range(count, 0, -1):
        chosen.append(came_by[glyph, ends])
        ends = spans[chosen[-1]][0]
    return read[chosen[::-1]]

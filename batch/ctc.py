"""Decoding of a CTC network's output when the number of symbols is known."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

LogProbabilities = npt.NDArray[np.float32]
"""`[N, T, 1 + A]`: natural logarithms for each picture, column and symbol; the first symbol is the blank"""

_CHUNK = 100  # pictures: bounds the memory
_NEVER = np.float32(-1e9)


class Decoded(NamedTuple):
    """The likeliest texts of a given length."""

    symbols: npt.NDArray[np.int64]
    """`[N, n]`, 0 to A - 1"""
    confidence: npt.NDArray[np.float32]
    """`[N, n]`: probability of each symbol given all the others"""
    score: npt.NDArray[np.float32]
    """`[N]`: logarithm of the text's probability over all its alignments; below -1e8 if it does not fit"""


def decode(log_probabilities: LogProbabilities, count: int, width: int = 8) -> Decoded:
    """Find the likeliest text of exactly `count` symbols by prefix beam search (Hannun et al. 2014).

    The beam keeps the `width` best prefixes of each length, so that short ones do not crowd out long ones.
    """
    parts = np.split(log_probabilities, range(_CHUNK, len(log_probabilities), _CHUNK))
    decoded = [_with_confidence(part, _search(part, count, width)) for part in parts]
    return Decoded(*map(np.concatenate, zip(*decoded, strict=True)))


def drop_least_certain(decoded: Decoded, dropped: int) -> npt.NDArray[np.int64]:
    """Leave out the `dropped` least certain symbols of each text, as where some characters do not count."""
    kept = np.sort(np.argsort(-decoded.confidence, axis=1, kind="stable")[:, : decoded.symbols.shape[1] - dropped])
    return np.take_along_axis(decoded.symbols, kept, 1)


def score_texts(log_probabilities: LogProbabilities, texts: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Return the log probability of `[N, K, n]` symbols, over all alignments (Graves et al. 2006): `[N, K]`."""
    count, options, length = texts.shape
    states = np.zeros((count, options, 2 * length + 1), np.int64)  # blanks around and between the symbols
    states[..., 1::2] = 1 + texts
    skips = np.zeros(states.shape, bool)
    skips[..., 3::2] = texts[..., 1:] != texts[..., :-1]
    forward = np.full(states.shape, _NEVER)
    forward[..., 0] = 0
    pictures = np.arange(count)[:, None, None]
    for column in range(log_probabilities.shape[1]):
        reached = forward.copy()
        reached[..., 1:] = np.logaddexp(reached[..., 1:], forward[..., :-1])
        reached[..., 2:] = np.logaddexp(reached[..., 2:], np.where(skips[..., 2:], forward[..., :-2], _NEVER))
        forward = reached + log_probabilities[pictures, column, states]
    ended: npt.NDArray[np.float32] = np.logaddexp(forward[..., -1], forward[..., -2])
    return ended


def _search(log_probabilities: LogProbabilities, count: int, width: int) -> npt.NDArray[np.int64]:
    size = log_probabilities.shape[2] - 1
    shape = (len(log_probabilities), count + 1, width)
    # By length: prefixes as numbers in base A, and their log probability by whether the path ends on a blank.
    texts, on_blank, on_symbol = np.full(shape, -1), np.full(shape, _NEVER), np.full(shape, _NEVER)
    texts[:, 0, 0], on_blank[:, 0, 0] = 0, 0
    pictures = np.arange(shape[0])[:, None, None]
    for column in log_probabilities.transpose(1, 0, 2):
        total, last = np.logaddexp(on_blank, on_symbol), texts % size
        repeats = np.arange(size) == last[..., None]
        repeats[:, 0] = False
        grown = np.where(repeats, on_blank[..., None], total[..., None])[:, :-1] + column[:, None, None, 1:]
        on_symbol = on_symbol + column[pictures, 1 + last]
        on_blank = total + column[:, :1, None]
        # What a prefix grows into may be in the beam already: it counts there, and not as new.
        known = (texts[:, 1:, :, None] >= 0) & (texts[:, :-1, None] == texts[:, 1:, :, None] // size)
        picture, shorter, child, parent = np.nonzero(known)
        place, came_from = (picture, shorter + 1, child), (picture, shorter, parent, last[picture, shorter + 1, child])
        on_symbol[place] = np.logaddexp(on_symbol[place], grown[came_from])
        grown[came_from] = _NEVER
        # Keep the best of old and new prefixes of each length.
        grown_texts = np.where(texts[:, :-1, :, None] < 0, -1, texts[:, :-1, :, None] * size + np.arange(size))
        rows = (shape[0], count, width * size)
        all_texts = np.concatenate([texts[:, 1:], grown_texts.reshape(rows)], 2)
        all_blank = np.concatenate([on_blank[:, 1:], np.full(rows, _NEVER)], 2)
        all_symbol = np.concatenate([on_symbol[:, 1:], grown.reshape(rows)], 2)
        best = np.argpartition(-np.logaddexp(all_blank, all_symbol), width - 1, 2)[..., :width]
        texts[:, 1:], on_blank[:, 1:], on_symbol[:, 1:] = (
            np.take_along_axis(kept, best, 2) for kept in (all_texts, all_blank, all_symbol)
        )
        on_symbol[:, 0] = _NEVER
    best = np.logaddexp(on_blank, on_symbol)[:, count].argmax(1)
    numbers = np.maximum(texts[np.arange(shape[0]), count, best], 0)
    found: npt.NDArray[np.int64] = numbers[:, None] // size ** np.arange(count - 1, -1, -1) % size
    return found


def _with_confidence(log_probabilities: LogProbabilities, symbols: npt.NDArray[np.int64]) -> Decoded:
    length, size = symbols.shape[1], log_probabilities.shape[2] - 1
    replaced = np.tile(symbols[:, None, None], (1, length, size, 1))
    for place in range(length):
        replaced[:, place, :, place] = np.arange(size)
    scores = score_texts(log_probabilities, replaced.reshape(len(symbols), -1, length)).reshape(-1, length, size)
    own = np.take_along_axis(scores, symbols[..., None], 2)[..., 0]
    return Decoded(symbols, np.exp(own - np.logaddexp.reduce(scores, 2)), own[:, 0])

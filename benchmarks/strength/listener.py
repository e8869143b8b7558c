"""A network that learns to hear codes: convolutions over a spectrogram, a recurrent layer, and CTC."""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from batch.ctc import decode
from batch.training.tensorflow import keras, tf

BANDS = 32
_FRAME, _HOP = 256, 160  # samples: 23 ms, every 15 ms
_LOWEST = 100  # Hz
_FLOOR = 1e-4  # of the power: quieter is silence
_CHANNELS = 128
_CONVOLUTIONS = ((5, 2), (5, 2), (3, 2), (3, 1))  # size, stride; along time only, which is a third of the work
_COLUMN = 8 * _HOP  # samples: what the strides leave of time
_UNITS = 96
_BATCH, _CHUNK = 32, 100
_RATE = 2e-3
_WARM_UP = 0.05  # share of the time
_TOLD = 0.6  # share of the time in which the network is told where the characters are
_MIDDLE = 0.3  # share of a character around its middle that stands for it
_SHIFTS, _MASKED_FRAMES, _MASKED_BANDS = 16, 30, 6

Spectrogram = npt.NDArray[np.float16]
"""`[T, bands]`: logarithms of power, with a mean of 0"""
Spectrograms = npt.NDArray[np.float16]
"""`[N, T, bands]`"""


class Lessons(NamedTuple):
    """Labelled sounds."""

    spectrograms: Spectrograms
    codes: Sequence[str]
    places: npt.NDArray[np.int64]
    """`[N, n, 2]`: the first sample of each character, and the one after its last"""


def spectrogram(samples: npt.NDArray[np.float32], rate: int) -> Spectrogram:
    """Return the mel spectrogram of `[T]` samples."""
    windows = np.lib.stride_tricks.sliding_window_view(samples, _FRAME)[::_HOP]
    power = np.abs(np.fft.rfft(windows * np.hanning(_FRAME), axis=1)) ** 2
    logarithms = np.log(power @ _mel_filters(rate) + _FLOOR)
    normal: Spectrogram = (logarithms - logarithms.mean()).astype(np.float16)
    return normal


def pad(spectrograms: Sequence[Spectrogram], frames: int) -> Spectrograms:
    """Cut or lengthen spectrograms to so many frames, at least."""
    frames += -frames % (_COLUMN // _HOP)
    together = np.empty((len(spectrograms), frames, BANDS), np.float16)
    for row, one in zip(together, spectrograms, strict=True):
        row[:] = one.min()
        row[: len(one)] = one[:frames]
    return together


@cache
def _mel_filters(rate: int) -> npt.NDArray[np.float64]:
    """Return triangles that are equally wide on the mel scale (Stevens and Volkmann 1940): `[frequencies, bands]`."""
    lowest, highest = (2595 * np.log10(1 + hertz / 700) for hertz in (_LOWEST, rate / 2))
    edges = 700 * (10 ** (np.linspace(lowest, highest, BANDS + 2) / 2595) - 1)
    frequencies = np.fft.rfftfreq(_FRAME, 1 / rate)[:, None]
    rising = (frequencies - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - frequencies) / np.diff(edges)[1:]
    return np.maximum(np.minimum(rising, falling), 0)


def make_listener_model(frames: int, alphabet_size: int) -> keras.Model:
    """Build the network: `[N, frames, bands]` -> logits `[N, frames / 8, 1 + alphabet_size]`, blank first."""
    layers = keras.layers
    sound = layers.Input((frames, BANDS))
    hidden = sound
    for size, stride in _CONVOLUTIONS:
        hidden = layers.Conv1D(_CHANNELS, size, stride, padding="same", use_bias=False)(hidden)
        hidden = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(hidden))
    hidden = layers.Bidirectional(layers.GRU(_UNITS, return_sequences=True))(layers.Dropout(0.2)(hidden))
    return keras.Model(sound, layers.Dense(1 + alphabet_size)(layers.Dropout(0.2)(hidden)))


class Listener:
    """A network trained on labelled sounds."""

    def __init__(self, alphabet: str, seed: int) -> None:
        self._alphabet, self._seed = np.array(sorted(set(alphabet))), seed

    def train(self, lessons: Lessons, report: Callable[[float], Any], seconds: float) -> None:
        """Train for some processor time; `report` gets the seconds of each step.

        At first each column of the output is told its character, or that it has none: with CTC alone a network waits
        for long before it learns anything. Then CTC (Graves et al. 2006) lets it choose the places itself.
        """
        keras.utils.set_random_seed(self._seed)
        symbols = 1 + np.searchsorted(self._alphabet, np.array([list(code) for code in lessons.codes]))
        self._length = symbols.shape[1]
        self._model = make_listener_model(lessons.spectrograms.shape[1], len(self._alphabet))
        columns = _column_labels(symbols, lessons.places, self._model.output_shape[1])
        by_column = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self._model.compile(keras.optimizers.AdamW(_RATE, clipnorm=1.0), by_column, jit_compile=False)
        started = reported = time.process_time()
        is_told = True
        for chosen, shifts, spectrograms in _batches(lessons.spectrograms, np.random.default_rng(self._seed)):
            done = (reported - started) / seconds
            if done >= 1:
                break
            if is_told and done >= _TOLD:
                is_told = False
                self._model.compile(self._model.optimizer, keras.losses.CTC(), jit_compile=False)
            self._model.optimizer.learning_rate = (
                _RATE * min(done / _WARM_UP + 0.05, 1) * (1 + np.cos(np.pi * done)) / 2
            )
            labels = _shifted(columns[chosen], shifts) if is_told else symbols[chosen]
            self._model.train_on_batch(spectrograms, labels)
            now = time.process_time()
            report(now - reported)
            reported = now

    def hear(self, spectrograms: Spectrograms) -> list[str]:
        """Read as many characters as the codes of the lessons have."""
        parts = np.split(spectrograms, range(_CHUNK, len(spectrograms), _CHUNK))
        logits = np.concatenate([self._model.predict_on_batch(part.astype(np.float32)) for part in parts])
        decoded = decode(tf.nn.log_softmax(logits).numpy(), self._length)
        return ["".join(characters) for characters in self._alphabet[decoded.symbols]]


def _column_labels(
    symbols: npt.NDArray[np.int64], places: npt.NDArray[np.int64], columns: int
) -> npt.NDArray[np.int64]:
    """Return the symbol whose middle each column hears, else 0: `[N, columns]`."""
    middles = (np.arange(columns) + 0.5) * _COLUMN
    first, last = places[..., :1], places[..., 1:]  # [N, n, 1]
    reach = np.maximum(_MIDDLE * (last - first), _COLUMN / 2)
    is_heard = np.abs(middles - (first + last) / 2) <= reach
    labels: npt.NDArray[np.int64] = np.where(is_heard, symbols[..., None], 0).max(1)
    return labels


def _shifted(labels: npt.NDArray[np.int64], frames: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    columns = np.arange(labels.shape[1]) - np.round(frames[:, None] * _HOP / _COLUMN).astype(int)
    return np.take_along_axis(labels, columns % labels.shape[1], 1)


def _batches(
    spectrograms: Spectrograms, rng: np.random.Generator
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]]:
    """Draw batches without end: their numbers, how many frames later they are, and spectrograms `[N, T, bands]`.

    They are shifted in time and a band up or down, and a stretch and some bands are blotted out (Park et al. 2019).
    """
    frames = spectrograms.shape[1]
    while True:
        chosen = rng.integers(len(spectrograms), size=_BATCH)
        later, higher = rng.integers(-_SHIFTS, _SHIFTS + 1, _BATCH), rng.integers(-1, 2, _BATCH)
        batch = np.stack(
            [
                np.roll(spectrograms[number], shift, (0, 1))
                for number, shift in zip(chosen, zip(later, higher, strict=True), strict=True)
            ]
        )
        for one in batch:
            frame, band = rng.integers(frames), rng.integers(BANDS)
            one[frame : frame + rng.integers(_MASKED_FRAMES)] = 0
            one[:, band : band + rng.integers(_MASKED_BANDS)] = 0
        yield chosen, later, batch.astype(np.float32)

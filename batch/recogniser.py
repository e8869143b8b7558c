"""A recogniser, the CRNN (after Shi et al. 2016): convolutions, a recurrent network along the text, and CTC."""

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from batch.ctc import decode
from batch.training.classifier import predict
from batch.training.networks import as_input, pooled_convolution
from batch.training.tensorflow import keras, tf

BATCH = 64
COLUMN = 8
"""Width in pixels of a captcha that an output column stands for."""
_CHUNK = 200  # pictures that are read at once
_CONVOLUTIONS = ((16, (2, 2)), (32, (2, 2)), (64, (2, 1)), (64, (2, 1)))  # channels, pooling; of half the size
_UNITS = 96
_RATE = 2e-3
_WEIGHT_DECAY = 0.01
_CLIP = 5.0
_WARM_UP = 0.3  # share of the time, as the next
_ON_FRAMES = 0.6


class Lesson(NamedTuple):
    """Labelled captchas for one step of a training."""

    pictures: npt.NDArray[np.uint8]
    """downsampled, `[N, H, W]`"""
    codes: Sequence[str]
    frames: npt.NDArray[np.int64] | None
    """what each column shows, `[N, columns]`, 0 for nothing; None if the places are not known"""


class Training(NamedTuple):
    """What a training took."""

    steps: int
    trained_seconds: float
    """processor time, as the next"""
    drawing_seconds: float


def make_crnn_model(size: tuple[int, int], alphabet_size: int, shrink: int) -> keras.Model:
    """Build the CRNN: pictures `[N, *size, 1]` in -1..1 -> logits `[N, columns, 1 + alphabet_size]`, blank first."""
    layers = keras.layers
    picture = layers.Input((*size, 1))
    hidden = picture
    for channels, pooling in _CONVOLUTIONS[shrink // 4 :]:
        hidden = pooled_convolution(hidden, channels, pooling)
    columns = layers.Permute((2, 1, 3))(hidden)
    columns = layers.Reshape((columns.shape[1], columns.shape[2] * columns.shape[3]))(columns)
    columns = layers.Bidirectional(layers.LSTM(_UNITS, return_sequences=True))(columns)
    return keras.Model(picture, layers.Dense(1 + alphabet_size)(columns))


class Crnn:
    """A CRNN trained on labelled captchas."""

    def __init__(self, alphabet: str, seed: int, shrink: Literal[2, 4] = 2) -> None:
        """It sees captchas at a half or, which is quicker and reads less, at a quarter of their size."""
        self._alphabet, self._seed, self._shrink = np.array(sorted(set(alphabet))), seed, shrink

    def train(self, lessons: Iterator[Lesson], report: Callable[[float], Any], seconds: float) -> Training:
        """Train for some processor time, drawing not counted; `report` gets the seconds of each step.

        Where lessons have frames the network learns from these first. CTC alone puts out nothing but blanks for a long
        time, since it has to find out the places itself.
        """
        keras.utils.set_random_seed(self._seed)
        started = time.process_time()
        first = next(lessons)
        steps, spent, drawing = 0, 0.0, time.process_time() - started
        lessons = chain([first], lessons)
        self._length = len(first.codes[0])
        self._model = make_crnn_model(first.pictures.shape[1:], len(self._alphabet), self._shrink)
        optimizer = keras.optimizers.AdamW(_RATE, _WEIGHT_DECAY, global_clipnorm=_CLIP)
        frame_loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        for on_frames, until in ((True, 0 if first.frames is None else _ON_FRAMES), (False, 1)):
            self._model.compile(optimizer, frame_loss if on_frames else keras.losses.CTC(), jit_compile=False)
            while spent < until * seconds:
                started = time.process_time()
                lesson = next(lessons)
                drawn = time.process_time()
                labels = lesson.frames if on_frames else self._label(lesson.codes)
                optimizer.learning_rate = _RATE * _one_cycle(spent / seconds)
                self._model.train_on_batch(as_input(lesson.pictures), labels)
                ended = time.process_time()
                steps, spent, drawing = steps + 1, spent + ended - drawn, drawing + drawn - started
                report(ended - drawn)
        return Training(steps, spent, drawing)

    def _label(self, codes: Sequence[str]) -> npt.NDArray[np.int64]:
        return 1 + np.searchsorted(self._alphabet, np.array([list(code) for code in codes]))

    def solve(self, pictures: npt.NDArray[np.uint8]) -> list[str]:
        """Read downsampled pictures `[N, H, W]`."""
        logits = predict(self._model, pictures, _CHUNK)
        decoded = decode(tf.nn.log_softmax(logits).numpy(), self._length)
        return ["".join(characters) for characters in self._alphabet[decoded.symbols]]


def _one_cycle(done: float) -> float:
    """Return the factor of the learning rate: from 0.04 to 1 and down to 0, both by cosine (Smith and Topin 2019)."""
    if done < _WARM_UP:
        return float(0.04 + 0.96 * (1 - np.cos(np.pi * done / _WARM_UP)) / 2)
    return float((1 + np.cos(np.pi * (done - _WARM_UP) / (1 - _WARM_UP))) / 2)

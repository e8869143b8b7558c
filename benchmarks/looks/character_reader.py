"""The character reader: a stand-in for people, told where each glyph of a finished captcha is."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from batch.evaluation.judge import saved_or_trained
from batch.training.classifier import compile_classifier, predict
from batch.training.networks import as_input, pooled_convolution
from batch.training.tensorflow import keras
from benchmarks.looks.random_looks import random_look
from gantcha.alphabet import draw_codes, left_to_right
from gantcha.captcha import Captcha, draw_captchas
from gantcha.glyphs.checkpoints import Checkpoints
from gantcha.glyphs.sampler import Sampler

_WINDOW = 72  # pixels around the middle of a glyph, at single density
_SIDE = 36  # of a window as the network sees it
_CHANNELS = (32, 64, 96, 128)
_HIDDEN = 192
_LOOKS, _OF_EACH = 500, 50  # captchas to learn from
_STEPS, _BATCH, _RATE = 5000, 128, 2e-3
_CHUNK = 1000


class Read(NamedTuple):
    """What the reader read: `[N, L]` characters that count, as code points."""

    truth: npt.NDArray[np.int64]
    read: npt.NDArray[np.int64]

    @property
    def characters(self) -> float:
        """Share of characters read rightly."""
        return float((self.truth == self.read).mean())

    @property
    def codes(self) -> float:
        """Share of codes read whole."""
        return float((self.truth == self.read).all(1).mean())


def make_reader_model(alphabet_size: int) -> keras.Model:
    """Build the reader: windows `[N, 36, 36, 1]` in -1..1 -> logits `[N, alphabet_size]`."""
    layers = keras.layers
    hidden = window = layers.Input((_SIDE, _SIDE, 1))
    for channels in _CHANNELS:
        hidden = pooled_convolution(hidden, channels)
    hidden = layers.Dense(_HIDDEN, activation="relu")(layers.Flatten()(hidden))
    return keras.Model(window, layers.Dense(alphabet_size)(layers.Dropout(0.3)(hidden)))


class CharacterReader:
    """Reads characters of captchas of any look of a density; it learnt from captchas of many random looks."""

    def __init__(self, alphabet: str, model: keras.Model) -> None:
        self._symbols, self._model = np.array([ord(c) for c in sorted(alphabet)]), model

    @classmethod
    def cached(
        cls,
        checkpoints: Checkpoints,
        alphabet: str,
        length: int,
        pixel_ratio: int,
        folder: Path,
        report: Callable[[float], Any],
    ) -> "CharacterReader":
        """Load the reader of these checkpoints from `folder`, or train it (up to half an hour) and save it there.

        `report` is called with each finished share of the training, 1 in all.

        Raises:
            StorageError: the folder is not writable.
        """
        look = replace(random_look("".join(sorted(alphabet)), np.random.default_rng(1)), pixel_ratio=pixel_ratio)
        lesson = asdict(look)  # other ranges make other readers
        key = hashlib.sha256(json.dumps([checkpoints.digest(), lesson, length]).encode()).hexdigest()[:16]
        make, train = (
            partial(make_reader_model, len(alphabet)),
            partial(_train, Sampler(checkpoints), alphabet, length, pixel_ratio, report),
        )
        return cls(alphabet, saved_or_trained(folder / f"character-reader-{key}.weights.h5", make, train, report))

    def read(self, captchas: Sequence[Captcha]) -> Read:
        """Read the characters that count in captchas of one length."""
        logits = predict(self._model, np.concatenate([_windows(one) for one in captchas]), _CHUNK)
        truth = np.array([ord(c) for one in captchas for c in left_to_right(one.code)])
        length = len(truth) // len(captchas)
        return Read(truth.reshape(-1, length), self._symbols[logits.argmax(1)].reshape(-1, length))


def _windows(captcha: Captcha) -> npt.NDArray[np.uint8]:
    """Cut a window around each character that counts: `[L, 36, 36]`."""
    side = _WINDOW * captcha.look.pixel_ratio
    padded = np.pad(captcha.picture, side // 2, "edge")
    boxes = np.array(captcha.boxes)[~np.array(captcha.crossed_out)]
    middles = ((boxes[:, :2] + boxes[:, 2:]) // 2).tolist()
    cut = [padded[y : y + side, x : x + side] for x, y in middles]
    seen = [cv2.resize(window, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA) for window in cut]
    return np.stack(seen).astype(np.uint8)


def _train(
    sampler: Sampler, alphabet: str, length: int, pixel_ratio: int, report: Callable[[float], Any]
) -> keras.Model:
    """Train on captchas of random looks, a third of them with characters crossed out."""
    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(1)
    learnt: list[npt.NDArray[np.uint8]] = []
    taught = ""
    for number in range(_LOOKS):
        look = replace(random_look("" if number % 3 else alphabet, rng), pixel_ratio=pixel_ratio)
        for captcha in draw_captchas(draw_codes(_OF_EACH, alphabet, length), sampler, look, rng, labelled=True):
            learnt.append(_windows(captcha))
            taught += left_to_right(captcha.code)
        report(0.2 / _LOOKS)
    windows = np.concatenate(learnt)
    labels = np.searchsorted(sorted(alphabet), list(taught))
    model = make_reader_model(len(alphabet))
    compile_classifier(model, _RATE, _STEPS)
    for _ in range(_STEPS):
        chosen = rng.integers(len(windows), size=_BATCH)
        model.train_on_batch(as_input(windows[chosen]), labels[chosen])
        report(0.8 / _STEPS)
    return model

"""What is done with the samples of a sound: cut, bent, put into a room, and written as WAV."""

import io
import wave

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]

RATE = 11025
"""Samples a second: half of what espeak-ng produces, and enough for speech."""
_CUT, _QUIET = 0.6, 8  # s, of 32,768: no word pauses for so long; these silences are between words
_LOUDNESS = 1.5  # dB: a word is so much louder or less loud, at most
_BENT = 0.1  # share by which speed and pitch change within a word
_ECHOES, _ECHO_SECONDS = 0.08, (0.03, 0.06)  # loudness; time in which they fall to a third


def samples_of(encoded: bytes) -> Samples:
    """Return what espeak-ng wrote, two samples in one: `[T]`.

    Raises:
        EOFError, wave.Error: it is no WAV.
    """
    with wave.open(io.BytesIO(encoded)) as sound:
        samples = np.frombuffer(sound.readframes(len(encoded)), "<i2").astype(np.float32)
    halved: Samples = samples[: len(samples) // 2 * 2].reshape(-1, 2).mean(axis=1)
    return halved


def cut(samples: Samples) -> list[Samples]:
    """Cut `[T]` at its long silences, and leave them out."""
    is_quiet = np.abs(samples) < _QUIET
    edges = np.flatnonzero(np.diff(is_quiet, prepend=False, append=False)).reshape(-1, 2)  # [silences, begin and end]
    silences = edges[np.diff(edges)[:, 0] > _CUT * RATE]
    begins = np.concatenate([[0], silences[:, 1]])
    return [samples[begin:end] for begin, end in zip(begins, silences[:, 0], strict=False) if end > begin]


def bend(word: Samples, size: float, rng: np.random.Generator) -> Samples:
    """Make a voice larger or smaller; let loudness differ, and speed and pitch rise and fall within a word."""
    along = np.linspace(0, rng.uniform(0.5, 1.5), len(word)) + rng.random()
    at = np.cumsum(size + rng.uniform(-_BENT, _BENT) + _BENT * np.sin(2 * np.pi * along))
    bent = np.interp(np.arange(at[-1]), at, word) / np.sqrt((word**2).mean())
    loud: Samples = (bent * 10 ** (rng.uniform(-_LOUDNESS, _LOUDNESS) / 20)).astype(np.float32)
    return loud


def in_room(samples: Samples, rng: np.random.Generator) -> Samples:
    """Add echoes that die away, as in a room."""
    times = np.arange(int(_ECHO_SECONDS[1] * 6 * RATE)) / RATE
    echoes = rng.standard_normal(len(times)) * np.exp(-times / rng.uniform(*_ECHO_SECONDS))
    echoes *= _ECHOES / np.sqrt((echoes**2).sum())
    echoes[0] = 1
    size = 1 << (len(samples) + len(echoes)).bit_length()
    mixed: Samples = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(echoes, size)).astype(np.float32)
    return mixed[: len(samples)]


def as_wav(samples: Samples) -> bytes:
    """Encode `[T]` in -1..1 with 16 bits."""
    encoded = io.BytesIO()
    with wave.open(encoded, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(RATE)
        sound.writeframes((samples * 32767).astype("<i2").tobytes())
    return encoded.getvalue()

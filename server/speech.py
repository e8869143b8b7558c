"""The sound of a code, for those who can't see the picture: spoken by espeak-ng, over chatter and noise."""

import hashlib
import hmac
import io
import subprocess
import wave
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gantcha.characters import CHARACTERS
from pool.errors import SpeechError
from server import espeak
from server.espeak import Language

_Samples = npt.NDArray[np.float32]

RATE = 11025
"""Samples a second: half of what espeak-ng produces, and enough for speech."""
_VOICES = ("", "+f2", "+f4", "+m3", "+m7")
_CHATTER = 0.22  # share of the speech's loudness
_HISS = 0.04
# Letters sound alike (d e p t); each comes with its word of the radio alphabet, which is the same in every language.
_RADIO = """alfa bravo charlie delta echo foxtrot golf hotel india juliett kilo lima mike november oscar papa quebec
romeo sierra tango uniform victor whiskey x-ray yankee zulu"""
WORDS = {word[0]: word for word in _RADIO.split()}
"""The word that comes with each letter."""
_SPELLED = {letter: f"{letter}, {word}" for letter, word in WORDS.items()}


def rng_for(file_id: str, language: Language, secret: str) -> np.random.Generator:
    """Return random numbers for one sound: each request gets the same one, so its noise can't be averaged away.

    Without `secret` nobody can reproduce the noise to subtract it, nor find it in the sounds of two languages.
    """
    seed = hmac.digest(secret.encode(), f"{file_id} {language}".encode(), hashlib.sha256)
    return np.random.default_rng(list(seed))


class Spoken(NamedTuple):
    """A sound, and what tests and measurements compare it with."""

    heard: _Samples
    """`[T]`: the loudest sample is 1"""
    alone: _Samples
    """`[T]`: the code without what is around it"""


def say(code: str, language: Language, rng: np.random.Generator) -> bytes:
    """Return the characters spoken one after another: a WAV of one channel, 16 bits, 11,025 Hz.

    Raises:
        SpeechError: espeak-ng fails or produces no sound.
    """
    return _wav(compose(code, language, rng).heard)


def compose(code: str, language: Language, rng: np.random.Generator) -> Spoken:
    """Put the parts of a sound together. Raises what `say` raises."""
    alone = _voiced(code, language, rng)
    others = "".join(rng.choice(list(CHARACTERS), len(code) + 2))
    chatter = _voiced(others, language, rng)[::-1]  # backwards: a voice, but no word
    mixed = alone + _CHATTER * np.resize(chatter, len(alone))
    mixed += _HISS * rng.standard_normal(len(alone), np.float32)
    loudest = np.abs(mixed).max()
    return Spoken(mixed / loudest, alone / loudest)


def _voiced(characters: Sequence[str], language: Language, rng: np.random.Generator) -> _Samples:
    """Return speech with random voice, pitch, speed and pauses: `[T]`, the loudest sample 1."""
    parts = []
    for character in characters:
        text = _SPELLED.get(character, character)
        pitch, rate, pause = rng.uniform(-25, 25), rng.uniform(75, 95), rng.uniform(350, 800)
        parts.append(f'<prosody pitch="{pitch:+.0f}%" rate="{rate:.0f}%">{text}</prosody><break time="{pause:.0f}ms"/>')
    voice = language + str(rng.choice(_VOICES))
    # The text goes through a pipe: everyone on the machine can see the arguments of a process.
    try:
        spoken = espeak.run(["-v", voice, "-m", "--stdin", "--stdout"], f"<speak>{''.join(parts)}</speak>".encode())
        with wave.open(io.BytesIO(spoken)) as sound:
            samples = np.frombuffer(sound.readframes(len(spoken)), "<i2").astype(np.float32)
    except (OSError, subprocess.SubprocessError, EOFError, wave.Error) as error:
        raise SpeechError(f"{espeak.PROGRAM} failed: {type(error).__name__}") from error
    if len(samples) < 2:
        raise SpeechError(f"{espeak.PROGRAM} produced no sound")
    halved: _Samples = samples[: len(samples) // 2 * 2].reshape(-1, 2).mean(axis=1)
    return halved / np.float32(max(np.abs(halved).max(), 1))


def _wav(samples: _Samples) -> bytes:
    encoded = io.BytesIO()
    with wave.open(encoded, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(RATE)
        sound.writeframes((samples * 32767).astype("<i2").tobytes())
    return encoded.getvalue()

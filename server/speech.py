"""The sound of a code, for those who can't see the picture: one voice says it, while another says other characters.

The voice to follow speaks first, alone; the other is a little quieter and of the other sex, which is what helps people
most to follow one voice beside another (Brungart 2001). Nowhere is a silence at which a machine could cut.
"""

import hashlib
import hmac
import subprocess
import wave
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pool.errors import SpeechError
from server import espeak
from server.espeak import INTRODUCTIONS, Language
from server.waves import RATE, Samples, as_wav, bend, cut, in_room, samples_of

_RADIO = """alfa bravo charlie delta echo foxtrot golf hotel india juliett kilo lima mike november oscar papa quebec
romeo sierra tango uniform victor whiskey x-ray yankee zulu"""
WORDS = {word[0]: word for word in _RADIO.split()}
"""Letters sound alike (d e p t), so each comes with its word of the radio alphabet, the same in every language."""

_VOICES = (["f1", "f2", "f3", "f4", "f5"], ["m1", "m2", "m3", "m4", "m6", "m7", "m8"])  # espeak-ng's, by sex
_SECONDS, _SECONDS_EACH, _SECONDS_MORE = 1.2, 1.6, 1.2  # besides characters, of each, and at random
_LEAST_GAP = 0.12  # s: between characters of the code
_CHATTERED, _GAPS = 3, (0.03, 0.2)  # words of chatter for each character of the code; s: between them
_CHATTER = -1.5  # dB: beside the voice of the code
_SIZES = (0.88, 1.14)  # of a head: speed, pitch and formants
_HISS = 0.01


class Spoken(NamedTuple):
    """A sound, and what tests and measurements compare it with."""

    heard: Samples
    """`[T]`: the loudest sample is 1"""
    alone: Samples
    """`[T]`: the characters of the code without what is around them"""
    places: npt.NDArray[np.int64]
    """`[n, 2]`: the first sample of each character, and the one after its last"""


class _Line(NamedTuple):
    voice: str
    texts: list[str]


def rng_for(file_id: str, language: Language, secret: str) -> np.random.Generator:
    """Return random numbers for one sound: each request gets the same one, so its noise can't be averaged away.

    Without `secret` nobody can reproduce the noise to subtract it, nor find it in the sounds of two languages.
    """
    seed = hmac.digest(secret.encode(), f"{file_id} {language}".encode(), hashlib.sha256)
    return np.random.default_rng(list(seed))


def say(code: str, alphabet: str, language: Language, rng: np.random.Generator) -> bytes:
    """Return the code spoken among other characters of the alphabet: a WAV of one channel, 16 bits, 11,025 Hz.

    Raises:
        SpeechError: espeak-ng fails or produces no sound.
    """
    return as_wav(compose(code, alphabet, language, rng).heard)


def compose(code: str, alphabet: str, language: Language, rng: np.random.Generator) -> Spoken:
    """Put the parts of a sound together. Raises what `say` raises."""
    seconds = _SECONDS + _SECONDS_EACH * len(code) + rng.uniform(0, _SECONDS_MORE)  # whatever the code is
    own, other = (f"{language}+{rng.choice(_VOICES[sex])}" for sex in rng.permutation(2))
    chattered = rng.choice(list(alphabet), _CHATTERED * len(code))
    lines = [_Line(own, [INTRODUCTIONS[language], *map(_spelled, code)]), _Line(other, [*map(_spelled, chattered)])]
    (introduction, *said), around = _spoken(lines, rng)

    first, lengths = len(introduction), np.array([len(word) for word in said])
    starts = first + _spread(lengths, int(seconds * RATE) - first, rng)
    places = np.stack([starts, starts + lengths], 1)
    alone = np.zeros(max(int(seconds * RATE), int(places[-1, 1])), np.float32)
    for word, (start, end) in zip(said, places, strict=True):
        alone[start:end] = word
    voice, chatter = alone.copy(), np.zeros_like(alone)
    voice[:first] = introduction
    joined = np.concatenate([np.pad(word, (0, int(rng.uniform(*_GAPS) * RATE))) for word in around])
    chatter[first:] = np.resize(joined, len(alone) - first) * 10 ** (_CHATTER / 20)
    heard = in_room(voice, rng) + in_room(chatter, rng) + _HISS * rng.standard_normal(len(alone), np.float32)
    loudest = np.abs(heard).max()
    return Spoken(heard / loudest, alone / loudest, places)


def _spelled(character: str) -> str:
    return f"{character}, {WORDS[character]}" if character in WORDS else character


def _spoken(lines: Sequence[_Line], rng: np.random.Generator) -> list[list[Samples]]:
    """Return the words of each line, all about equally loud; each voice has a size, pitch and speed of its own."""
    parts, sizes = [], []
    for voice, texts in lines:
        own_pitch, own_rate, size = rng.uniform(-20, 20), rng.uniform(85, 105), rng.uniform(*_SIZES)
        for text in texts:
            pitch, rate = own_pitch + rng.uniform(-6, 6), own_rate + rng.uniform(-6, 6)
            prosody = f'<prosody pitch="{pitch:+.0f}%" rate="{rate:.0f}%">{text}</prosody>'
            parts.append(f'<voice name="{voice}">{prosody}</voice><break time="1s"/>')
            sizes.append(size)
    # The text goes through a pipe: everyone on the machine can see the arguments of a process.
    try:
        spoken = espeak.run(["-m", "--stdin", "--stdout"], f"<speak>{''.join(parts)}</speak>".encode())
        samples = samples_of(spoken)
    except (OSError, subprocess.SubprocessError, EOFError, wave.Error) as error:
        raise SpeechError(f"{espeak.PROGRAM} failed: {type(error).__name__}") from error
    words = cut(samples)
    if len(words) != len(parts):
        raise SpeechError(f"{espeak.PROGRAM} said {len(words)} of {len(parts)} words")
    bent = (bend(word, size, rng) for word, size in zip(words, sizes, strict=True))
    return [list(islice(bent, len(line.texts))) for line in lines]


def _spread(lengths: npt.NDArray[np.int64], space: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return where words begin that have these lengths, with gaps at random that fill the space if there is enough."""
    least = int(_LEAST_GAP * RATE)
    free = max(space - int(lengths.sum()) - least * len(lengths), 0)
    before = np.sort(rng.integers(0, free + 1, len(lengths)))
    starts: npt.NDArray[np.int64] = before + np.cumsum(lengths + least) - lengths
    return starts

"""Attack the sounds of captchas, and rate how well they are understood: `python -m benchmarks.strength.sound`."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import numpy.typing as npt
import typer
from rich.console import Console
from rich.progress import TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from batch.packages import training_packages
from batch.progress import progress_bar
from gantcha.alphabet import draw_codes
from gantcha.characters import CHARACTERS, usual_alphabet
from gantcha.errors import GantchaError, one_line_errors
from gantcha.terminal import run
from server import espeak, speech
from server.waves import RATE, Samples

if TYPE_CHECKING:
    from benchmarks.strength.listener import Lessons

LOWEST_MEAN, LOWEST = 0.75, 0.65
"""Floors of intelligibility: the mean of many sounds, and each of them. Fixed before the sound was designed.

STOI (Taal et al. 2011) of 0.75 stands for some 97 % of the words of English sentences, and 0.65 for 84 %. It compares
with the code alone: it does not know how hard it is to tell whom to listen to.
"""

_ALPHABET = usual_alphabet(CHARACTERS)
_LENGTH = 6
_LANGUAGE: espeak.Language = "en"  # the only one that pocketsphinx brings a model of
_RATED = 100  # sounds whose intelligibility is measured: it is slow
_RECOGNISED_RATE = 16_000  # Hz: of what pocketsphinx's model has learnt from
_FULL = 20_000  # of 32,767: the loudest sample
_DIGITS = dict(enumerate(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]))
_SPELLINGS = {"juliett": "juliet"}  # as pocketsphinx's dictionary has it
_MINUTES = (5.0, 20.0)
_TABLE_WIDTH = 120  # off a terminal
_SEED = 1


def make_sounds(codes: Sequence[str], seed: int) -> Iterator[speech.Spoken]:
    """Make the sound of each code as the server does."""
    for number, code in enumerate(codes):
        yield speech.compose(code, _ALPHABET, _LANGUAGE, np.random.default_rng([seed, number]))


def read_with_pocketsphinx(sounds: Sequence[Samples], report: Callable[[int], Any], *, all_words: bool) -> list[str]:
    """Read sounds with a recogniser of English as it comes, told that there are six words of the alphabet.

    With `all_words`, it is told that there are any number of them, and the six loudest are kept.
    """
    from pocketsphinx import Decoder
    from scipy.signal import resample_poly

    words = {character: _as_written(character) for character in _ALPHABET}
    count = "<one>+" if all_words else "<one> " * _LENGTH
    introduction = espeak.INTRODUCTIONS[_LANGUAGE]
    grammar = f"<one> = {' | '.join(words.values())}; public <code> = [{introduction}] {count};"
    decoder = Decoder(lm=None, loglevel="FATAL", samprate=_RECOGNISED_RATE)
    decoder.add_jsgf_string("code", f"#JSGF V1.0; grammar code; {grammar}")
    decoder.activate_search("code")
    characters = {written.split()[-1]: character for character, written in words.items()}
    answers = []
    for sound in sounds:
        resampled = resample_poly(sound, _RECOGNISED_RATE, RATE) * _FULL
        decoder.start_utt()
        decoder.process_raw(resampled.astype("<i2").tobytes(), full_utt=True)
        decoder.end_utt()
        heard = [part for part in decoder.seg() or [] if part.word.partition("(")[0] in characters]
        loudness = [_power(resampled, part.start_frame, part.end_frame) for part in heard]
        kept = np.sort(np.argsort(loudness)[-_LENGTH:])
        answers.append("".join(characters[heard[number].word.partition("(")[0]] for number in kept))
        report(1)
    return answers


def _power(resampled: Samples, first: int, last: int) -> float:
    """Return the power between two of pocketsphinx's frames, of which there are 100 a second."""
    part = resampled[first * _RECOGNISED_RATE // 100 : (last + 1) * _RECOGNISED_RATE // 100]
    return float((part**2).mean()) if len(part) else 0.0


def _as_written(character: str) -> str:
    if character.isdigit():
        return _DIGITS[int(character)]
    word = speech.WORDS[character]
    return f"{character} {_SPELLINGS.get(word, word)}"


def intelligibility(sounds: Sequence[speech.Spoken], report: Callable[[int], Any]) -> npt.NDArray[np.float64]:
    """Return the STOI of each sound, compared with the code alone: a stand-in for listeners."""
    from pystoi import stoi

    rated = []
    for sound in sounds:
        rated.append(stoi(sound.alone, sound.heard, RATE))
        report(1)
    return np.array(rated)


def learn_from(codes: Sequence[str], report: Callable[[int], Any]) -> "tuple[Lessons, float]":
    """Make labelled sounds; return what a network learns from, and the seconds that the spectrograms took."""
    from benchmarks.strength.listener import Lessons, pad, spectrogram

    looking, spectrograms, places = 0.0, [], []
    for sound in make_sounds(codes, _SEED + 1):
        looked = time.process_time()
        spectrograms.append(spectrogram(sound.heard, RATE))
        looking += time.process_time() - looked
        places.append(sound.places)
        report(1)
    return Lessons(pad(spectrograms, max(map(len, spectrograms))), codes, np.array(places)), looking


def _processor_seconds() -> float:
    """Return what this process and its children have used."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def main(
    minutes: Annotated[
        list[float] | None, typer.Option(min=0.01, help="Processor time of a training; repeat it for several.")
    ] = None,
    sounds: Annotated[int, typer.Option(min=10, help="Labelled sounds to learn from.")] = 4000,
    attacked: Annotated[int, typer.Option(min=10, help="Sounds that each attack has to read.")] = 400,
    attacks: Annotated[str, typer.Option(help="Only attacks whose names contain one of these words.")] = "",
) -> None:
    """Measure how many sounds machines read, and how well people are likely to understand them.

    Sounds are English, of six characters of the default alphabet; others are not measured. pocketsphinx is told that
    there are six of its words. A network learns from labelled sounds, which anyone can make, with the places of the
    characters. Nobody listens: intelligibility is STOI, a formula. Without --minutes, trainings are 5 and 20.

    \b
    Examples:
        python -m benchmarks.strength.sound
        python -m benchmarks.strength.sound --attacks pocketsphinx --attacked 100
        python -m benchmarks.strength.sound --attacks trained --minutes 1 --sounds 500
    """
    started = time.monotonic()
    missing = [package for package in ("pocketsphinx", "pystoi") if not find_spec(package)]
    with one_line_errors():
        with training_packages():
            from benchmarks.strength.listener import Listener, pad, spectrogram
            from benchmarks.strength.untrained import rate

        if not espeak.can_say(_ALPHABET):
            raise GantchaError(f"{espeak.PROGRAM} is not installed: apt-get install {espeak.PROGRAM}")
        with progress_bar(TimeElapsedColumn(), TimeRemainingColumn()) as progress:

            def bar(text: str, total: float) -> Callable[[float], Any]:
                task = progress.add_task(text, total=total)
                return lambda done: progress.advance(task, done)

            def wanted(name: str) -> bool:
                return not attacks or any(word in name for word in attacks.split())

            codes, taught = (draw_codes(count, _ALPHABET, _LENGTH) for count in (attacked, sounds))
            begun = _processor_seconds()
            victims = list(make_sounds(codes, _SEED))
            making = _processor_seconds() - begun
            heard = [victim.heard for victim in victims]
            rated = None
            if "pystoi" not in missing:
                rated = intelligibility(victims[:_RATED], bar("intelligibility", min(_RATED, attacked)))
            answers: dict[str, list[str]] = {}
            for all_words in (False, True):
                name = f"pocketsphinx, {'its six loudest words' if all_words else 'told of six words'}"
                if wanted(name) and "pocketsphinx" not in missing:
                    answers[name] = read_with_pocketsphinx(heard, bar(name, attacked), all_words=all_words)
            trainings = {f"trained, {allowed:g} minutes": 60 * allowed for allowed in minutes or _MINUTES}
            if trainings := {name: seconds for name, seconds in trainings.items() if wanted(name)}:
                lessons, looking = learn_from(taught, bar("sounds to learn from", sounds))
                frames = lessons.spectrograms.shape[1]
                looked_at = pad([spectrogram(samples, RATE) for samples in heard], frames)
            for name, seconds in trainings.items():
                listener = Listener(_ALPHABET, _SEED)
                listener.train(lessons, bar(name, seconds), seconds - looking)
                answers[name] = listener.hear(looked_at)
        if not answers:
            raise GantchaError(f"no attack was made: none that can be has one of {attacks!r} in its name")
    table = Table("attack", "codes read whole (95 % interval)", "characters", title="sounds read by machines")
    for name, read in answers.items():
        found = rate(codes, read)
        table.add_row(name, f"{found.codes:.1%} ({found.low:.1%} - {found.high:.1%})", f"{found.characters:.1%}")
    console = Console(width=None if sys.stdout.isatty() else _TABLE_WIDTH, highlight=False)
    console.print(table)
    lasting = np.array([len(samples) for samples in heard]) / RATE
    if rated is not None:
        console.print(f"intelligibility: STOI {rated.mean():.2f}, the lowest {rated.min():.2f}")
    console.print(f"a sound: {lasting.min():.1f} to {lasting.max():.1f} s long")
    console.print(f"making one took {making / attacked:.2f} s of a processor, which the trainings do not count")
    for package in missing:
        console.print(f"{package} is not installed and was left out: pip install -r requirements-dev.txt")
    console.print(f"measured in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    run(main)

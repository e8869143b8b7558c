"""Labelled captchas without files: one of a given code, or an endless stream of random ones."""

import math
import random
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count, product
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple, TypedDict, get_args

import numpy as np

from gantcha.captcha import Captcha, draw_captchas
from gantcha.characters import drawn_characters, to_characters, usual_alphabet
from gantcha.drawing.look import Change, Difficulty, Kind, Look, LookError, Theme, choose_look
from gantcha.errors import GantchaError
from gantcha.glyphs.sampler import Sampler, load_sampler
from gantcha.home import CHECKPOINTS
from gantcha.patterns import Pattern, pattern_of

TOGETHER = 125
"""Captchas drawn together from one seed; the size of a shard should be a multiple of it."""
EPOCH = TOGETHER * 2**32
"""Captchas of a stream from one epoch of a training to the next: more than anybody draws in one."""
_MIXED: dict[str, tuple[str, ...]] = {
    "kind": get_args(Kind),
    "difficulty": get_args(Difficulty),
    "theme": get_args(Theme),
}


class MixedLook(NamedTuple):
    """One of the looks of a stream."""

    share: float
    look: Look


class Settings(TypedDict, total=False):
    """Keywords of `samples` that its streams for PyTorch and TensorFlow take too."""

    length: int | tuple[int, int]
    alphabet: str | None
    pattern: str | None
    kind: Kind
    difficulty: Difficulty
    theme: Theme
    pixel_ratio: int
    mix: Mapping[str, float] | None
    change: Change | None
    masks: bool
    checkpoints_dir: Path


@dataclass(frozen=True, kw_only=True)
class Stream:
    """Random captchas, without end: all that they depend on besides the generators."""

    seed: int
    pattern: str | None
    """pattern of the codes; None for given ones"""
    looks: tuple[MixedLook, ...]
    masks: bool = False


def draw(
    code: str,
    *,
    seed: int | None = None,
    kind: Kind = "plain",
    difficulty: Difficulty = "standard",
    theme: Theme = "light",
    pixel_ratio: int = 1,
    change: Change | None = None,
    masks: bool = False,
    checkpoints_dir: Path = CHECKPOINTS,
) -> Captcha:
    """Draw a code of up to 16 characters, such as 0-9 and a-z; at random, or as the `seed` says.

    `change` maps settings of the look to a value or a range: `{"noise": 0.1, "contrast": (0.5, 0.9)}`.

    Raises:
        ValueError: the code is empty or has another character.
        GantchaError: an argument is out of range, or a generator is missing.
    """
    decoys = usual_alphabet(drawn_characters(checkpoints_dir))
    look = choose_look(kind, difficulty, theme, decoys=decoys, pixel_ratio=pixel_ratio).changed(change or {})
    rng, sampler = np.random.default_rng(seed), load_sampler(checkpoints_dir)
    (captcha,) = draw_captchas([to_characters(code)], sampler, look, rng, labelled=True, masks=masks)
    return captcha


def samples(
    *,
    seed: int | None = None,
    length: int | tuple[int, int] = 6,
    alphabet: str | None = None,
    pattern: str | None = None,
    kind: Kind = "plain",
    difficulty: Difficulty = "standard",
    theme: Theme = "light",
    pixel_ratio: int = 1,
    mix: Mapping[str, float] | None = None,
    change: Change | None = None,
    masks: bool = False,
    worker: int = 0,
    workers: int = 1,
    start: int = 0,
    checkpoints_dir: Path = CHECKPOINTS,
) -> Iterator[Captcha]:
    """Draw random captchas without end.

    The same seed gives the same captchas, those of `gantcha fill --dataset --seed`; it is random if omitted. With one
    seed, the `workers` split one stream: no captcha is drawn twice.

    Args:
        seed: seed of everything random.
        length: characters of a code, or a range: `(4, 8)`.
        alphabet: characters of the codes; by default those that are not confusable, 15 of 0-9 and a-z.
        pattern: pattern of the codes, instead of length and alphabet: `[a-z]{3}[0-9]{2,4}`.
        kind: `plain`, or `crossed-out` where some characters do not count.
        difficulty: how hard it is for machines.
        theme: light or dark paper.
        pixel_ratio: 2 for pictures twice as wide and high.
        mix: shares of kinds, difficulties or themes: `{"easy": 0.5, "hard": 0.5}`.
        change: settings of the look, each a value or a range: `{"noise": 0.1, "contrast": (0.5, 0.9)}`.
        masks: whether to tell where each character has ink.
        worker: number of this worker, from 0.
        workers: number of workers that split the stream.
        start: number of the first captcha, to go on where another run ended.
        checkpoints_dir: folder of the generators.

    Raises:
        GantchaError: an argument is out of range, or a generator is missing.
    """
    if not 0 <= worker < workers:
        raise GantchaError(f"worker {worker} of {workers}: workers count from 0")
    for name, number in {"seed": seed or 0, "start": start}.items():
        if not isinstance(number, Integral) or number < 0:
            raise GantchaError(f"{name} {number!r}: must be a whole number, 0 or more")
    drawn = drawn_characters(checkpoints_dir)
    chosen = to_characters(alphabet or usual_alphabet(drawn))
    text = pattern or pattern_of(chosen, length, drawn)
    Pattern(text, drawn)
    looks = mix_looks(
        {"kind": kind, "difficulty": difficulty, "theme": theme}, mix or {}, change or {}, chosen, pixel_ratio
    )
    stream = Stream(seed=secrets.randbits(63) if seed is None else seed, pattern=text, looks=looks, masks=masks)
    return _draw_stream(stream, load_sampler(checkpoints_dir), worker, workers, int(start))


def _draw_stream(stream: Stream, sampler: Sampler, worker: int, workers: int, start: int) -> Iterator[Captcha]:
    for number in count(start // TOGETHER + worker, workers):
        yield from (drawn for drawn in draw_group(stream, number * TOGETHER, sampler) if drawn.index >= start)


def mix_looks(
    usual: Mapping[str, Any], mix: Mapping[str, float], change: Change, decoys: str, pixel_ratio: int
) -> tuple[MixedLook, ...]:
    """Combine kinds, difficulties and themes: those that are mixed by their shares, and the `usual` ones of the others.

    Raises:
        LookError: a name is unknown, shares do not make up 1, or a change is out of range.
    """
    names = [name for values in _MIXED.values() for name in values]
    if not isinstance(mix, Mapping):
        raise LookError(f"mix {mix}: must map names to shares, such as {{'easy': 0.3, 'hard': 0.7}}")
    if unknown := [name for name in mix if name not in names]:
        raise LookError(f"mix {unknown[0]}: must be shares of {', '.join(names)}")
    shares = {group: {name: mix[name] for name in values if name in mix} for group, values in _MIXED.items()}
    for group, mixed in shares.items():
        if mixed and not (add_up(list(mixed.values())) and min(mixed.values()) >= 0):
            raise LookError(f"mix {', '.join(mixed)}: the shares of each {group} must make up 1")
    ordered = [
        {name: share for name, share in mix.items() if name in shares[group]} or {usual[group]: 1.0} for group in _MIXED
    ]
    return tuple(
        MixedLook(
            k * d * t,
            choose_look(kind, difficulty, theme, decoys=decoys, pixel_ratio=pixel_ratio).changed(change),  # type: ignore[arg-type] # it checks the names
        )
        for (kind, k), (difficulty, d), (theme, t) in product(*(mixed.items() for mixed in ordered))
    )


def add_up(shares: Sequence[float]) -> bool:
    """Return whether shares make up 1."""
    return math.isclose(sum(shares), 1, abs_tol=1e-6)


Accepts = Callable[[int, str], bool]
"""Whether a captcha may have this code, by its number."""


def draw_group(
    stream: Stream,
    first: int,
    sampler: Sampler,
    codes: Sequence[str] | None = None,
    accepts: Accepts | None = None,
) -> list[Captcha]:
    """Draw the captchas that share a seed, from the number `first`, a multiple of `TOGETHER`, on.

    They have the given codes, or random ones that are accepted.
    """
    rng = np.random.default_rng([stream.seed, first])
    codes = _draw_codes(stream, first, sampler, rng, accepts) if codes is None else codes
    chosen = rng.choice(len(stream.looks), len(codes), p=[mixed.share for mixed in stream.looks])
    drawn: dict[int, Captcha] = {}
    for number, mixed in enumerate(stream.looks):
        places = np.flatnonzero(chosen == number).tolist()
        if places:
            own = [codes[place] for place in places]
            captchas = draw_captchas(own, sampler, mixed.look, rng, labelled=True, masks=stream.masks)
            drawn |= zip(places, captchas, strict=True)
    return [replace(drawn[place], index=first + place) for place in range(len(codes))]


def _draw_codes(
    stream: Stream, first: int, sampler: Sampler, rng: np.random.Generator, accepts: Accepts | None
) -> list[str]:
    code_rng = random.Random(rng.bytes(16))  # noqa: S311 - the labels of a dataset are no secret
    pattern, codes = Pattern(stream.pattern or "", sampler.classes.characters), []
    for index in range(first, first + TOGETHER):
        code = pattern.draw(code_rng)
        while accepts and not accepts(index, code):
            code = pattern.draw(code_rng)
        codes.append(code)
    return codes

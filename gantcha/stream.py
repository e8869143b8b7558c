"""Labelled captchas without files: of given codes, or an endless stream of random ones."""

import math
import random
import secrets
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice, product
from numbers import Integral, Real
from pathlib import Path
from typing import Any, NamedTuple, TypedDict, get_args

import numpy as np

from gantcha.captcha import Captcha, draw_captchas
from gantcha.characters import named_characters, to_characters, usual_alphabet
from gantcha.drawing.look import MOST_BOXES, Change, Difficulty, Kind, Look, LookError, Theme, choose_look
from gantcha.errors import GantchaError
from gantcha.glyphs.sampler import Sampler, load_sampler
from gantcha.home import CHECKPOINTS
from gantcha.patterns import Pattern, pattern_of
from gantcha.trained import drawn_characters, untrained

TOGETHER = 125
"""Captchas drawn together from one seed; the size of a shard should be a multiple of it."""
EPOCH = TOGETHER * 2**32
"""Captchas of a stream from one epoch of a training to the next: more than anybody draws in one."""
_LENGTH = 6
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

    length: int | Sequence[int] | None
    alphabet: str | None
    pattern: str | None
    kind: Kind | None
    difficulty: Difficulty | None
    theme: Theme | None
    pixel_ratio: int
    mix: Mapping[str, float] | None
    change: Change | None
    masks: bool
    checkpoints_dir: Path | str


@dataclass(frozen=True, kw_only=True)
class Stream:
    """Captchas by their numbers: all that they depend on besides the generators and given codes."""

    seed: int
    pattern: str | None
    """pattern of the codes; None for given ones"""
    looks: tuple[MixedLook, ...]
    masks: bool = False


def draw(
    code: str,
    *,
    seed: int | None = None,
    kind: Kind | None = None,
    difficulty: Difficulty | None = None,
    theme: Theme | None = None,
    pixel_ratio: int = 1,
    change: Change | None = None,
    masks: bool = False,
    checkpoints_dir: Path | str = CHECKPOINTS,
) -> Captcha:
    """Draw a code of up to 16 characters; at random, or as the `seed` says.

    As `draw_many` does with one code, and with the same arguments; for several that is much faster.

    Raises:
        ValueError: the code is empty or too long, or has a character that no generator draws.
        GantchaError: an argument is out of range, or a generator is missing.
    """
    (captcha,) = draw_many(
        [code],
        seed=seed,
        kind=kind,
        difficulty=difficulty,
        theme=theme,
        pixel_ratio=pixel_ratio,
        change=change,
        masks=masks,
        checkpoints_dir=checkpoints_dir,
    )
    return captcha


def draw_many(
    codes: Iterable[str],
    *,
    seed: int | None = None,
    kind: Kind | None = None,
    difficulty: Difficulty | None = None,
    theme: Theme | None = None,
    pixel_ratio: int = 1,
    mix: Mapping[str, float] | None = None,
    change: Change | None = None,
    masks: bool = False,
    checkpoints_dir: Path | str = CHECKPOINTS,
) -> Iterator[Captcha]:
    """Draw each code once, in order; the index of a captcha is that of its code.

    A letter is drawn in the case that it is given in, where the generators have both. The same codes in the same order
    with the same seed give the same captchas, those of `gantcha fill --dataset --codes --seed`.

    Args:
        codes: texts of up to 16 characters; a list is checked at once, and what else gives texts while it is drawn.
        seed: as of `samples`, and so are the others.
        kind: `plain`, or `crossed-out` where some characters do not count.
        difficulty: `easy`, `standard` or `hard`.
        theme: `light` or `dark` paper.
        pixel_ratio: 2 for pictures twice as wide and high.
        mix: shares of kinds, difficulties or themes.
        change: settings of the look, each a value or a range.
        masks: whether to tell where each character has ink.
        checkpoints_dir: folder of the generators.

    Raises:
        ValueError: a code is empty or too long, or has a character that no generator draws.
        GantchaError: an argument is out of range or contradicts another, or a generator is missing.
    """
    if isinstance(codes, str) or not isinstance(codes, Iterable):
        raise GantchaError(f"codes {codes!r}: must be several, such as ['ab12', 'cd34']")
    folder = Path(checkpoints_dir)
    drawn = drawn_characters(folder)
    looks = _choose_looks(kind, difficulty, theme, mix, change, usual_alphabet(drawn), pixel_ratio)
    stream = Stream(seed=_choose_seed(seed), pattern=None, looks=looks, masks=masks)
    texts = (_to_text(code, drawn, folder) for code in codes)
    checked = iter([*texts]) if isinstance(codes, Sequence) else texts
    return _draw_given(stream, load_sampler(folder), checked)


def _to_text(code: str, drawn: str, folder: Path) -> str:
    if not isinstance(code, str) or not 1 <= len(to_characters(code)) <= MOST_BOXES:
        raise ValueError(f"code {code!r}: must be text of 1 to {MOST_BOXES} characters")
    if unknown := set(to_characters(code)) - set(drawn):
        unknown_ones = "".join(sorted(unknown))
        reason = untrained(unknown_ones, folder) or f"{unknown_ones!r} can't be drawn, only {named_characters(drawn)}"
        raise ValueError(f"code {code!r}: {reason}")
    return unicodedata.normalize("NFC", code)


def _draw_given(stream: Stream, sampler: Sampler, texts: Iterator[str]) -> Iterator[Captcha]:
    for first in count(0, TOGETHER):
        group = [*islice(texts, TOGETHER)]
        if not group:
            return
        yield from draw_group(stream, first, sampler, group)


def samples(
    *,
    seed: int | None = None,
    length: int | Sequence[int] | None = None,
    alphabet: str | None = None,
    pattern: str | None = None,
    kind: Kind | None = None,
    difficulty: Difficulty | None = None,
    theme: Theme | None = None,
    pixel_ratio: int = 1,
    mix: Mapping[str, float] | None = None,
    change: Change | None = None,
    masks: bool = False,
    worker: int = 0,
    workers: int = 1,
    start: int = 0,
    checkpoints_dir: Path | str = CHECKPOINTS,
) -> Iterator[Captcha]:
    """Draw random captchas without end.

    The same seed gives the same captchas, those of `gantcha fill --dataset --seed`; it is random if omitted. With one
    seed, the `workers` split one stream: no captcha is drawn twice.

    Args:
        seed: seed of everything random, a whole number from 0.
        length: characters of a code, 6 if omitted, or a range: `(4, 8)`.
        alphabet: characters of the codes; by default those that are not confusable, 15 of 0-9 and a-z.
        pattern: pattern of the codes, instead of length and alphabet: `[a-z]{3}[0-9]{2,4}`.
        kind: `plain` if omitted, or `crossed-out` where some characters do not count.
        difficulty: how hard it is for machines, `easy`, `standard` if omitted, or `hard`.
        theme: `light` paper if omitted, or `dark`.
        pixel_ratio: 2 for pictures twice as wide and high.
        mix: shares of kinds, difficulties or themes: `{"easy": 0.5, "hard": 0.5}`.
        change: settings of the look, each a value or a range: `{"noise": 0.1, "contrast": (0.5, 0.9)}`.
        masks: whether to tell where each character has ink.
        worker: number of this worker, from 0.
        workers: number of workers that split the stream.
        start: number of the first captcha, to go on where another run ended.
        checkpoints_dir: folder of the generators.

    Raises:
        GantchaError: an argument is out of range or contradicts another, or a generator is missing.
    """
    _check_whole("start", start)
    _check_whole("workers", workers, least=1)
    _check_whole("worker", worker)
    if worker >= workers:
        raise GantchaError(f"worker {worker}: must be from 0 to {workers - 1}, with {workers} workers")
    if pattern is not None and (length is not None or alphabet is not None):
        raise GantchaError("pattern says it all: leave length and alphabet out")
    for name, text in (("alphabet", alphabet), ("pattern", pattern)):
        if not isinstance(text, str | None):
            raise GantchaError(f"{name} {text!r}: must be text")
    folder = Path(checkpoints_dir)
    drawn = drawn_characters(folder)
    chosen = usual_alphabet(drawn) if alphabet is None else to_characters(alphabet)
    if pattern is None:
        if alphabet is not None and (reason := untrained(alphabet, folder)):
            raise GantchaError(f"alphabet {alphabet}: {reason}")
        pattern = pattern_of(chosen, _LENGTH if length is None else length, drawn)
    Pattern(pattern, drawn)
    looks = _choose_looks(kind, difficulty, theme, mix, change, chosen, pixel_ratio)
    stream = Stream(seed=_choose_seed(seed), pattern=pattern, looks=looks, masks=masks)
    return _draw_stream(stream, load_sampler(folder), worker, workers, int(start))


def _check_whole(name: str, number: object, least: int = 0) -> None:
    if not isinstance(number, Integral) or int(number) < least:
        raise GantchaError(f"{name} {number!r}: must be a whole number, {least} or more")


def _choose_seed(seed: int | None) -> int:
    if seed is None:
        return secrets.randbits(63)
    _check_whole("seed", seed)
    return int(seed)


def _draw_stream(stream: Stream, sampler: Sampler, worker: int, workers: int, start: int) -> Iterator[Captcha]:
    for number in count(start // TOGETHER + worker, workers):
        yield from (drawn for drawn in draw_group(stream, number * TOGETHER, sampler) if drawn.index >= start)


def _choose_looks(
    kind: Kind | None,
    difficulty: Difficulty | None,
    theme: Theme | None,
    mix: Mapping[str, float] | None,
    change: Change | None,
    decoys: str,
    pixel_ratio: int,
) -> tuple[MixedLook, ...]:
    """Combine the looks that the arguments of the library ask for, where None is the default."""
    chosen = {"kind": kind, "difficulty": difficulty, "theme": theme}
    given = {name: value for name, value in chosen.items() if value is not None}
    _check_whole("pixel_ratio", pixel_ratio, least=1)
    usual = choose_look(**given, decoys=decoys, pixel_ratio=pixel_ratio)  # type: ignore[arg-type] # it checks the names
    if not isinstance(change or {}, Mapping):
        raise LookError(f"change {change}: must map settings to values, such as {{'noise': 0.1}}")
    try:
        usual.changed(change or {})
    except LookError as error:
        raise LookError(f"change: {error}") from error
    looks = mix_looks({name: getattr(usual, name) for name in chosen}, mix or {}, change or {}, decoys, pixel_ratio)
    if twice := [name for name in given if not set(_MIXED[name]).isdisjoint(mix or {})]:
        raise LookError(f"mix names each {twice[0]}: leave {twice[0]} out")
    return looks


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
    if wrong := [name for name, share in mix.items() if not isinstance(share, Real)]:
        raise LookError(f"mix {wrong[0]}: its share must be a number from 0 to 1")
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

    They have the given codes, in their case, or random ones that are accepted.
    """
    rng, cased = np.random.default_rng([stream.seed, first]), codes is not None
    codes = _draw_codes(stream, first, sampler, rng, accepts) if codes is None else codes
    chosen = rng.choice(len(stream.looks), len(codes), p=[mixed.share for mixed in stream.looks])
    drawn: dict[int, Captcha] = {}
    for number, mixed in enumerate(stream.looks):
        places = np.flatnonzero(chosen == number).tolist()
        if places:
            own = [codes[place] for place in places]
            captchas = draw_captchas(own, sampler, mixed.look, rng, labelled=True, masks=stream.masks, cased=cased)
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

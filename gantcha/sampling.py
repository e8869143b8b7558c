"""Labelled captchas without files: one of a given code, or an endless stream of random ones."""

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import numpy.typing as npt

from batch.alphabet import left_to_right
from batch.datasets.codes import Pattern, pattern_of
from batch.datasets.plan import Plan
from batch.datasets.records import TOGETHER, Record, draw_group
from batch.datasets.variants import choose_variants, read_shares
from batch.drawing.captchas import Labelled, draw_labelled
from batch.drawing.png import to_grey
from batch.glyphs.checkpoints import Checkpoints, classes_of
from batch.glyphs.sampler import load_sampler
from pool.answers import to_characters
from pool.errors import GantchaError
from pool.settings import Settings, load_settings

__all__ = ["GantchaError", "Sample", "draw", "samples"]


Change = Mapping[str, float | tuple[float, float]]
"""Settings of the look by name; a range is a pair."""


@dataclass(frozen=True)
class Sample:
    """A captcha with its labels."""

    index: int
    """number in its stream"""
    code: str
    """what to type, without regard to case"""
    kind: str
    difficulty: str
    theme: str
    _captcha: Labelled
    _symbols: str

    @property
    def picture(self) -> npt.NDArray[np.uint8]:
        """Brightness, `[height, width]`, 0 to 255."""
        return to_grey(self._captcha.levels)

    @property
    def png(self) -> bytes:
        """The picture as a PNG."""
        return self._captcha.png

    @property
    def characters(self) -> str:
        """All characters that are drawn, from left to right."""
        return self._captcha.characters

    @property
    def crossed_out(self) -> list[bool]:
        """Which characters are crossed out; the others are the code."""
        return self._captcha.crossed_out

    @property
    def boxes(self) -> list[tuple[int, int, int, int]]:
        """Of each character's ink, in pixels: left, top, right, bottom, the last two exclusive."""
        return self._captcha.boxes

    @property
    def glyph_classes(self) -> list[str]:
        """Of each character, the glyph class that it was drawn as: `A` or `a`."""
        return [self._symbols[index] for index in self._captcha.classes]

    @property
    def cased(self) -> str:
        """The code as it is drawn, `A` or `a`; in capitals where both look alike."""
        return left_to_right("".join(s for s, out in zip(self.glyph_classes, self.crossed_out, strict=True) if not out))

    @property
    def parameters(self) -> dict[str, float | list[float]]:
        """What was drawn at random for the line or for each character, by the names of the look's settings."""
        return self._captcha.parameters

    @property
    def masks(self) -> npt.NDArray[np.bool_] | None:
        """Where each character has ink, `[characters, height, width]`; None if not asked for."""
        return self._captcha.masks


def draw(
    code: str,
    *,
    seed: int | None = None,
    kind: str | None = None,
    difficulty: str | None = None,
    theme: str | None = None,
    change: Change | None = None,
    masks: bool = False,
) -> Sample:
    """Draw a code of up to 16 characters, such as 0-9 and a-z; settings that are not given are those of `CAPTCHA_`.

    Raises:
        ValueError: the code is empty or has another character.
        GantchaError: a setting is invalid, or a generator is missing.
    """
    settings = load_settings(kind=kind, difficulty=difficulty, theme=theme)
    (variant,) = choose_variants(settings, {}, _changes(change))
    rng = np.random.default_rng(seed)
    sampler, code = load_sampler(settings.checkpoints_dir), to_characters(code)
    (captcha,) = draw_labelled([code], sampler, variant.style, rng, masks=masks)
    return Sample(0, code, variant.kind, variant.difficulty, variant.theme, captcha, sampler.classes.symbols)


def samples(
    *,
    seed: int | None = None,
    length: str | int | None = None,
    alphabet: str | None = None,
    pattern: str | None = None,
    kind: str | None = None,
    difficulty: str | None = None,
    theme: str | None = None,
    mix: str = "",
    change: Change | None = None,
    masks: bool = False,
    worker: int = 0,
    workers: int = 1,
    checkpoints_dir: Path | None = None,
) -> Iterator[Sample]:
    """Draw random captchas without end; settings that are not given are those of `CAPTCHA_`.

    The same seed gives the same samples, those of `batch.fill --dataset --seed`; it is random if omitted. `length` is
    `6` or `"4-8"`, and `pattern`, `mix` and `change` are the options `--pattern`, `--mix` and `--set` of that command.
    Of several `workers` with one seed, each gives other samples, and all together give those of one.

    Raises:
        GantchaError: a setting is invalid, or a generator is missing.
    """
    if not 0 <= worker < workers:
        raise GantchaError(f"worker {worker} of {workers}: workers count from 0")
    settings = load_settings(
        kind=kind, difficulty=difficulty, theme=theme, alphabet=alphabet, checkpoints_dir=checkpoints_dir
    )
    return _stream(_plan(settings, seed, length, pattern, mix, _changes(change), masks), settings, worker, workers)


def _plan(
    settings: Settings,
    seed: int | None,
    length: str | int | None,
    pattern: str | None,
    mix: str,
    changes: list[str],
    masks: bool,
) -> Plan:
    text = pattern or pattern_of(settings.alphabet, str(length or settings.length))
    classes = classes_of(Checkpoints(settings.checkpoints_dir).manifest())
    Pattern(text, classes.characters)
    return Plan(
        format="",
        seed=secrets.randbits(63) if seed is None else seed,
        splits={},
        shard_sizes={},
        pattern=text,
        codes_sha256=None,
        disjoint=False,
        masks=masks,
        variants=choose_variants(settings, read_shares(mix), changes),
        generators="",
        options={},
        symbols=classes.symbols,
    )


def _stream(plan: Plan, settings: Settings, worker: int, workers: int) -> Iterator[Sample]:
    sampler = load_sampler(settings.checkpoints_dir)
    for number in count(worker, workers):
        for record in draw_group(plan, number * TOGETHER, None, sampler):
            yield _sample(record, plan.symbols)


def _sample(record: Record, symbols: str) -> Sample:
    variant = record.variant
    return Sample(record.index, record.code, variant.kind, variant.difficulty, variant.theme, record.captcha, symbols)


def _changes(change: Change | None) -> list[str]:
    return [
        f"{name}={','.join(map(str, value)) if isinstance(value, tuple) else value}"
        for name, value in (change or {}).items()
    ]

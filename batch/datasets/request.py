"""From the options of `batch.fill --dataset` to a plan, and the writing of it."""

import hashlib
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np
from rich.progress import TimeRemainingColumn

from batch.datasets.checksums import CHECKSUMS
from batch.datasets.codes import check_disjoint, check_unique, read_codes
from batch.datasets.formats import FORMATS
from batch.datasets.options import read_changes, read_length, read_shares, read_split
from batch.datasets.places import Place, open_place
from batch.datasets.plan import FOLDER, PLAN, DatasetError, Part, Plan, divide
from batch.datasets.writer import Writer
from batch.noise import warn_of_noise
from batch.progress import progress_bar
from batch.workers import Engine
from gantcha.alphabet import GlyphClasses
from gantcha.drawing.look import DIFFICULTIES, DRAWING, Kind
from gantcha.glyphs.checkpoints import Checkpoints
from gantcha.patterns import Pattern, pattern_of
from gantcha.stream import TOGETHER, Stream, mix_looks
from pool.settings import Settings

_CODES, _LOCK = f"{FOLDER}/codes.txt", f"{FOLDER}/lock"
_LEFT = {_LOCK, _CODES, PLAN.replace(".json", ".part"), _CODES.replace(".txt", ".part")}
"""What a kill before the plan leaves."""
_READERS = 8
"""Processes that read a split at once, each its own shards."""
_USUAL, _LARGEST = 8 * TOGETHER, 32 * TOGETHER
_IN_A_FOLDER = 10_000
"""Files; with more, file systems and viewers are slow."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What was asked for; None is the default."""

    format: str | None = None
    count: int | None = None
    codes: Path | None = None
    pattern: str | None = None
    split: str | None = None
    length: str | None = None
    mix: str | None = None
    set: tuple[str, ...] | None = None
    disjoint: bool | None = None
    masks: bool | None = None
    shard_size: int | None = None
    seed: int | None = None
    alphabet: str | None = None
    kind: str | None = None
    difficulty: str | None = None
    pixel_ratio: int | None = None

    def given(self) -> dict[str, str]:
        """Return what is not the default, as text, by the names of the options."""
        given = {name.replace("_", "-"): value for name, value in asdict(self).items() if value is not None}
        return {name: ",".join(value) if isinstance(value, tuple) else str(value) for name, value in given.items()}


def write(
    name: str,
    request: Request,
    settings: Settings,
    engine: Engine,
    *,
    resume: bool = False,
    verify: bool = False,
    extend: int | None = None,
    quiet: bool = False,
) -> str:
    """Write, resume, verify or extend a dataset in a folder or bucket; return a line that reports it.

    Nothing is left of a dataset, or of an extension, of which no shard could be written.

    Raises:
        DatasetError: the request can't be done, or differs from the dataset that is there.
        StorageError: the disk is full or not writable; finished shards stay.
        CheckpointError: a generator is missing or damaged.
    """
    place = open_place(name)
    begun = Plan.load(place)
    if verify and not resume:
        return _verify(begun, place)
    checkpoints = Checkpoints(settings.checkpoints_dir)
    classes = checkpoints.load().classes  # report a fault once, here, and not in every worker
    if not quiet:
        warn_of_noise(checkpoints, classes.characters if request.pattern or request.codes else settings.alphabet)
    if begun:
        plan, codes = _begun(begun, request, resume or bool(extend), place, checkpoints.digest())
    elif extend:
        raise DatasetError(f"{place} holds no dataset to extend")
    else:
        plan, codes = _new(request, resume, place, settings, classes, checkpoints.digest())
    with place.locked(_LOCK) as is_ours:
        if not is_ours:
            raise DatasetError(f"another process is writing {place}")
        if extend:
            plan = _extended(plan, extend, place)
        with _saved(plan, codes, begun, place), progress_bar(TimeRemainingColumn(), quiet=quiet) as progress:
            started = time.monotonic()
            drawn = Writer(plan, place).write(codes, settings.checkpoints_dir, engine, progress, thorough=verify)
            seconds = time.monotonic() - started
    held = ", ".join(f"{count} {split}" for split, count in plan.counts.items())
    return f"{place} holds {held}: {drawn} drawn in {seconds:.1f} s ({drawn / seconds:.0f} a second)"


@contextmanager
def _saved(plan: Plan, codes: Sequence[str] | None, before: Plan | None, place: Place) -> Iterator[None]:
    """Write a plan, so that a kill can be resumed from; put back what was there if no shard of it gets written."""
    recorded = place.names(CHECKSUMS)
    try:
        if before is None and codes is not None:
            place.write(_CODES, "".join(f"{code}\n" for code in codes).encode())
        plan.save(place)
        yield
    finally:
        if place.names(CHECKSUMS) <= recorded:
            if before:
                before.save(place)
            else:
                place.remove({PLAN, _CODES, _LOCK})


def _verify(plan: Plan | None, place: Place) -> str:
    if plan is None:
        raise DatasetError(f"{place} holds no dataset to verify")
    if damaged := Writer(plan, place).damaged(thorough=True):
        names = ", ".join(damaged[:3]) + ", ..." * (len(damaged) > 3)
        raise DatasetError(
            f"{place}: {len(damaged)} shards are damaged or missing ({names}): --resume --verify draws them again"
        )
    return f"{place} holds {plan.count} captchas, all as they were written"


def _begun(
    plan: Plan, request: Request, resume: bool, place: Place, generators: str
) -> tuple[Plan, Sequence[str] | None]:
    """Return the plan and the codes of a dataset that was begun."""
    if not resume:
        raise DatasetError(
            f"{place} holds a dataset: continue it with --resume, add to it with --extend, or name another folder"
        )
    given = request.given()
    if request.codes:
        given["codes"] = _digest(
            _shuffled(read_codes(request.codes, plan.classes.characters), plan.stream.seed, plan.splits)
        )
    if "seed" in given and "seed" not in plan.options:
        plan = replace(plan, options=plan.options | {"seed": str(plan.stream.seed)})
    if others := [option for option, value in given.items() if plan.options.get(option) != value]:
        before = (f"--{name} {plan.options[name]}" if name in plan.options else f"no --{name}" for name in others)
        raise DatasetError(f"{place} was begun with {', '.join(before)}: leave that option out, or name another folder")
    if plan.generators != generators:
        raise DatasetError(f"{place} was begun with other generators: set CAPTCHA_CHECKPOINTS_DIR to them")
    if plan.drawing != DRAWING:
        raise DatasetError(
            f"{place} was begun by a version of Gantcha that draws otherwise: resume it with that one, "
            "or name another folder"
        )
    if plan.codes_sha256 is None:
        return plan, None
    codes = (place.read(_CODES) or b"").decode().splitlines()
    if _digest(codes) != plan.codes_sha256:
        raise DatasetError(f"{place}/{_CODES} is damaged or missing: name another folder to begin anew")
    return plan, codes


def _new(
    request: Request, resume: bool, place: Place, settings: Settings, classes: GlyphClasses, generators: str
) -> tuple[Plan, Sequence[str] | None]:
    """Plan a dataset; give its codes as well, where they are given."""
    if bool(request.count) == bool(request.codes):
        nothing = resume and not request.count
        raise DatasetError(f"{place} holds no dataset to resume" if nothing else "give either --count or --codes")
    if place.names() - _LEFT:
        raise DatasetError(f"{place} is not empty and holds no dataset to resume: name another folder")
    mix = read_shares("mix", request.mix, "easy=0.3,standard=0.5,hard=0.2") if request.mix else {}
    for name, values in (("kind", get_args(Kind)), ("difficulty", DIFFICULTIES)):
        if getattr(request, name) and not mix.keys().isdisjoint(values):
            raise DatasetError(f"--mix names each {name}: leave --{name} out")
    if request.pattern and (request.length or request.alphabet):
        raise DatasetError("--pattern says it all: leave --length and --alphabet out")
    if request.codes and (request.pattern or request.length):
        raise DatasetError("--codes says it all: leave --pattern and --length out")
    seed = request.seed if request.seed is not None else secrets.randbits(63)
    usual = {"kind": settings.kind, "difficulty": settings.difficulty, "theme": settings.theme}
    looks = mix_looks(usual, mix, read_changes(request.set or ()), settings.alphabet, request.pixel_ratio or 1)
    codes = read_codes(request.codes, classes.characters) if request.codes else None
    count = len(codes) if codes else request.count or 0
    splits = read_split(request.split or "train=1", count)
    pattern = None
    if codes:
        if request.disjoint and request.codes:
            check_unique(codes, request.codes)
        codes = _shuffled(codes, seed, splits)
    else:
        length = read_length(request.length) if request.length else settings.length
        pattern = request.pattern or pattern_of(settings.alphabet, length, classes.characters)
        random_codes = Pattern(pattern, classes.characters)
        if request.disjoint:
            check_disjoint(random_codes, splits)
    format_, masks = request.format or "imagefolder", bool(request.masks)
    FORMATS[format_].check()
    plan = Plan(
        format=format_,
        stream=Stream(seed=seed, pattern=pattern, looks=looks, masks=masks),
        splits=splits,
        shard_sizes={split: request.shard_size or _shard_size(size) for split, size in splits.items()},
        codes_sha256=_digest(codes) if codes else None,
        disjoint=bool(request.disjoint),
        generators=generators,
        options=request.given() | ({"codes": _digest(codes)} if codes else {}),
        symbols=classes.symbols,
    )
    most = _IN_A_FOLDER // (2 if masks else 1) - 1
    if FORMATS[format_].folders and max(plan.shard_sizes.values()) > most:
        raise DatasetError(f"--shard-size {request.shard_size}: a folder should hold few files; at most {most}")
    return plan, codes


def _extended(plan: Plan, count: int, place: Place) -> Plan:
    """Add captchas to the plan of a finished dataset, in the same shares of the splits."""
    if plan.codes_sha256 is not None:
        raise DatasetError(f"{place} has the codes of a file, and there are no next ones: name another folder")
    if Writer(plan, place).damaged(thorough=False):
        raise DatasetError(f"{place} is not finished: finish it with --resume, then extend it")
    splits = {split: own for split, own in divide(count, plan.splits).items() if own}
    size = int(plan.options.get("shard-size", 0))
    return replace(
        plan, added=(*plan.added, Part(splits, {name: size or _shard_size(splits[name]) for name in splits}))
    )


def _shuffled(codes: list[str], seed: int, splits: dict[str, int]) -> list[str]:
    """Shuffle codes for several splits: the file may be sorted, and each split should be alike."""
    if len(splits) == 1:
        return codes
    return [codes[place] for place in np.random.default_rng(seed).permutation(len(codes))]


def _digest(codes: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(codes).encode()).hexdigest()


def _shard_size(count: int) -> int:
    """Choose the captchas in a shard of a split: as many shards as usual readers, none too small or too large."""
    usual = min(max(_USUAL, count // 100), _LARGEST, count // _READERS)
    return max(usual // TOGETHER, 1) * TOGETHER

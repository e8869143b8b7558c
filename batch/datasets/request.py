"""From the options of `batch.fill --dataset` to a plan, and the writing of it."""

import hashlib
import re
import secrets
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.progress import TimeRemainingColumn

from batch.alphabet import CLASSES_BY_CHARACTER
from batch.datasets.plan import FOLDER, DatasetError, Plan
from batch.datasets.records import TOGETHER
from batch.datasets.writer import write_dataset
from batch.drawing.style import MOST_BOXES, choose_style
from batch.drawing.workers import Engine
from batch.glyphs.checkpoints import Checkpoints
from batch.progress import progress_bar
from pool.settings import Settings
from pool.storage.atomic import write_durably

_SHARDS, _SMALLEST, _LARGEST = 100, 2 * TOGETHER, 20 * TOGETHER
_LENGTH = re.compile(r"(\d+)(?:-(\d+))?")
_SPLIT = re.compile(r"([a-z][a-z0-9_]*)=(0?\.\d+|1(?:\.0*)?)")


@dataclass(frozen=True)
class Request:
    """What was asked for; None is the default."""

    format: str
    count: int | None
    codes: Path | None
    split: str
    length: str | None
    shard_size: int | None
    seed: int | None


def write(folder: Path, request: Request, resume: bool, settings: Settings, engine: Engine, quiet: bool) -> str:
    """Write or resume a dataset; return a line that reports it.

    Raises:
        DatasetError: the request can't be done, or differs from the dataset in the folder.
        StorageError: the disk is full or not writable; finished shards stay.
        CheckpointError: a generator is missing or damaged.
    """
    checkpoints = Checkpoints(settings.checkpoints_dir)
    checkpoints.load()  # report a fault once, here, and not in every worker
    begun, kept_codes = Plan.load(folder), folder / FOLDER / "codes.txt"
    if begun and not resume:
        raise DatasetError(f"{folder} holds a dataset: continue it with --resume, or name another folder")
    if not begun and folder.is_dir() and any(folder.iterdir()):
        raise DatasetError(f"{folder} is not empty and holds no dataset to resume: name another folder")
    if begun and request.count is None and request.codes is None:
        plan = replace(begun, generators=checkpoints.digest())
        codes = _read_codes(kept_codes) if begun.codes_sha256 else None
    else:
        seed = request.seed if request.seed is not None else begun.seed if begun else secrets.randbits(63)
        codes = _read_codes(request.codes) if request.codes else None
        plan = _plan(request, codes, seed, settings, checkpoints.digest())
        if codes and len(plan.splits) > 1:  # the file may be sorted, and each split should be alike
            codes = [codes[place] for place in np.random.default_rng(seed).permutation(len(codes))]
    if begun and (others := [name.removesuffix("_sha256") for name in plan.differences(begun)]):
        raise DatasetError(f"{folder} was begun with other {', '.join(others)}: name another folder")
    if not begun:
        if codes:
            write_durably(kept_codes, "".join(f"{code}\n" for code in codes).encode())
        plan.save(folder)
    started = time.monotonic()
    with progress_bar(TimeRemainingColumn(), quiet=quiet) as progress:
        drawn = write_dataset(plan, codes, folder, settings.checkpoints_dir, engine, progress)
    seconds = time.monotonic() - started
    held = ", ".join(f"{count} {split}" for split, count in plan.splits.items())
    return f"{folder} holds {held}: {drawn} drawn in {seconds:.1f} s ({drawn / seconds:.0f} a second)"


def _plan(request: Request, codes: list[str] | None, seed: int, settings: Settings, generators: str) -> Plan:
    if bool(request.count) == bool(codes):
        raise DatasetError("give either --count or --codes")
    count = request.count or len(codes or ())
    usual = (-(-count // _SHARDS // TOGETHER)) * TOGETHER
    return Plan(
        request.format,
        seed,
        _split(request.split, count),
        request.shard_size or min(max(usual, _SMALLEST), _LARGEST),
        settings.alphabet,
        _lengths(request.length or str(settings.length)),
        hashlib.sha256("\n".join(codes).encode()).hexdigest() if codes else None,
        settings.kind,
        settings.difficulty,
        choose_style(settings),
        generators,
    )


def _split(text: str, count: int) -> dict[str, int]:
    """Divide a count by shares: `train=0.9,val=0.1`."""
    parts = [_SPLIT.fullmatch(part.strip()) for part in text.split(",")]
    shares = {part[1]: float(part[2]) for part in parts if part}
    if len(shares) != len(parts) or abs(sum(shares.values()) - 1) > 1e-6:
        raise DatasetError(f"--split {text}: must look like train=0.9,val=0.1, with shares that make up 1")
    ends = np.rint(np.cumsum(list(shares.values())) * count).astype(int).tolist()
    counts = dict(zip(shares, np.diff([0, *ends]).tolist(), strict=True))
    if empty := [name for name, size in counts.items() if not size]:
        raise DatasetError(f"--split {text}: nothing of {count} captchas is left for {', '.join(empty)}")
    return counts


def _lengths(text: str) -> tuple[int, int]:
    """Read the shortest and the longest: `6` or `4-8`."""
    match = _LENGTH.fullmatch(text.strip())
    shortest, longest = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 1 <= shortest <= longest <= MOST_BOXES:
        raise DatasetError(f"--length {text}: must be a number up to {MOST_BOXES}, or two such as 4-8")
    return shortest, longest


def _read_codes(path: Path) -> list[str]:
    try:
        lines = path.read_text().lower().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} can't be read: {getattr(error, 'strerror', None) or 'it is no text'}") from error
    codes = [line.strip() for line in lines]
    for number, code in enumerate(codes, 1):
        if code and (len(code) > MOST_BOXES or not set(code) <= set(CLASSES_BY_CHARACTER)):
            raise DatasetError(f"{path}, line {number}: {code!r} is not 1 to {MOST_BOXES} characters of 0-9 and a-z")
    if not any(codes):
        raise DatasetError(f"{path} has no codes")
    return [code for code in codes if code]

"""What a dataset will hold: all that its bytes depend on besides library versions and kind of processor."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Self

import numpy as np

from batch.datasets.places import Place
from gantcha.alphabet import BYMERGE, GlyphClasses
from gantcha.drawing.look import DRAWING, Look
from gantcha.errors import GantchaError
from gantcha.stream import TOGETHER, MixedLook, Stream

FOLDER = ".gantcha"
"""Folder of a dataset that holds what resuming and verifying need."""
PLAN = f"{FOLDER}/plan.json"


class DatasetError(GantchaError):
    """A dataset can't be written or read as requested."""


class Shard(NamedTuple):
    """A part of a dataset: drawn at once, and written as a whole or not at all."""

    split: str
    number: int
    """within the split"""
    start: int
    """first of its captchas, which are numbered through all splits"""
    end: int
    of: int
    """shards of the split when this one was planned"""


class Part(NamedTuple):
    """Captchas that were asked for at once."""

    splits: dict[str, int]
    """captchas of each split, in this order"""
    shard_sizes: dict[str, int]
    """captchas in a shard of each split"""


class _Run(NamedTuple):
    """Captchas of a part that follow each other in one split."""

    split: str
    numbers: range
    shard_size: int


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A dataset before it is drawn."""

    format: str
    stream: Stream
    splits: dict[str, int]
    """captchas of each split at first, in this order"""
    shard_sizes: dict[str, int]
    """captchas in a shard of each split at first"""
    added: tuple[Part, ...] = ()
    """what the dataset was extended by"""
    codes_sha256: str | None = None
    """digest of given codes"""
    disjoint: bool = False
    """whether no random code is in two splits"""
    generators: str
    """digest of the generators"""
    options: dict[str, str]
    """what was asked for on the command line"""
    drawing: int = DRAWING
    """version of the drawing"""
    symbols: str = BYMERGE.symbols
    """symbols of the glyph classes"""

    @property
    def count(self) -> int:
        """Total number of captchas."""
        return sum(self.counts.values())

    @property
    def counts(self) -> dict[str, int]:
        """Captchas of each split."""
        total = Counter(self.splits)
        for part in self.added:
            total.update(part.splits)
        return dict(total)

    @property
    def classes(self) -> GlyphClasses:
        """The glyph classes."""
        return GlyphClasses(self.symbols)

    def shard_count(self, split: str) -> int:
        """Return the number of shards of a split."""
        return sum(shard.split == split for shard in self.shards())

    def split_of(self, index: int) -> str:
        """Return the split of a captcha; for numbers between parts, the last one of the first of these parts."""
        return [run.split for run in self._runs() if run.numbers.start <= index][-1]

    def shards(self) -> Iterator[Shard]:
        """Divide the splits into shards."""
        before: Counter[str] = Counter()
        for split, numbers, size in self._runs():
            starts = numbers[::size]
            first = before[split]
            before[split] += len(starts)
            for number, start in enumerate(starts, first):
                yield Shard(split, number, start, min(start + size, numbers.stop), before[split])

    def _runs(self) -> Iterator[_Run]:
        end = 0
        for part in (Part(self.splits, self.shard_sizes), *self.added):
            # Captchas that are drawn together are of one part: with --disjoint, what follows would change them.
            end = -(-end // TOGETHER) * TOGETHER
            for split, count in part.splits.items():
                yield _Run(split, range(end, end + count), part.shard_sizes[split])
                end += count

    def save(self, place: Place) -> None:
        """Write the plan into a dataset. Raises StorageError when that is not writable."""
        place.write(PLAN, json.dumps(asdict(self), indent=1).encode() + b"\n")

    @classmethod
    def load(cls, place: Place) -> Self | None:
        """Read the plan of a dataset that was begun; None if there is none.

        Raises:
            DatasetError: it is not what this version writes.
            StorageError: it can't be read.
        """
        content = place.read(PLAN)
        if content is None:
            return None
        try:
            stored: dict[str, Any] = json.loads(content)
            stream = stored["stream"]
            looks = tuple(MixedLook(share, _look(look)) for share, look in stream["looks"])
            added = tuple(Part(*part) for part in stored.get("added", ()))
            # The plans of the first version do not name the drawing.
            return cls(**{"drawing": 1} | stored | {"stream": Stream(**stream | {"looks": looks}), "added": added})
        except (ValueError, TypeError, KeyError) as error:
            raise DatasetError(f"{place}/{PLAN} is no plan that this version can read: {error!r}") from error


def divide(count: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Divide a count by shares, whatever their sum."""
    ends = np.rint(np.cumsum(list(shares.values())) / sum(shares.values()) * count).astype(int).tolist()
    return dict(zip(shares, np.diff([0, *ends]).tolist(), strict=True))


def _look(stored: dict[str, Any]) -> Look:
    values: dict[str, Any] = {k: tuple(value) if isinstance(value, list) else value for k, value in stored.items()}
    return Look(**values)

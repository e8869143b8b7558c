"""What a dataset will hold: all that its bytes depend on besides library versions and kind of processor."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any, NamedTuple, Self

from batch.datasets.places import Place
from gantcha.alphabet import BYMERGE, GlyphClasses
from gantcha.drawing.look import DRAWING, Look
from gantcha.errors import GantchaError
from gantcha.stream import MixedLook, Stream

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


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A dataset before it is drawn."""

    format: str
    stream: Stream
    splits: dict[str, int]
    """captchas of each split, in this order"""
    shard_sizes: dict[str, int]
    """captchas in a shard of each split"""
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
        return sum(self.splits.values())

    @property
    def classes(self) -> GlyphClasses:
        """The glyph classes."""
        return GlyphClasses(self.symbols)

    def shard_count(self, split: str) -> int:
        """Return the number of shards of a split."""
        return -(-self.splits[split] // self.shard_sizes[split])

    def split_of(self, index: int) -> str:
        """Return the split of a captcha; the last one for indices beyond all."""
        ends = zip(self.splits, accumulate(self.splits.values()), strict=True)
        return next((split for split, end in ends if index < end), [*self.splits][-1])

    def shards(self) -> Iterator[Shard]:
        """Divide the splits into shards."""
        first = 0
        for split, count in self.splits.items():
            size = self.shard_sizes[split]
            for number, start in enumerate(range(first, first + count, size)):
                yield Shard(split, number, start, min(start + size, first + count))
            first += count

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
            # The plans of the first version do not name it.
            return cls(**{"drawing": 1} | stored | {"stream": Stream(**stream | {"looks": looks})})
        except (ValueError, TypeError, KeyError) as error:
            raise DatasetError(f"{place}/{PLAN} is no plan that this version can read: {error!r}") from error


def _look(stored: dict[str, Any]) -> Look:
    values: dict[str, Any] = {k: tuple(value) if isinstance(value, list) else value for k, value in stored.items()}
    return Look(**values)

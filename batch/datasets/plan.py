"""What a dataset will hold: all that its bytes depend on besides library versions and kind of processor."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any, NamedTuple, Self

from batch.alphabet import BYMERGE, GlyphClasses
from batch.datasets.places import Place
from batch.drawing.style import RenderStyle
from pool.errors import GantchaError

FOLDER = ".gantcha"
"""Of a dataset: what resuming and verifying it needs."""
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


@dataclass(frozen=True)
class Variant:
    """One of the looks that a dataset mixes."""

    kind: str
    difficulty: str
    theme: str
    share: float
    style: RenderStyle


@dataclass(frozen=True)
class Plan:
    """A dataset before it is drawn."""

    format: str
    seed: int
    splits: dict[str, int]
    """captchas of each, in this order"""
    shard_sizes: dict[str, int]
    """captchas in a shard of each split"""
    pattern: str | None
    """of random codes; None for given ones"""
    codes_sha256: str | None
    """of given codes"""
    disjoint: bool
    """no random code is in two splits"""
    masks: bool
    variants: tuple[Variant, ...]
    generators: str
    """sha256 of the checkpoints' manifest"""
    options: dict[str, str]
    """what was asked for on the command line"""
    symbols: str = BYMERGE.symbols
    """of the glyph classes"""

    @property
    def count(self) -> int:
        """Total number of captchas."""
        return sum(self.splits.values())

    @property
    def classes(self) -> GlyphClasses:
        """The glyph classes."""
        return GlyphClasses(self.symbols)

    def shard_count(self, split: str) -> int:
        """Give the number of shards of a split."""
        return -(-self.splits[split] // self.shard_sizes[split])

    def split_of(self, index: int) -> str:
        """Give the split of a captcha; the last one for indices beyond all."""
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
            variants = tuple(Variant(**fields | {"style": _style(fields["style"])}) for fields in stored["variants"])
            return cls(**stored | {"variants": variants})
        except (ValueError, TypeError, KeyError) as error:
            raise DatasetError(f"{place}/{PLAN} is no plan that this version can read: {error!r}") from error


def _style(stored: dict[str, Any]) -> RenderStyle:
    values: dict[str, Any] = {k: tuple(value) if isinstance(value, list) else value for k, value in stored.items()}
    return RenderStyle(**values)

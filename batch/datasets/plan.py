"""What a dataset will hold: all that its bytes depend on besides library versions and kind of processor."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple, Self

from batch.drawing.style import RenderStyle
from pool.errors import GantchaError
from pool.storage.atomic import write_durably

FOLDER = ".gantcha"
"""Of a dataset: what resuming it needs."""


class DatasetError(GantchaError):
    """A dataset can't be written as requested."""


class Shard(NamedTuple):
    """A part of a dataset: drawn at once, and written as a whole or not at all."""

    split: str
    number: int
    """within the split"""
    start: int
    """first of its captchas, which are numbered through all splits"""
    end: int


@dataclass(frozen=True)
class Plan:
    """A dataset before it is drawn."""

    format: str
    seed: int
    splits: dict[str, int]
    """captchas of each, in this order"""
    shard_size: int
    alphabet: str
    lengths: tuple[int, int]
    """shortest and longest code"""
    codes_sha256: str | None
    """of the codes to draw; None for random codes"""
    kind: str
    difficulty: str
    style: RenderStyle
    generators: str
    """sha256 of the checkpoints' manifest"""

    @property
    def count(self) -> int:
        """Total number of captchas."""
        return sum(self.splits.values())

    def shards(self) -> Iterator[Shard]:
        """Divide the splits into shards."""
        first = 0
        for split, count in self.splits.items():
            for number, start in enumerate(range(first, first + count, self.shard_size)):
                yield Shard(split, number, start, min(start + self.shard_size, first + count))
            first += count

    def differences(self, other: Self) -> list[str]:
        """Name the fields in which another plan differs."""
        return [field.name for field in fields(self) if getattr(self, field.name) != getattr(other, field.name)]

    def save(self, folder: Path) -> None:
        """Write the plan into a dataset's folder. Raises StorageError when that is not writable."""
        write_durably(folder / FOLDER / "plan.json", json.dumps(asdict(self), indent=1).encode() + b"\n")

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """Read the plan of a dataset that was begun; None if there is none.

        Raises:
            DatasetError: it is not what this version writes.
        """
        path = folder / FOLDER / "plan.json"
        try:
            stored: dict[str, Any] = json.loads(path.read_bytes())
            style: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in stored["style"].items()}
            read: dict[str, Any] = {"lengths": tuple(stored["lengths"]), "style": RenderStyle(**style)}
            return cls(**stored | read)
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError) as error:
            raise DatasetError(f"{path} is no plan that this version can read: {error!r}") from error

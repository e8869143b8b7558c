"""What options of the command line say, as text, in the types of the library."""

import re

from batch.datasets.plan import DatasetError, divide
from gantcha.drawing.look import Change, Range
from gantcha.stream import add_up

_SHARES = re.compile(r"([a-z][a-z0-9_-]*)=(0?\.\d+|1(?:\.0*)?)")
_LENGTH = re.compile(r"(\d+)(?:-(\d+))?")


def read_length(text: str) -> int | tuple[int, int]:
    """Read `6` or `4-8`. Raises DatasetError for another text."""
    match = _LENGTH.fullmatch(text.strip())
    if not match:
        raise DatasetError(f"--length {text}: must be a number, or two such as 4-8")
    return (int(match[1]), int(match[2])) if match[2] else int(match[1])


def read_shares(option: str, text: str, example: str) -> dict[str, float]:
    """Read shares such as `easy=0.3,hard=0.7`. Raises DatasetError for another text, or a name that comes twice."""
    parts = [_SHARES.fullmatch(part.strip()) for part in text.split(",")]
    shares = {part[1]: float(part[2]) for part in parts if part}
    if len(shares) != len(parts):
        raise DatasetError(f"--{option} {text}: must look like {example}")
    return shares


def read_changes(texts: tuple[str, ...]) -> Change:
    """Read settings of the look such as `noise=0.1` and `contrast=0.5,0.9`. Raises DatasetError for another text."""
    changes: dict[str, float | Range] = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            ends = [float(end) for end in value.split(",")]
        except ValueError as error:
            raise DatasetError(f"--set {text}: must look like noise=0.1, or contrast=0.5,0.9 for a range") from error
        changes[name] = ends[0] if len(ends) == 1 else (ends[0], ends[-1])
    return changes


def read_split(text: str, count: int) -> dict[str, int]:
    """Divide a count by shares such as `train=0.9,val=0.1`. Raises DatasetError for other texts and empty splits."""
    example = "train=0.9,val=0.1, with shares that make up 1"
    shares = read_shares("split", text, example)
    if not add_up(list(shares.values())):
        raise DatasetError(f"--split {text}: must look like {example}")
    counts = divide(count, shares)
    if empty := [name for name, size in counts.items() if not size]:
        raise DatasetError(f"--split {text}: nothing of {count} captchas is left for {', '.join(empty)}")
    return counts

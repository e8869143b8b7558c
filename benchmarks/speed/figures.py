"""A measured figure, usually compared with another one measured in turn in the same run."""

from collections.abc import Callable
from statistics import median
from typing import NamedTuple, TypeVar

ROUNDS = 5
Result = TypeVar("Result")


class Figure(NamedTuple):
    """One line of the table."""

    measure: str
    ours: float
    unit: str
    against: str = ""
    """what it is compared with"""
    theirs: float | None = None

    @property
    def ratio(self) -> float | None:
        """Ours to theirs."""
        return self.ours / self.theirs if self.theirs else None

    @property
    def gain(self) -> float | None:
        """How many times better than theirs: higher rates are better, otherwise lower values."""
        return 1 / self.ratio if self.ratio and not self.unit.endswith("/s") else self.ratio


def by_turns(*measures: Callable[[], Result], rounds: int = ROUNDS) -> list[list[Result]]:
    """Run each measure once per round; return the list of results of each."""
    results_of_rounds = [[measure() for measure in measures] for _ in range(rounds)]
    return [list(results) for results in zip(*results_of_rounds, strict=True)]


def medians(*measures: Callable[[], float]) -> list[float]:
    """Run each measure once per round; return the median of each."""
    return [median(results) for results in by_turns(*measures)]

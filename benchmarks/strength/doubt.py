"""What doubt costs an attacker and visitors, in a simulated hour: `python -m benchmarks.strength.doubt`."""

import heapq
import logging
import sys
from collections.abc import Iterator
from typing import Annotated, NamedTuple

import numpy as np
import structlog
import typer
from fastapi import HTTPException
from rich.console import Console
from rich.table import Table

from gantcha.terminal import run
from pool.counters import Counters
from pool.settings import Settings
from server.access.doubt import Doubt
from server.access.keys import Keys
from server.access.limits import Limits
from server.access.work import TRIES, TRY_SECONDS, Use, Work

_HOUR = 3600.0
_START = 1_800_000_000.0
_VISITORS = 1000
_OFFICE = 50  # visitors behind one address
_TRIES = 5
_READING_SECONDS = (6.0, 15.0)  # from challenge to answer, for a person
_ATTACKER_SECONDS = 2.0  # answering sooner would be noticed, and the limits allow no more answers anyway
_WIDTH = 120
_SITE, _OTHER_SITE = "www.example.com", "other.example"


class Success(NamedTuple):
    """Share of right answers by whether the challenge is a harder one."""

    usual: float
    harder: float


class Scenario(NamedTuple):
    """One row of the table."""

    name: str
    attackers: tuple[str, ...] = ()
    """addresses"""
    office: int = 1
    """visitors behind one address"""
    attack_site: str = _OTHER_SITE
    """in whose name the attacker asks for challenges; answers are for the visitors' site, or tokens would not count"""
    attack_seconds: float = _ATTACKER_SECONDS
    """from one challenge to the next, of each address"""
    work: tuple[Use, ...] = ()
    """what each attempt has to do first, at light work"""
    cores: int = 1
    """of the attacker, for all addresses"""


class Outcome(NamedTuple):
    """What an hour brought."""

    stolen: int
    """challenges that the attacker solved"""
    annoyed: int
    """visitors who were shown a harder challenge"""
    gave_up: int
    """visitors who solved none"""


def _addresses(count: int) -> tuple[str, ...]:
    return tuple(f"198.51.100.{number}" for number in range(count))


_SCENARIOS = (
    Scenario("no attack"),
    Scenario("no attack; offices of 50", office=_OFFICE),
    Scenario("attacker with 1 address", _addresses(1)),
    Scenario("attacker with 10 addresses", _addresses(10)),
    Scenario("attacker with 100 addresses", _addresses(100)),
    Scenario("the same, asks in the site's name", _addresses(100), attack_site=_SITE),
    Scenario("the same, an answer in 100 s each", _addresses(100), attack_seconds=100),
    Scenario("1,000 addresses, one in 10 min each", _addresses(1000), attack_seconds=600),
    Scenario("the same, asks in the site's name", _addresses(1000), attack_site=_SITE, attack_seconds=600),
    Scenario("attacker in one of 20 offices of 50", ("office 0",), office=_OFFICE),
)


_ATTACKS: dict[str, tuple[Success, tuple[Use, ...]]] = {
    "OCR": (Success(0.12, 0.02), ("picture",)),
    "a solver trained for 20 minutes": (Success(0.90, 0.51), ("picture",)),
    "one of sounds, for 5 minutes": (Success(0.6, 0.6), ("picture", "sound")),
}
"""Success by attack, and the work of an attempt."""
_CORES = 1, 8, 64


class Hour:
    """One hour of visitors and an attacker, with the counters, limits and decisions of the server."""

    def __init__(self, scenario: Scenario, person: Success, solver: Success, rng: np.random.Generator) -> None:
        self._scenario, self._person, self._solver, self._rng = scenario, person, solver, rng
        self._now = _START
        counters = Counters(lambda: self._now)
        self._doubt = Doubt(counters, lambda: self._now)
        settings = Settings(work="light")
        self._limits = Limits(settings, counters)
        self._work = Work(settings, Keys(settings), list)
        self._cores_free_at = [_START] * scenario.cores
        self._challenges = 0
        self._stolen, self._annoyed, self._gave_up = 0, set[int](), 0

    def run(self, *, with_doubt: bool) -> Outcome:
        """Let everyone act in the order of time."""
        arrivals = _START + self._rng.uniform(0, _HOUR, _VISITORS)
        actors = [self._attack(address, with_doubt=with_doubt) for address in self._scenario.attackers]
        actors += [self._visit(number, with_doubt=with_doubt) for number in range(_VISITORS)]
        attacks = _START + self._rng.uniform(0, self._scenario.attack_seconds, len(self._scenario.attackers))
        begin = [*attacks, *arrivals]
        queue = [(time, number) for number, time in enumerate(begin)]
        heapq.heapify(queue)
        while queue:
            self._now, number = heapq.heappop(queue)
            if (seconds := next(actors[number], None)) is not None:
                heapq.heappush(queue, (self._now + seconds, number))
        return Outcome(self._stolen, len(self._annoyed), self._gave_up)

    def _attack(self, address: str, *, with_doubt: bool) -> Iterator[float]:
        """Ask and answer as fast as the limits allow; yield the seconds until the next step."""
        while self._now < _START + _HOUR:
            yield from self._spend("issue", address)
            challenge, is_harder = self._ask(address, self._scenario.attack_site, with_doubt=with_doubt)
            yield max(_ATTACKER_SECONDS, self._compute(in_doubt=is_harder))
            yield from self._spend("answer", address)
            if self._now < _START + _HOUR:
                self._stolen += self._answer(challenge, address, self._solver[is_harder])
            yield self._scenario.attack_seconds - _ATTACKER_SECONDS

    def _compute(self, *, in_doubt: bool) -> float:
        """Do the work of an attempt on the first core that is free; return the seconds until it is done."""
        weight = sum(self._work.weight(use, None, in_doubt=in_doubt) for use in self._scenario.work)
        begin = max(self._now, heapq.heappop(self._cores_free_at))
        end = begin + TRY_SECONDS * self._rng.uniform(0, TRIES * weight)
        heapq.heappush(self._cores_free_at, end)
        return end - self._now

    def _visit(self, number: int, *, with_doubt: bool) -> Iterator[float]:
        """Try until one is solved, or up to five times."""
        office = self._scenario.office
        address = f"visitor {number}" if office == 1 else f"office {number // office}"
        for _ in range(_TRIES):
            yield from self._spend("issue", address)
            challenge, is_harder = self._ask(address, _SITE, with_doubt=with_doubt)
            if is_harder:
                self._annoyed.add(number)
            yield self._rng.uniform(*_READING_SECONDS)
            yield from self._spend("answer", address)
            if self._answer(challenge, address, self._person[is_harder]):
                return
        self._gave_up += 1

    def _spend(self, action: str, address: str) -> Iterator[float]:
        """Wait as long as the limit says, if it is exceeded."""
        while True:
            try:
                self._limits.spend(action, address)
            except HTTPException as error:
                yield float((error.headers or {})["Retry-After"])
            else:
                return

    def _ask(self, address: str, site: str, *, with_doubt: bool) -> tuple[str, bool]:
        """Return the id of a challenge, and whether it is a harder one."""
        self._challenges += 1
        challenge = str(self._challenges)
        is_harder = with_doubt and self._doubt.reason(address, site) is not None
        self._doubt.note_challenge(challenge, address, site)
        return challenge, is_harder

    def _answer(self, challenge: str, address: str, success: float) -> bool:
        is_right = bool(self._rng.random() < success)
        self._doubt.note_answer(challenge, address, _SITE, is_right=is_right)
        return is_right


def main(
    person: Annotated[tuple[float, float], typer.Option(help="Success of people: usual, harder.")] = (0.97, 0.88),
    solver: Annotated[tuple[float, float], typer.Option(help="Success of the solver: usual, harder.")] = (0.12, 0.02),
    seed: Annotated[int, typer.Option(min=0)] = 1,
) -> None:
    """Simulate an hour of 1,000 visitors and an attacker, without and with doubt; a simulation, not a measurement.

    Counters, limits and decisions are those of the server, on a simulated clock. The attacker answers as fast as the
    default limits allow.

    \b
    Examples:
        python -m benchmarks.strength.doubt
        python -m benchmarks.strength.doubt --person 0.9 0.6 --solver 0.7 0.7
    """
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))  # who is limited, is known
    table = Table("an hour of 1,000 visitors", title="without -> with doubt")
    for column in ("the attacker solved", "visitors shown a harder one", "visitors who gave up"):
        table.add_column(column, justify="right")
    for scenario in _SCENARIOS:
        without, with_doubt = (
            Hour(scenario, Success(*person), Success(*solver), np.random.default_rng(seed)).run(with_doubt=doubted)
            for doubted in (False, True)
        )
        pairs = [f"{before:,} -> {after:,}" for before, after in zip(without, with_doubt, strict=True)]
        table.add_row(scenario.name, *pairs)
    console = Console(width=None if sys.stdout.isatty() else _WIDTH, highlight=False)
    console.print(table)
    console.print(_table_of_work(seed))


def _table_of_work(seed: int) -> Table:
    table = Table("100 addresses, with doubt", title="codes that attackers solve in an hour")
    for column in ("no work", *(f"light work, {cores} core{'s' * (cores > 1)}" for cores in _CORES)):
        table.add_column(column, justify="right")
    for name, (success, work) in _ATTACKS.items():
        scenarios = [Scenario(name, _addresses(100))]
        scenarios += [scenarios[0]._replace(work=work, cores=cores) for cores in _CORES]
        hours = (Hour(one, Success(1, 1), success, np.random.default_rng(seed)) for one in scenarios)
        table.add_row(name, *(f"{hour.run(with_doubt=True).stolen:,}" for hour in hours))
    return table


if __name__ == "__main__":
    run(main)

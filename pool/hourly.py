"""What all servers of a pool counted in each hour of the last two days: sums, without anything of a visitor."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from sqlalchemy import Engine, bindparam, select

from pool import database
from pool.models import hourly

HOUR = 3600
HOURS = 48
"""Hours that are kept."""
_KEPT = select(hourly).where(hourly.c.start >= bindparam("first"))


class HourlySums:
    """Adds what this process counts to the sums of all; for one thread."""

    def __init__(self, read: Callable[[], Mapping[str, int]], clock: Callable[[], float] = time.time) -> None:
        """`read` returns counts that only grow, by name."""
        self._read, self._clock, self._known = read, clock, read()
        self._unwritten = Counter[tuple[int, str]]()

    def note(self) -> None:
        """Take what was counted since the last call for the current hour."""
        start, counts = int(self._clock()) // HOUR * HOUR, self._read()
        for name, count in counts.items():
            if new := count - self._known.get(name, 0):
                self._unwritten[start, name] += new
        self._known = counts

    def write(self, engine: Engine) -> None:
        """Add what was noted to the sums in the database.

        Raises:
            DatabaseError: the database does not answer; the next call writes the same again. Where it was the
                confirmation that got lost, this is counted twice.
        """
        if self._unwritten:
            # In the order of the key, so that no two processes wait for each other.
            rows = sorted((*key, count) for key, count in self._unwritten.items())
            with database.transaction(engine) as connection:
                database.insert_rows(connection, tuple(hourly.c), rows, adding=hourly.c["count"])
            self._unwritten.clear()


def read_hours(engine: Engine) -> dict[datetime, Counter[str]]:
    """Return the sums by name of each hour of the last two days, the oldest first.

    Raises:
        DatabaseError: the database does not answer.
    """
    latest = int(time.time()) // HOUR * HOUR
    hours = {start: Counter[str]() for start in range(latest - (HOURS - 1) * HOUR, latest + 1, HOUR)}
    with database.transaction(engine, **database.READ_ONLY) as connection:
        rows = database.read_rows(connection, _KEPT, first=min(hours))
    for start, name, count in rows:
        hours.setdefault(start, Counter())[name] = count  # of a host whose clock is ahead
    return {datetime.fromtimestamp(start, UTC): sums for start, sums in hours.items()}

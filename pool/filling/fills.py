"""The record of fills: when, how many, how fast, with which generators, and what went wrong.

Every function here raises DatabaseError when the database does not answer.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import Engine, insert, select, update

from gantcha.errors import GantchaError
from pool import database
from pool.errors import DatabaseError
from pool.models import fill


class Fill(NamedTuple):
    """A fill that was started."""

    started_at: datetime
    seconds: float
    added: int
    checkpoints: str | None
    """digest of the generators; None if they could not be read"""
    error: str | None


class FillRecord:
    """The row of a running fill; after a kill it shows what was done until then."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._started, self.added = engine, time.monotonic(), 0
        row = {"started_at": datetime.now(UTC), "seconds": 0.0, "added": 0}
        with database.transaction(engine) as connection:
            self._id = connection.execute(insert(fill).values(row).returning(fill.c.id)).scalar_one()

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def add(self, count: int) -> None:
        """Count what was committed to the pool."""
        self.added += count
        self.note(added=self.added, seconds=self.seconds)

    def note(self, **values: object) -> None:
        """Set columns of the row."""
        with database.transaction(self._engine) as connection:
            connection.execute(update(fill).where(fill.c.id == self._id).values(**values))


@contextmanager
def recorded(engine: Engine) -> Iterator[FillRecord]:
    """Record the fill within the `with` statement, and the error that ends it."""
    record = FillRecord(engine)
    try:
        yield record
    except GantchaError as error:
        with suppress(DatabaseError):  # the disk may be full for this as well: the first error matters
            record.note(error=str(error), seconds=record.seconds)
        raise


def last_fills(engine: Engine, count: int) -> list[Fill]:
    """Return the latest fills, the newest first."""
    columns = [fill.c[name] for name in Fill._fields]
    with database.transaction(engine, **database.READ_ONLY) as connection:
        return [Fill(*row) for row in connection.execute(select(*columns).order_by(fill.c.id.desc()).limit(count))]

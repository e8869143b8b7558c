"""The record of fills: when, how many, how fast, with which generators, and what went wrong.

Every function here raises DatabaseError when the database does not answer.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Engine, insert, or_, select, update

from gantcha.errors import GantchaError
from pool import database
from pool.errors import DatabaseError
from pool.models import Stock, fill

_LONG = timedelta(minutes=15)


class Fill(NamedTuple):
    """A fill that was started."""

    started_at: datetime
    seconds: float
    added: int
    checkpoints: str | None
    """digest of the generators; None if they could not be read"""
    error: str | None

    @property
    def ended_at(self) -> datetime:
        """When it ended; of one that runs, when it last added captchas."""
        return self.started_at + timedelta(seconds=self.seconds)


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


def last_outcome(engine: Engine) -> Fill | None:
    """Return the latest fill that added captchas or failed; one that has only begun tells nothing yet."""
    columns = [fill.c[name] for name in Fill._fields]
    tells = select(*columns).where(or_(fill.c.added > 0, fill.c.error.is_not(None)))
    with database.transaction(engine, **database.READ_ONLY) as connection:
        row = connection.execute(tells.order_by(fill.c.id.desc()).limit(1)).first()
    return Fill(*row) if row else None


def warnings(last: Fill | None, low: Mapping[Stock, int], *, is_filling: bool) -> list[str]:
    """Return what is wrong with the fills of all processes; `low` has the levels of the stocks that are low."""
    if last and last.error:
        return [f"the last fill failed at {_shown(last.ended_at)}: {last.error}"]
    if is_filling or (last and last.ended_at > datetime.now(UTC) - _LONG):
        return []
    since = f"has added captchas since {_shown(last.ended_at)}" if last else "has ever added captchas"
    return [
        f"the pool has only {level} {stock} captchas and no fill {since}: check that the server's refill, "
        "python -m server.refill or a cron job runs"
        for stock, level in low.items()
    ]


def _shown(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"

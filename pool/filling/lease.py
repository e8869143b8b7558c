"""Work that only one process may do at a time, on any host: a row with a deadline that its holder keeps extending.

Clocks can jump. On PostgreSQL, deadlines use the database's clock; on SQLite, whose processes share one host, they use
that host's monotonic clock, which jumps only at boot. A deadline that is impossibly far away is reset to one minute
from now; a live holder renews it within that minute, and a dead one loses it.

Every function here raises DatabaseError when the database does not answer.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic

from sqlalchemy import ColumnElement, Connection, Engine, Float, cast, delete, extract, func, literal, select, update
from sqlalchemy.dialects import postgresql, sqlite

from pool import database, models
from pool.errors import DatabaseError, LeaseLostError
from pool.storage.files import new_id

FILLING = "filling"
SWEEPING = "sweeping"
_SILENCE_SECONDS = 60.0
_LONG_SECONDS = 15 * 60
_row = models.lease.c


class Lease:
    """A lease that this process holds."""

    def __init__(self, engine: Engine, name: str, holder: str) -> None:
        self._engine, self._name = engine, name
        self.is_ours = (_row.name == name, _row.holder == holder)

    def renew(self) -> None:
        """Extend the deadline; call it well within a minute of the last time.

        Raises:
            LeaseLostError: another process may hold it by now.
        """
        with database.transaction(self._engine) as connection:
            later = {"deadline": _now(connection) + _SILENCE_SECONDS}
            if not connection.execute(update(models.lease).where(*self.is_ours).values(later)).rowcount:
                raise LeaseLostError(
                    f"the lease for {self._name} is lost: this process was silent for {_SILENCE_SECONDS:.0f} s"
                    " and another took over"
                )


@contextmanager
def lease(engine: Engine, name: str) -> Iterator[Lease | None]:
    """Hold the lease within the `with` statement; yield None if another process holds it."""
    holder = new_id()
    with database.transaction(engine) as connection:
        is_ours = _take(connection, name, holder)
    if not is_ours:
        yield None
        return
    held = Lease(engine, name, holder)
    try:
        yield held
    finally:
        # It lapses by itself if the database does not answer; an error inside the `with` matters more.
        with suppress(DatabaseError), database.transaction(engine) as connection:
            connection.execute(delete(models.lease).where(*held.is_ours))


def _take(connection: Connection, name: str, holder: str) -> bool:
    now = _now(connection)
    latest = now + _SILENCE_SECONDS
    too_late = _row.name == name, _row.deadline > latest
    connection.execute(update(models.lease).where(*too_late).values(deadline=latest))
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    values = {"holder": holder, "taken_at": now, "deadline": latest}
    take = insert(models.lease).values(name=name, **values)
    take = take.on_conflict_do_update(index_elements=[_row.name], set_=values, where=_row.deadline <= now)
    return connection.execute(take.returning(_row.holder)).first() is not None


def _now(connection: Connection) -> ColumnElement[float]:
    if connection.dialect.name == "sqlite":
        return literal(monotonic(), Float)
    return cast(extract("epoch", func.clock_timestamp()), Float)


def ages(engine: Engine) -> dict[str, float]:
    """Return for how many seconds each current lease has been held."""
    with database.transaction(engine, **database.READ_ONLY) as connection:
        now = _now(connection)
        # One second of tolerance for a deadline extended after this process read the clock.
        is_held = _row.deadline > now, _row.deadline <= now + _SILENCE_SECONDS + 1
        rows = connection.execute(select(_row.name, now - _row.taken_at).where(*is_held).order_by(_row.name))
        return {name: max(age, 0.0) for name, age in rows}


def is_taken(engine: Engine, name: str) -> bool:
    """Return whether any process holds the lease."""
    return name in ages(engine)


def warnings(ages: dict[str, float]) -> list[str]:
    """Return a warning for each lease that has been held for too long."""
    return [
        f"the lease for {name} has been held for {age / 60:.0f} min: check whether the process for {name} hangs"
        for name, age in ages.items()
        if age > _LONG_SECONDS
    ]

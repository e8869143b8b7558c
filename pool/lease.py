"""Work that one process at a time may do, whatever host it runs on: a row whose deadline its holder puts off.

A clock may step. Deadlines are of the database's clock on PostgreSQL; on SQLite, whose processes share a host, of that
host's monotonic clock, which steps only when it boots. A deadline that is too far away to be true is put to a minute
from now, in which a live holder renews it and a dead one loses it.
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
    """What a holder has."""

    def __init__(self, engine: Engine, name: str, holder: str) -> None:
        self._engine, self._name = engine, name
        self._is_ours = (_row.name == name, _row.holder == holder)

    def renew(self) -> None:
        """Say, well within a minute of the last time, that the holder lives.

        Raises:
            LeaseLostError: another process may hold it by now.
            DatabaseError: the database does not answer.
        """
        with database.transaction(self._engine) as connection:
            later = {"deadline": _now(connection) + _SILENCE_SECONDS}
            if not connection.execute(update(models.lease).where(*self._is_ours).values(later)).rowcount:
                raise LeaseLostError(
                    f"the lease for {self._name} is lost: this process was silent for {_SILENCE_SECONDS:.0f} s"
                    " and another took over"
                )

    def give_up(self) -> None:
        """Let the next one have it. Raises DatabaseError when the database does not answer; then it lapses."""
        with database.transaction(self._engine) as connection:
            connection.execute(delete(models.lease).where(*self._is_ours))


@contextmanager
def lease(engine: Engine, name: str) -> Iterator[Lease | None]:
    """Take the lease for the length of the block; None where another process has it.

    Raises:
        DatabaseError: the database does not answer.
    """
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
        with suppress(DatabaseError):  # it lapses by itself; what ended the block counts for more
            held.give_up()


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
    """Say for how many seconds each lease that is held has been so.

    Raises:
        DatabaseError: the database does not answer.
    """
    with database.transaction(engine, **database.READ_ONLY) as connection:
        now = _now(connection)
        # A second more, for a deadline that was put off after this process looked at the clock.
        is_held = _row.deadline > now, _row.deadline <= now + _SILENCE_SECONDS + 1
        rows = connection.execute(select(_row.name, now - _row.taken_at).where(*is_held).order_by(_row.name))
        return {name: max(age, 0.0) for name, age in rows}


def is_taken(engine: Engine, name: str) -> bool:
    """Say whether some process has the lease. Raises DatabaseError when the database does not answer."""
    return name in ages(engine)


def warnings(ages: dict[str, float]) -> list[str]:
    """Tell of each lease that has been held for suspiciously long."""
    return [
        f"the lease for {name} has been held for {age / 60:.0f} min: see whether the process that {name} runs in hangs"
        for name, age in ages.items()
        if age > _LONG_SECONDS
    ]

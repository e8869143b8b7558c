"""Work that one process at a time may do, whatever host it runs on.

On PostgreSQL an advisory lock, which goes with the connection of its holder; on SQLite a row with a deadline, which
its holder puts off for as long as it lives.
"""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Protocol

from sqlalchemy import Connection, Engine, Executable, delete, func, select, text, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import DBAPIError, PendingRollbackError

from pool import database
from pool.errors import DatabaseError, LeaseLostError
from pool.files import new_id
from pool.models import lease

FILLING = "filling"
SWEEPING = "sweeping"
_DEADLINE = timedelta(seconds=60)
_PRODUCT = 0x67616E74  # the first half of our advisory locks' keys, to tell them from other programs'


class Lease(Protocol):
    """What a holder has."""

    def renew(self) -> None:
        """Say, well within a minute of the last time, that the holder lives.

        Raises:
            LeaseLostError: another process may hold it by now.
        """


@contextmanager
def only_one(engine: Engine, name: str) -> Iterator[Lease | None]:
    """Take the lease for the length of the block; None where another process has it.

    Raises:
        DatabaseError: the database does not answer.
    """
    with _locked(engine, name) if engine.dialect.name == "postgresql" else _row_taken(engine, name) as taken:
        yield taken


def is_taken(engine: Engine, name: str) -> bool:
    """Say whether some process has the lease. Raises DatabaseError when the database does not answer."""
    if engine.dialect.name == "postgresql":
        statement: Executable = text(
            "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND classid = :product AND objid = :key"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        ).bindparams(product=_PRODUCT, key=_key(name))
    else:
        statement = select(lease.c.holder).where(lease.c.name == name, lease.c.until > datetime.now(UTC))
    with database.transaction(engine, **database.READ_ONLY) as connection:
        return connection.execute(statement).first() is not None


def _key(name: str) -> int:
    return zlib.crc32(name.encode()) >> 1  # PostgreSQL's keys are signed


class _Lock:
    """An advisory lock of PostgreSQL."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def renew(self) -> None:
        with database.told_as_database_error(self._connection.engine):
            self._connection.execute(select(1))


@contextmanager
def _locked(engine: Engine, name: str) -> Iterator[_Lock | None]:
    key = (_PRODUCT, _key(name))
    with database.told_as_database_error(engine):
        connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    with connection:
        # Not one of the engine's connections any more: closing it is what gives the lock back, come what may.
        connection.detach()
        with database.told_as_database_error(engine):
            for limit in ("idle = 10", "interval = 10", "count = 3"):  # a host that vanished holds it no longer
                connection.execute(text(f"SET tcp_keepalives_{limit}"))
            is_ours = connection.execute(select(func.pg_try_advisory_lock(*key))).scalar_one()
        try:
            yield _Lock(connection) if is_ours else None
        finally:
            if is_ours:
                with suppress(DBAPIError, PendingRollbackError):  # the line is broken: the server gives it back itself
                    # The server takes its time to notice that a connection was closed.
                    connection.execute(select(func.pg_advisory_unlock(*key)))


class _Row:
    """A row of SQLite with a deadline."""

    def __init__(self, engine: Engine, name: str, holder: str) -> None:
        self._engine = engine
        self._is_ours = (lease.c.name == name, lease.c.holder == holder)

    def renew(self) -> None:
        later = update(lease).where(*self._is_ours).values(until=datetime.now(UTC) + _DEADLINE)
        with database.transaction(self._engine) as connection:
            if not connection.execute(later).rowcount:
                raise LeaseLostError("this process was silent for so long that another took over")

    def give_up(self) -> None:
        with database.transaction(self._engine) as connection:
            connection.execute(delete(lease).where(*self._is_ours))


@contextmanager
def _row_taken(engine: Engine, name: str) -> Iterator[_Row | None]:
    now, holder = datetime.now(UTC), new_id()
    values = {"holder": holder, "until": now + _DEADLINE}
    take = (
        insert(lease)
        .values(name=name, **values)
        .on_conflict_do_update(index_elements=[lease.c.name], set_=values, where=lease.c.until <= now)
        .returning(lease.c.holder)
    )
    with database.transaction(engine) as connection:
        is_ours = connection.execute(take).first() is not None
    if not is_ours:
        yield None
        return
    row = _Row(engine, name, holder)
    try:
        yield row
    finally:
        with suppress(DatabaseError):  # it lapses by itself; what ended the block counts for more
            row.give_up()

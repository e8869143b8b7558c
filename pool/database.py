"""The engine and its transactions, on SQLite and on PostgreSQL, none of which waits for longer than its timeout."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import psycopg
from psycopg.abc import RV, PQGen
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionError

from pool.errors import DatabaseError, StorageError

READ_ONLY = {"read_only": True}
REQUEST_TIMEOUT = 3.0
"""Seconds for a transaction while a caller waits for its answer: of all that a server does."""
BATCH_TIMEOUT = 30.0
"""The same for a fill or a sweep of its own, which rather waits than fails."""
MIGRATION_TIMEOUT = 600.0
"""The same for a migration, all in one transaction: an index over many rows takes a while."""
_CONNECTIONS = 15  # of a process
_RETRY_SECONDS = 1.0
_SERVERS_SHARE = 0.9  # of the timeout: a server that waits for a lock tells of it before it counts as silent
_POSTGRESQL = {
    # A database without an encoding of its own (SQL_ASCII) would answer in bytes.
    "client_encoding": "utf8",
    # A host that vanished is given up after seconds and not after TCP's quarter of an hour.
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
}
_CURES = {
    r"no such (table|column)|^42P01|^42703": (
        "does not have the schema of this version",
        "run `alembic upgrade head`",
    ),
    r"readonly|^25006": ("is read-only", "make it writable again"),
    r"unable to open": ("can't be opened", "see that its folder is there and writable"),
    r"is full|^53100": ("is on a full disk", "free some space"),
    r"is locked|^55P03|^57014": ("is locked", "see which program keeps a transaction open"),
}
"""By SQLSTATE, or the words of SQLite, which has none."""


class _SilentError(psycopg.OperationalError):
    """The server did not answer in time."""


class _Clock(threading.local):
    """Until when the transaction of this thread may take; a thread has one at a time."""

    deadline: float | None = None

    def seconds_left(self) -> float | None:
        return None if self.deadline is None else max(self.deadline - monotonic(), 0)


_clock = _Clock()


class _Connection(psycopg.Connection[Any]):
    """A connection that is given up once the transaction's time is over.

    The server's own timeouts are of no use when the server is what stopped.
    """

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """Wait as psycopg does, but not beyond the deadline. Raises OperationalError then, and closes itself."""
        left = _clock.seconds_left()
        try:
            return super().wait(gen, interval, timeout if left is None else left)
        except psycopg.OperationalError as error:
            if _clock.seconds_left() != 0:
                raise
            self.pgconn.finish()
            raise _SilentError("no answer in time") from error


class _Outage:
    """Remembers that PostgreSQL is silent: one transaction at a time tries it again, and the others fail at once.

    Else each request would keep a thread until its own deadline, and the next ones would wait for a thread.
    """

    def __init__(self) -> None:
        self._retry_at: float | None = None

    def check(self, timeout: float) -> None:
        """Raises _SilentError while another transaction finds out."""
        if self._retry_at is not None:
            if monotonic() < self._retry_at:
                raise _SilentError("no answer in time")
            self._retry_at = monotonic() + timeout + _RETRY_SECONDS

    def note(self, error: BaseException | None) -> None:
        """Take note of how a transaction ended."""
        if isinstance(error, NoConnectionError):  # those that have the connections will tell
            return
        is_silent = isinstance(getattr(error, "orig", error), _SilentError | psycopg.errors.ConnectionTimeout)
        self._retry_at = monotonic() + _RETRY_SECONDS if is_silent else None


def connect(url: str, timeout: float = BATCH_TIMEOUT) -> Engine:
    """Make an engine for `url`; nothing is opened before the first transaction.

    A transaction fails that takes longer than `timeout` seconds, waiting and connecting included; on SQLite, one that
    waits for so long. There every transaction begins IMMEDIATE, so that two processes never read the same row before
    one of them writes it; the journal is a WAL with full syncs, so that no commit is lost with the power.

    Raises:
        StorageError: the folder of a SQLite file can't be made.
    """
    # No connection beyond those that are kept: one would be opened anew for each time that all others are in use.
    options: dict[str, Any] = {"pool_size": _CONNECTIONS, "max_overflow": 0, "pool_timeout": timeout}
    options |= {"execution_options": {"timeout": timeout, "outage": _Outage()}}
    if make_url(url).get_backend_name() == "sqlite":
        if make_url(url).database in (None, "", ":memory:"):
            del options["pool_size"], options["max_overflow"], options["pool_timeout"]  # it has one connection
        engine = create_engine(url, connect_args={"timeout": timeout}, **options)
        _make_folder(engine.url.database)
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        # Of several hosts the first may be dead: some of the time is for the next.
        arguments = _POSTGRESQL | {"connect_timeout": max(2, int(timeout * 2 / 3))}
        engine = create_engine(url, connect_args=arguments, pool_pre_ping=True, **options)
        event.listen(engine, "do_connect", _connect_postgresql)
        event.listen(engine, "begin", _begin_postgresql)
    return engine


def _make_folder(database: str | None) -> None:
    if database and database != ":memory:":
        folder = Path(database).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"can't make the database folder {folder}: {error.strerror}") from error


def _set_up_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver's own implicit BEGIN would be a deferred one
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    read_only = connection.get_execution_options().get("read_only")
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def _connect_postgresql(_dialect: object, _record: object, words: list[Any], options: dict[str, Any]) -> _Connection:
    if _clock.seconds_left() == 0:
        raise _SilentError("no answer in time")
    return _Connection.connect(*words, **options)


def _begin_postgresql(connection: Connection) -> None:
    """Let the server give up as well, so that nobody's locks outlive a client that did, or that was stopped.

    For this transaction alone: a pooler such as PgBouncer would hand what is set for a connection to others.
    """
    milliseconds = int(connection.get_execution_options()["timeout"] * _SERVERS_SHARE * 1000)
    connection.exec_driver_sql(
        f"SELECT set_config('statement_timeout', '{milliseconds}', true),"
        f" set_config('idle_in_transaction_session_timeout', '{milliseconds}', true)"
    )


@contextmanager
def transaction(engine: Engine, **options: Any) -> Iterator[Connection]:
    """Begin, commit, or roll back on an exception: the only owner of transactions.

    Raises:
        DatabaseError: the database can't be reached, is locked, full or silent, or was never migrated.
    """
    timeout, outage = (engine.get_execution_options()[name] for name in ("timeout", "outage"))
    try:
        outage.check(timeout)
        _clock.deadline = monotonic() + timeout
        try:
            with engine.connect().execution_options(**options) as connection, connection.begin():
                yield connection
        except BaseException as error:
            outage.note(error)
            raise
        finally:
            _clock.deadline = None
        outage.note(None)
    except (DBAPIError, NoConnectionError, _SilentError) as error:
        raise DatabaseError(_explain(engine, error)) from error


def _explain(engine: Engine, error: Exception) -> str:
    where = engine.url.render_as_string(hide_password=True)
    original = getattr(error, "orig", error)
    cause = (str(original).strip().splitlines() or ["no reason given"])[0]
    for pattern, (trouble, cure) in _CURES.items():
        if re.search(pattern, f"{getattr(original, 'sqlstate', None) or ''} {cause}"):
            return f"the database {where} {trouble} ({cause}): {cure}"
    return f"the database {where} does not answer: {cause}"

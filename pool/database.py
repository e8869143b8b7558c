"""The engine and its transactions, on SQLite and on PostgreSQL."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionError

from pool.errors import DatabaseError, StorageError

READ_ONLY = {"read_only": True}
_POSTGRESQL = {
    # A database without an encoding of its own (SQL_ASCII) would answer in bytes.
    "client_encoding": "utf8",
    # A host that vanished is given up after seconds and not after TCP's quarter of an hour.
    "connect_timeout": 5,
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
}


def connect(url: str) -> Engine:
    """Make an engine for `url`; nothing is opened before the first transaction.

    On SQLite every transaction begins IMMEDIATE, so that two processes never read the same row before one of
    them writes it; the journal is a WAL with full syncs, so that no commit is lost with the power.

    Raises:
        StorageError: the folder of a SQLite file can't be made.
    """
    is_sqlite = make_url(url).get_backend_name() == "sqlite"
    engine = create_engine(url, pool_pre_ping=not is_sqlite, connect_args={} if is_sqlite else _POSTGRESQL)
    if is_sqlite:
        _make_folder(engine.url.database)
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
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
    for pragma in ("busy_timeout=30000", "journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    read_only = connection.get_execution_options().get("read_only")
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


@contextmanager
def transaction(engine: Engine, **options: Any) -> Iterator[Connection]:
    """Begin, commit, or roll back on an exception: the only owner of transactions.

    Raises:
        DatabaseError: the database can't be reached, is locked or full, or was never migrated.
    """
    with (
        told_as_database_error(engine),
        engine.connect().execution_options(**options) as connection,
        connection.begin(),
    ):
        yield connection


@contextmanager
def told_as_database_error(engine: Engine) -> Iterator[None]:
    """Raise what the driver says as a DatabaseError that names the database and the cause."""
    try:
        yield
    except (DBAPIError, NoConnectionError) as error:
        raise DatabaseError(_explain(engine, error)) from error


def _explain(engine: Engine, error: DBAPIError | NoConnectionError) -> str:
    where = engine.url.render_as_string(hide_password=True)
    text = str(error.orig if isinstance(error, DBAPIError) else error)
    cause = (text.strip().splitlines() or ["no reason given"])[0]
    if re.search(r"no such (table|column)|(relation|column) .* does not exist", cause):
        return f"the database {where} has not the schema of this version ({cause}): run `alembic upgrade head`"
    return f"the database {where} does not answer: {cause}"

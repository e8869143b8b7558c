"""The engine and its transactions on SQLite and PostgreSQL; no transaction waits longer than its timeout."""

import json
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from time import monotonic
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg.abc import RV, PQGen
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionError

from gantcha.errors import StorageError
from pool.errors import DatabaseError

READ_ONLY = {"read_only": True}
REQUEST_TIMEOUT = 3.0
"""Seconds for a transaction of a server: a caller waits for the answer."""
BATCH_TIMEOUT = 30.0
"""Seconds for a fill or a sweep command, which should wait rather than fail."""
MIGRATION_TIMEOUT = 600.0
"""Seconds for a migration with all its steps: an index over many rows takes a while."""
_CONNECTIONS = 15  # connections of a process
_RETRY_SECONDS = 1.0
_SERVERS_SHARE = 0.9  # share of the timeout: the server reports a lock before it counts as silent
_POSTGRESQL = {
    # A database without an encoding (SQL_ASCII) would answer in bytes.
    "client_encoding": "utf8",
    # Give up a host that vanished after seconds, not after TCP's quarter of an hour.
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    # A pooler such as PgBouncer gives each transaction another connection, which knows none of our prepared
    # statements, or one of another client by the same name: its rows would be the answer.
    "prepare_threshold": None,
}
_CURES = {
    r"no such (table|column)|^42P01|^42703": (
        "does not have the schema of this version",
        "run `python -m gantcha migrate`",
    ),
    r"must be owner of|permission denied for schema": (
        "lets its user change no tables",
        "run `python -m gantcha migrate` once as the role that owns them, in CAPTCHA_DATABASE_URL",
    ),
    r"^42501|permission denied for": (
        "refuses its user a right",
        "grant it SELECT, INSERT, UPDATE and DELETE on all tables and USAGE on their sequences, or let it own them",
    ),
    r"^53300|too many (clients|connections)|connection slots|no more connections": (
        "has no connection left",
        f"raise its max_connections, or put a pooler before it: each process opens up to {_CONNECTIONS}",
    ),
    r"^28|authentication failed|no password supplied|no pg_hba|role .* does not exist": (
        "refuses the login",
        "check user and password in CAPTCHA_DATABASE_URL, and percent-encode special characters in them",
    ),
    r"^3D000|database .* does not exist": ("does not exist", "create it, or correct CAPTCHA_DATABASE_URL"),
    r"invalid (connection option|URI|port)": ("can't be found", "correct CAPTCHA_DATABASE_URL"),
    r"readonly|^25006": ("is read-only", "make it writable again"),
    r"unable to open": ("can't be opened", "check that its folder exists and is writable"),
    r"is full|^53100": ("is on a full disk", "free some space"),
    r"is locked|^55P03|^57014": ("is locked", "find the program that keeps a transaction open"),
}
"""Trouble and cure by SQLSTATE, or by the message of SQLite, which has no SQLSTATE."""


class _SilentError(psycopg.OperationalError):
    """The server did not answer in time."""


class _Clock(threading.local):
    """Deadline of the current transaction of this thread; a thread has one transaction at a time."""

    deadline: float | None = None

    def seconds_left(self) -> float | None:
        return None if self.deadline is None else max(self.deadline - monotonic(), 0)


_clock = _Clock()


class _Connection(psycopg.Connection[Any]):
    """A connection that gives up at the transaction's deadline.

    The server's own timeouts do not help when the server itself has stopped.
    """

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """Wait as psycopg does, but not beyond the deadline: then close it and raise an OperationalError."""
        left = _clock.seconds_left()
        try:
            return super().wait(gen, interval, timeout if left is None else left)
        except psycopg.OperationalError as error:
            if _clock.seconds_left() != 0:
                raise
            self.pgconn.finish()
            raise _SilentError("no answer in time") from error


class _Outage:
    """Remembers that PostgreSQL is silent: one transaction at a time tries again, and the others fail at once.

    Otherwise each request would occupy a thread until its deadline, and the next requests would wait for a thread.
    """

    def __init__(self) -> None:
        self._retry_at: float | None = None

    def check(self, timeout: float) -> None:
        """Raise a _SilentError while another transaction tries the database."""
        if self._retry_at is not None:
            if monotonic() < self._retry_at:
                raise _SilentError("no answer in time")
            self._retry_at = monotonic() + timeout + _RETRY_SECONDS

    def note(self, error: BaseException | None) -> None:
        """Note how a transaction ended."""
        if isinstance(error, NoConnectionError):  # the transactions that hold the connections will report it
            return
        is_silent = isinstance(getattr(error, "orig", error), _SilentError | psycopg.errors.ConnectionTimeout)
        self._retry_at = monotonic() + _RETRY_SECONDS if is_silent else None


class _Turn:
    """Lets one thread of this process at a time write to SQLite.

    SQLite's own lock is polled, with pauses of up to a tenth of a second; this one is for other processes only.
    """

    def __init__(self, url: str) -> None:
        self._lock = threading.Lock() if sa.make_url(url).get_backend_name() == "sqlite" else None

    @contextmanager
    def taken(self, seconds: float, *, read_only: bool = False) -> Iterator[None]:
        """Wait for this thread's turn. Raises NoConnectionError if it does not come in time; others may still read."""
        if self._lock is None or read_only:
            yield
            return
        if not self._lock.acquire(timeout=seconds):
            raise NoConnectionError("the database is locked")
        try:
            yield
        finally:
            self._lock.release()


def connect(url: str, timeout: float = BATCH_TIMEOUT) -> sa.Engine:
    """Make an engine for `url`; nothing is opened before the first transaction.

    A transaction fails if it takes longer than `timeout` seconds, including waiting and connecting; on SQLite, only if
    it waits that long for a lock. On SQLite writing transactions begin IMMEDIATE, so two processes never read the same
    row before one writes it. The journal is a WAL with full syncs, so a power cut loses no commit.

    Raises:
        StorageError: the folder of a SQLite file can't be made.
    """
    # No overflow: an overflow connection would be opened anew each time all others are in use.
    options: dict[str, Any] = {"pool_size": _CONNECTIONS, "max_overflow": 0, "pool_timeout": timeout}
    options |= {"execution_options": {"timeout": timeout, "outage": _Outage(), "turn": _Turn(url)}}
    options["hide_parameters"] = True  # errors are logged, and would show codes and what pages sent
    if sa.make_url(url).get_backend_name() == "sqlite":
        file = sa.make_url(url).database
        if file in (None, "", ":memory:"):
            del options["pool_size"], options["max_overflow"], options["pool_timeout"]  # it has one connection
        else:
            _make_folder(Path(file).parent)
        engine = sa.create_engine(url, connect_args={"timeout": timeout}, **options)
        sa.event.listen(engine, "connect", _set_up_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
    else:
        # With several hosts the first may be dead: leave some time for the next.
        arguments = _POSTGRESQL | {"connect_timeout": max(2, int(timeout * 2 / 3))}
        # The locks of rows are enough; a database whose default is stricter would end some transactions with an error.
        options |= {"isolation_level": "READ COMMITTED", "pool_pre_ping": True}
        engine = sa.create_engine(url, connect_args=arguments, **options)
        sa.event.listen(engine, "do_connect", _connect_postgresql)
        sa.event.listen(engine, "begin", _begin_postgresql)
    return engine


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"can't make the database folder {folder}: {error.strerror}") from error


def _set_up_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver's own implicit BEGIN would be a deferred one
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")


def _begin_sqlite(connection: sa.Connection) -> None:
    options = connection.get_execution_options()
    driver_connection: Any = connection.connection.driver_connection
    left = _clock.seconds_left()
    driver_connection.execute(f"PRAGMA busy_timeout = {int(1000 * (options['timeout'] if left is None else left))}")
    connection.exec_driver_sql("BEGIN" if options.get("read_only") else "BEGIN IMMEDIATE")


def _connect_postgresql(_dialect: object, _record: object, words: list[Any], options: dict[str, Any]) -> _Connection:
    if _clock.seconds_left() == 0:
        raise _SilentError("no answer in time")
    return _Connection.connect(*words, **options)


def _begin_postgresql(connection: sa.Connection) -> None:
    """Make the server give up as well, so that no lock outlives a client that gave up or was stopped.

    Set for this transaction only: a pooler such as PgBouncer would pass connection settings on to other clients.
    """
    milliseconds = int(connection.get_execution_options()["timeout"] * _SERVERS_SHARE * 1000)
    connection.exec_driver_sql(
        f"SELECT set_config('statement_timeout', '{milliseconds}', true),"
        f" set_config('idle_in_transaction_session_timeout', '{milliseconds}', true)"
    )


@contextmanager
def transaction(engine: sa.Engine, **options: Any) -> Iterator[sa.Connection]:
    """Begin, commit, or roll back on an exception: the only owner of transactions.

    `timeout` among the options takes the place of the engine's.

    Raises:
        DatabaseError: the database can't be reached, is locked, full or silent, or was never migrated.
    """
    timeout, outage, turn = ((engine.get_execution_options() | options)[name] for name in ("timeout", "outage", "turn"))
    try:
        outage.check(timeout)
        _clock.deadline = monotonic() + timeout
        try:
            with (
                turn.taken(timeout, read_only=options.get("read_only", False)),
                engine.connect().execution_options(**options) as connection,
                connection.begin(),
            ):
                yield connection
        except BaseException as error:
            outage.note(error)
            raise
        finally:
            _clock.deadline = None
        outage.note(None)
    except (DBAPIError, NoConnectionError, _SilentError) as error:
        raise DatabaseError(_explain(engine, error)) from error


# The SQLite driver releases Python's lock at each row that it reads or inserts, which took ten times as long beside a
# busy event loop. So many rows travel as a single JSON value.


def read_rows(connection: sa.Connection, query: sa.Select[*tuple[Any, ...]], **values: Any) -> list[tuple[Any, ...]]:
    """Return the rows of a query, which is made once and has parameters for what differs."""
    if connection.dialect.name != "sqlite":
        return [tuple(row) for row in connection.execute(query, values)]
    packed, converters = _pack(query, connection.dialect)
    found = json.loads(connection.scalars(packed, values).one())
    for place, convert in converters:
        for row in found:
            row[place] = convert(row[place])
    return [tuple(row) for row in found]


@lru_cache(64)
def _pack(query: sa.Select[*tuple[Any, ...]], dialect: sa.Dialect) -> tuple[sa.Select[str], list[tuple[int, Any]]]:
    """Make the query whose only value has all rows as JSON; return it with converters for some of the places."""
    columns = query.subquery().c
    types = [column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns]
    converters = [(place, convert) for place, convert in enumerate(types) if convert]
    return sa.select(sa.func.json_group_array(sa.func.json_array(*columns))), converters


def insert_rows(
    connection: sa.Connection,
    columns: tuple[sa.Column[Any], ...],
    rows: Sequence[Sequence[str | int | None]],
    adding: sa.Column[int] | None = None,
    new_only: bool = False,
    **same: Any,
) -> None:
    """Insert rows with these columns of text or numbers, and in each row the same values for other columns.

    With `adding`, a row whose key exists adds its number in that column to the one that is there; with `new_only`, it
    is left out.
    """
    insert = _unpack(connection.dialect.name, columns, tuple(same), adding, new_only=new_only)
    connection.execute(insert, {"rows": json.dumps(rows)} | same)


@lru_cache(64)
def _unpack(
    dialect: str,
    columns: tuple[sa.Column[Any], ...],
    same: tuple[str, ...],
    adding: sa.Column[int] | None,
    *,
    new_only: bool,
) -> sa.Insert:
    table, given, is_sqlite = columns[0].table, sa.bindparam("rows", type_=sa.Text), dialect == "sqlite"
    each = sa.func.json_each(given) if is_sqlite else sa.func.json_array_elements(sa.cast(given, sa.JSON))
    row = each.table_valued("value").c.value
    values: list[sa.ColumnElement[Any]] = []
    for place, column in enumerate(columns):
        value = sa.func.json_extract(row, f"$[{place}]") if is_sqlite else row.op("->>")(sa.literal_column(str(place)))
        values.append(value if is_sqlite or isinstance(column.type, sa.String) else sa.cast(value, column.type))
    names, others = [column.name for column in columns], [sa.bindparam(name, type_=table.c[name].type) for name in same]
    # SQLite needs a WHERE, or takes ON CONFLICT for the condition of a join.
    insert = (sqlite.insert if is_sqlite else postgresql.insert)(table)
    insert = insert.from_select([*names, *same], sa.select(*values, *others).where(sa.true()))
    if new_only:
        return insert.on_conflict_do_nothing()
    if adding is None:
        return insert
    total = {adding.name: adding + insert.excluded[adding.name]}
    return insert.on_conflict_do_update(index_elements=list(table.primary_key), set_=total)


def revisions(connection: sa.Connection) -> list[str]:
    """Return the revisions of the schema that the database names; none where it has no schema."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return []
    return sorted(connection.scalars(sa.text("SELECT version_num FROM alembic_version")))


def _explain(engine: sa.Engine, error: Exception) -> str:
    shown = {name: value for name, value in engine.url.query.items() if name in ("host", "port", "user", "dbname")}
    where = engine.url.set(query=shown).render_as_string(hide_password=True)
    original = getattr(error, "orig", error)
    cause = (str(original).strip().splitlines() or ["no reason given"])[0]
    for pattern, (trouble, cure) in _CURES.items():
        if re.search(pattern, f"{getattr(original, 'sqlstate', None) or ''} {cause}"):
            return f"the database {where} {trouble} ({cause}): {cure}"
    return f"the database {where} does not answer: {cause}"

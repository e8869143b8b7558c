"""Alembic's entry: migrate the database that the settings name."""

import time
from logging.config import fileConfig
from typing import Any

import psycopg
import sqlalchemy as sa
from alembic import context

from gantcha.errors import one_line_errors
from pool import database
from pool.errors import DatabaseError
from pool.models import metadata
from pool.settings import load_settings

_ELSEWHERE = "give this one a database of its own: CAPTCHA_DATABASE_URL"
_LOCK_MILLISECONDS = 1000
"""For the lock of a table: all requests that come later wait behind it, each for 3 s at most."""
_PAUSE_SECONDS = 1.0
_TURN_SECONDS = 0.8 * database.MIGRATION_TIMEOUT


def _wait_for_turn(connection: sa.Connection) -> None:
    """Wait for other migrations of PostgreSQL, until the end of the transaction.

    An index is finished only once no transaction has a snapshot from before, so none may be kept here: neither by a
    statement that waits for the lock, nor by one with parameters, which stays open.
    """
    deadline = time.monotonic() + _TURN_SECONDS
    while not connection.exec_driver_sql("SELECT pg_try_advisory_xact_lock(7316504982)").scalar_one():
        if time.monotonic() > deadline:
            raise DatabaseError("another migration of this database is under way: run this again once it has ended")
        time.sleep(_PAUSE_SECONDS)
    # The turn lasts as long as the steps, in which this connection is idle.
    connection.exec_driver_sql("SELECT set_config('idle_in_transaction_session_timeout', '0', true)")


def _check_tables(connection: sa.Connection) -> None:
    """Check that the tables are ours. Raises a DatabaseError if they are another program's."""
    found = database.revisions(connection)
    known = [script.revision for script in context.script.walk_revisions()]
    if len(found) == 1 and found[0].isdigit() and found[0] > max(known):
        raise DatabaseError(f"the database is at revision {found[0]} of a newer version: install that, or a later one")
    if strange := [one for one in found if one not in known]:
        raise DatabaseError(f"the database belongs to another program, at its revision {strange[0]}: {_ELSEWHERE}")
    tables = sorted({*metadata.tables} & {*sa.inspect(connection).get_table_names()})
    if tables and not found:
        raise DatabaseError(f"the database has a table {tables[0]} of another program: {_ELSEWHERE}")


def _check_owner(ctx: Any, **_: object) -> None:
    """Undo a step that makes a table of another owner than the rest: its role's rights would lack this table."""
    strangers = sa.text(
        "SELECT ours.tablename, ours.tableowner, versions.tableowner FROM pg_tables ours JOIN pg_tables versions"
        " ON versions.schemaname = ours.schemaname AND versions.tablename = 'alembic_version'"
        " WHERE ours.schemaname = current_schema() AND ours.tablename = ANY(:ours)"
        " AND ours.tableowner = current_user AND ours.tableowner <> versions.tableowner"
    )
    for table, user, owner in ctx.connection.execute(strangers, {"ours": [*metadata.tables]}):
        raise DatabaseError(
            f"the table {table} would belong to {user} and not to {owner}, whose tables others may use: "
            f"run `python -m gantcha migrate` as {owner}, in CAPTCHA_DATABASE_URL"
        )


def _is_locked(error: sa.exc.DBAPIError) -> bool:
    return isinstance(error.orig, psycopg.errors.LockNotAvailable)


def _migrate_in_steps(engine: sa.Engine) -> None:
    """Migrate PostgreSQL, each revision in transactions of its own, so that servers need not wait for all of them.

    A lock that others hold is tried again and again, until the deadline of the turn. An index that is built beside
    the old one is under no limit: no transaction around it could set one, and a pooler would pass it on to others.
    """

    @sa.event.listens_for(engine, "begin")
    def _limit_locks(connection: sa.Connection) -> None:
        connection.exec_driver_sql(f"SELECT set_config('lock_timeout', '{_LOCK_MILLISECONDS}', true)")

    while True:
        try:
            with engine.connect() as connection:
                _check_tables(connection)
                connection.rollback()
                context.configure(
                    connection=connection,
                    target_metadata=metadata,
                    transaction_per_migration=True,
                    on_version_apply=_check_owner,
                )
                with context.begin_transaction():
                    context.run_migrations()
            return
        except sa.exc.DBAPIError as error:
            if not _is_locked(error):
                raise
        time.sleep(_PAUSE_SECONDS)


if context.config.config_file_name:
    fileConfig(context.config.config_file_name, disable_existing_loggers=False)

with one_line_errors():
    if context.is_offline_mode():
        context.configure(url=load_settings().database_url, target_metadata=metadata, literal_binds=True)
        with context.begin_transaction():
            context.run_migrations()
    else:
        engine = database.connect(load_settings().database_url, database.MIGRATION_TIMEOUT)
        with database.transaction(engine) as connection:
            if engine.dialect.name == "postgresql":
                _wait_for_turn(connection)
                _migrate_in_steps(engine)
            else:  # SQLite, which alters a table only by copying it: alembic calls that a batch
                _check_tables(connection)
                context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
                context.run_migrations()
        engine.dispose()

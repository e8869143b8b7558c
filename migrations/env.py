"""Alembic's entry: migrate the database that the settings name."""

from logging.config import fileConfig

import sqlalchemy as sa
from alembic import context

from gantcha.errors import one_line_errors
from pool import database
from pool.errors import DatabaseError
from pool.models import metadata
from pool.settings import load_settings

_ELSEWHERE = "give this one a database of its own: CAPTCHA_DATABASE_URL"


def _check_owner(connection: sa.Connection) -> None:
    """Wait for other migrations, and check that the tables are ours. Raises a DatabaseError if they are another's."""
    if connection.dialect.name == "postgresql":  # on SQLite a transaction that writes waits for the others
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7316504982)")
    found = database.revisions(connection)
    known = [script.revision for script in context.script.walk_revisions()]
    if len(found) == 1 and found[0].isdigit() and found[0] > max(known):
        raise DatabaseError(f"the database is at revision {found[0]} of a newer version: install that, or a later one")
    if strange := [one for one in found if one not in known]:
        raise DatabaseError(f"the database belongs to another program, at its revision {strange[0]}: {_ELSEWHERE}")
    tables = sorted({*metadata.tables} & {*sa.inspect(connection).get_table_names()})
    if tables and not found:
        raise DatabaseError(f"the database has a table {tables[0]} of another program: {_ELSEWHERE}")


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
            _check_owner(connection)
            # SQLite alters a table only by copying it, which alembic calls a batch.
            context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
            context.run_migrations()
        engine.dispose()

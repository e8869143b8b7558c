"""Alembic's entry: migrate the database that the settings name."""

from logging.config import fileConfig

from alembic import context

from gantcha.errors import one_line_errors
from pool import database
from pool.models import metadata
from pool.settings import load_settings

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
            # SQLite alters a table only by copying it, which alembic calls a batch.
            context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
            context.run_migrations()
        engine.dispose()

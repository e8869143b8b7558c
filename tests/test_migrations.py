"""Alembic is the only way a schema comes into being, and it makes the one the models describe."""

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect

from pool import database
from pool.models import metadata
from tests.conftest import run


def test_migrations_make_what_the_models_describe(database_url: str) -> None:
    engine = database.connect(database_url)
    with database.transaction(engine) as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_down_and_up_again(database_url: str) -> None:
    assert run("alembic", "downgrade", "base", DATABASE_URL=database_url).returncode == 0
    engine = database.connect(database_url)
    with database.transaction(engine) as connection:
        assert inspect(connection).get_table_names() == ["alembic_version"]
    assert run("alembic", "upgrade", "head", DATABASE_URL=database_url).returncode == 0
    with database.transaction(engine) as connection:
        assert "captcha" in inspect(connection).get_table_names()
    engine.dispose()

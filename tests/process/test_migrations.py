"""Alembic is the only way a schema comes into being, and it makes the one the models describe, from any before it."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, Table, create_engine, insert, inspect, select, text

from pool import database
from pool.errors import DatabaseError
from pool.models import REVISION, State, captcha, counter, fill, hourly, metadata, token
from pool.pool import Drawn, Pool
from pool.storage.files import new_id
from tests.conftest import CROSSED_OUT, DENSE, PLAIN, ROOT, a_png, run, wait_until

CONFIG = Config(ROOT / "alembic.ini")
REVISIONS = [script.revision for script in ScriptDirectory.from_config(CONFIG).walk_revisions()][::-1]
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
READY, ISSUED, UPLOADED = new_id(), new_id(), new_id()
ROWS: list[tuple[Table, dict[str, Any]]] = [
    (captcha, {"id": READY, "code": "abc234", "state": State.READY, "created_at": NOW}),
    (
        captcha,
        {
            "id": ISSUED,
            "code": "def567",
            "state": State.ISSUED,
            "redeemable": True,
            "created_at": NOW,
            "issued_at": NOW,
            "expires_at": datetime.now(UTC) + timedelta(hours=1),
        },
    ),
    (captcha, {"id": UPLOADED, "state": State.ISSUED, "created_at": NOW, "issued_at": NOW, "expires_at": NOW}),
    (fill, {"id": 1, "started_at": NOW, "seconds": 2.5, "added": 1000, "checkpoints": "c" * 64}),
    (token, {"digest": "d" * 64, "hostname": "www.example.com", "solved_at": NOW, "expires_at": NOW, "site": "shop"}),
    (
        counter,
        {"subject": "e" * 32, "name": "issue/60", "start": 1_800_000_000, "count": 7, "expires_at": 1_800_000_120},
    ),
    (hourly, {"start": 1_800_000_000, "name": "answers/solved", "count": 7}),
]
"""What a database may hold at the newest revision; one of an earlier revision holds what it has room for."""


@pytest.fixture
def migrate_to(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Move the database to a revision, up or down."""
    monkeypatch.setenv("CAPTCHA_DATABASE_URL", database_url)

    def move(revision: str) -> None:
        down = revision == "base" or REVISIONS.index(revision) < len(REVISIONS) - 1
        (command.downgrade if down else command.upgrade)(CONFIG, revision)

    return move


def _insert(engine: Engine) -> list[tuple[Table, dict[str, Any]]]:
    """Insert of `ROWS` what the revision has tables and columns for."""
    inserted = []
    with database.transaction(engine) as connection:
        inspector = inspect(connection)
        for table, row in ROWS:
            if inspector.has_table(table.name):
                names = {column["name"] for column in inspector.get_columns(table.name)}
                kept = {name: value for name, value in row.items() if name in names}
                connection.execute(insert(table).values(kept))
                inserted.append((table, kept))
        if inspector.has_table("lease"):  # what is held may lapse with an upgrade
            names = {column["name"] for column in inspector.get_columns("lease")}
            columns, values = ("until", f"'{NOW}'") if "until" in names else ("taken_at, deadline", "1, 2")
            held = f"INSERT INTO lease (name, holder, {columns}) VALUES ('filling', 'us', {values})"  # noqa: S608 - ours
            connection.execute(text(held))
    return inserted


def test_the_newest_revision_is_the_one_that_readiness_asks_for() -> None:
    assert REVISIONS[-1] == REVISION


def test_migrations_make_what_the_models_describe(pool: Pool) -> None:
    with database.transaction(pool.engine) as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


@pytest.mark.parametrize("revision", REVISIONS)
def test_an_upgrade_keeps_what_a_database_holds(revision: str, pool: Pool, migrate_to: Any) -> None:
    """Captchas drawn before the upgrade are handed out after it, their PNGs in the same folder."""
    migrate_to(revision)
    inserted = _insert(pool.engine)
    pool.files.write(READY, a_png())
    migrate_to(REVISIONS[-1])
    with database.transaction(pool.engine) as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        for table, row in inserted:
            key = [column == row[column.name] for column in table.primary_key]
            held = connection.execute(select(table).where(*key)).mappings().one()
            assert {name: held[name] for name in row} == row
    assert [(issued.id, issued.code) for issued in pool.pop(5, stock=PLAIN)] == [(READY, "abc234")]
    assert pool.files.read(READY) == a_png()
    assert pool.look_up(ISSUED).code == "def567"
    assert len(pool.add([Drawn("xyz789", a_png())], PLAIN)) == 1


def _indexes(engine: Engine) -> set[str]:
    """What the database says of the indexes of captchas, without the table's own."""
    of_sqlite = "SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'captcha' AND sql IS NOT NULL"
    of_postgresql = "SELECT indexdef FROM pg_indexes WHERE tablename = 'captcha'"
    with database.transaction(engine) as connection:
        return set(connection.scalars(text(of_sqlite if engine.dialect.name == "sqlite" else of_postgresql)))


def test_kinds_come_and_go_with_their_revision(pool: Pool, migrate_to: Any) -> None:
    """Captchas from before are plain; an older server is not left any of a kind that it could not explain."""
    newest = _indexes(pool.engine)
    migrate_to("0004")
    older = _indexes(pool.engine)
    assert len(older) == len(newest)
    assert all("ready" in index for index in older ^ newest)
    _insert(pool.engine)
    migrate_to(REVISIONS[-1])
    assert _indexes(pool.engine) == newest
    with database.transaction(pool.engine) as connection:
        assert set(connection.execute(select(captcha.c.kind, captcha.c.difficulty))) == {("plain", "standard")}
    assert pool.levels() == {PLAIN: 1}
    pool.files.write(READY, a_png())
    crossed = pool.add([Drawn("xyz789", a_png())] * 3, CROSSED_OUT)
    (shown,) = pool.pop(stock=CROSSED_OUT)
    migrate_to("0004")
    assert _indexes(pool.engine) == older
    with database.transaction(pool.engine) as connection:
        kept = set(connection.scalars(text("SELECT id FROM captcha")))
    assert kept == {READY, ISSUED, UPLOADED, shown.id}
    assert len(crossed) == 3
    migrate_to(REVISIONS[-1])
    assert pool.levels() == {PLAIN: 1}


def test_densities_come_and_go_with_their_revision(pool: Pool, migrate_to: Any) -> None:
    """Captchas from before are of single density, as are those of older fills that go on during an upgrade."""
    newest = _indexes(pool.engine)
    migrate_to("0008")
    older = _indexes(pool.engine)
    _insert(pool.engine)
    migrate_to(REVISIONS[-1])
    assert _indexes(pool.engine) == newest
    late = new_id()
    of_older = "INSERT INTO captcha (id, code, kind, difficulty, state, created_at) VALUES (:id, 'xyz789', 'plain', "
    with database.transaction(pool.engine) as connection:
        connection.execute(text(f"{of_older}'standard', 'ready', :at)"), {"id": late, "at": NOW + timedelta(hours=1)})
    assert pool.levels() == {PLAIN: 2}
    pool.files.write(READY, a_png())
    (shown,) = pool.add([Drawn("def567", a_png())], DENSE)
    popped = pool.pop(2, stock=DENSE, redeemable=True)
    assert [(one.id, one.stock) for one in popped] == [(shown, DENSE), (READY, PLAIN)]
    pool.add([Drawn("ghj234", a_png())], DENSE)
    migrate_to("0008")
    assert _indexes(pool.engine) == older
    with database.transaction(pool.engine) as connection:
        kept = set(connection.scalars(text("SELECT id FROM captcha")))
    assert kept == {READY, ISSUED, UPLOADED, late, shown}
    migrate_to(REVISIONS[-1])
    assert pool.levels() == {PLAIN: 1}


def test_all_the_way_down_and_up_again(pool: Pool, migrate_to: Any) -> None:
    _insert(pool.engine)
    migrate_to("base")
    with database.transaction(pool.engine) as connection:
        assert inspect(connection).get_table_names() == ["alembic_version"]
    with pytest.raises(DatabaseError, match="run `python -m gantcha migrate`"):
        pool.level(PLAIN)
    migrate_to(REVISIONS[-1])
    assert pool.level(PLAIN) == 0


@pytest.mark.parametrize("revision", REVISIONS[:1])
def test_a_database_that_was_not_upgraded_says_what_to_do(revision: str, pool: Pool, migrate_to: Any) -> None:
    migrate_to(revision)
    with pytest.raises(DatabaseError, match="run `python -m gantcha migrate`"):
        pool.pop(stock=PLAIN)


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_a_long_transaction_delays_an_upgrade_and_no_pop(pool: Pool, migrate_to: Any, database_url: str) -> None:
    """A statement that waits for the lock of a table would have all later ones wait behind it."""
    migrate_to("0008")
    _insert(pool.engine)
    others, impatient = create_engine(database_url), database.connect(database_url, database.REQUEST_TIMEOUT)
    waiting = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'ALTER TABLE%'")
    with ThreadPoolExecutor(1) as thread, others.connect() as reading, others.connect() as watching:
        reading.execute(text("SELECT count(*) FROM captcha"))
        watching.execution_options(isolation_level="AUTOCOMMIT")
        upgrade = thread.submit(run, "gantcha", "migrate", DATABASE_URL=database_url)
        for _ in range(3):
            wait_until(lambda: watching.scalar(waiting) == 1, "the upgrade to wait for the lock")
            with database.transaction(impatient) as connection:
                connection.execute(text("UPDATE captcha SET state = 'issued' WHERE state = 'ready'"))
        assert not upgrade.done()
        reading.rollback()
        assert upgrade.result().returncode == 0
    assert pool.level(PLAIN) == 0
    for engine in (others, impatient):
        engine.dispose()


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
@pytest.mark.parametrize("is_finished", [True, False])
def test_an_upgrade_that_was_interrupted_goes_on(pool: Pool, migrate_to: Any, is_finished: bool) -> None:
    """An index that was finished is not built again: the lock that the next step needs may not come for long."""
    (newest,) = (one for one in _indexes(pool.engine) if "captcha_ready" in one)
    migrate_to("0008")
    left = [
        "ALTER TABLE captcha ADD COLUMN pixel_ratio smallint DEFAULT '1' NOT NULL",
        newest.replace("captcha_ready", "captcha_ready_next"),
    ]
    if not is_finished:
        left.append("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'captcha_ready_next'::regclass")
    with database.transaction(pool.engine) as connection:
        for statement in left:
            connection.execute(text(statement))
        before = connection.scalar(text("SELECT 'captcha_ready_next'::regclass::oid"))
    migrate_to(REVISIONS[-1])
    assert newest in _indexes(pool.engine)
    with database.transaction(pool.engine) as connection:
        after = connection.scalar(text("SELECT 'captcha_ready'::regclass::oid"))
    assert (after == before) is is_finished

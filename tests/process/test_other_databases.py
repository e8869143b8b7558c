"""Databases of others: their tables, rights, limits and defaults, several migrations at once, and odd passwords."""

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from pool import database
from pool.answers import Verdict
from pool.errors import DatabaseError
from pool.filling.lease import FILLING, is_taken
from pool.models import State
from pool.pool import Pool
from tests.conftest import PLAIN, ROOT, drawn, environment, only_line, refusal, run
from tests.support.settling import check

on_postgresql = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)


def _execute(url: str, *statements: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


@pytest.fixture
def empty_url(backend: str, database_url: str, tmp_path: Path) -> str:
    """A database without any table."""
    if backend == "sqlite":
        return f"sqlite:///{tmp_path}/empty.db"
    _execute(database_url, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    return database_url


def test_migrations_that_begin_at_once_wait_for_each_other(empty_url: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        finished = list(threads.map(lambda _: run("alembic", "upgrade", "head", DATABASE_URL=empty_url), range(4)))
    assert [one.returncode for one in finished] == [0] * 4, finished
    assert sum(one.stderr.count("Running upgrade  -> 0001") for one in finished) == 1


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_clone_may_lie_in_a_folder_with_a_percent_sign(empty_url: str, tmp_path: Path) -> None:
    clone = tmp_path / "100% ours"
    for name in ("gantcha", "pool", "migrations", "checkpoints"):
        shutil.copytree(ROOT / name, clone / name)
    shutil.copy(ROOT / "alembic.ini", clone)
    command = [sys.executable, "-m", "alembic", "upgrade", "head"]
    finished = subprocess.run(
        command, cwd=clone, env=environment({"DATABASE_URL": empty_url}), capture_output=True, text=True
    )
    assert finished.returncode == 0, finished.stderr


@pytest.mark.parametrize(
    ("statements", "line"),
    [
        (["CREATE TABLE token (id INTEGER)"], "has a table token of another program: give this one a database"),
        (
            [
                "CREATE TABLE alembic_version (version_num VARCHAR)",
                "INSERT INTO alembic_version VALUES ('ae1027a6acf')",
            ],
            "belongs to another program, at its revision ae1027a6acf: give this one a database of its own",
        ),
        (
            ["CREATE TABLE alembic_version (version_num VARCHAR)", "INSERT INTO alembic_version VALUES ('0999')"],
            "is at revision 0999 of a newer version: install that",
        ),
    ],
)
def test_a_database_of_others_is_left_to_them(empty_url: str, statements: list[str], line: str) -> None:
    _execute(empty_url, *statements)
    finished = run("pool.migrate", DATABASE_URL=empty_url)
    assert line in only_line(finished)


def test_a_revision_of_others_is_not_current(pool: Pool) -> None:
    pool.check()
    for found, is_ours in (("0999", True), ("ae1027a6acf", False), ("0003", False)):
        _execute(str(pool.engine.url.render_as_string(False)), f"UPDATE alembic_version SET version_num = '{found}'")  # noqa: S608
        if is_ours:
            pool.check()
        else:
            with pytest.raises(DatabaseError, match=f"at revision {found} instead of"):
                pool.check()


@on_postgresql
def test_a_stricter_isolation_costs_no_answer(pool: Pool, database_url: str) -> None:
    name = make_url(database_url).database
    _execute(database_url, f"ALTER DATABASE {name} SET default_transaction_isolation = serializable")
    strict = Pool(database.connect(database_url, database.REQUEST_TIMEOUT), pool.files, pool.ttl)
    strict.add(drawn(400), PLAIN)

    def solve(_: int) -> Verdict:
        (issued,) = strict.pop(stock=PLAIN, redeemable=True)
        strict.check()
        return check(strict, issued.id, issued.code)

    with ThreadPoolExecutor(8) as threads:
        assert {verdict.state for verdict in threads.map(solve, range(200))} == {State.SOLVED}
    strict.engine.dispose()


def _look(url: str) -> None:
    engine = database.connect(url)
    try:
        is_taken(engine, FILLING)
    finally:
        engine.dispose()


@on_postgresql
def test_what_a_user_may_not_do_is_said(database_url: str, settings: dict[str, object]) -> None:
    name = f"us_{make_url(database_url).database}"
    _execute(database_url, f"CREATE ROLE {name} LOGIN")
    ours = make_url(database_url).set(username=name).render_as_string(False)
    try:
        with pytest.raises(DatabaseError, match=r"refuses its user a right .*: grant it SELECT, INSERT"):
            _look(ours)
        _execute(database_url, f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}")
        line = only_line(run("batch.fill", "--count", 1, **settings | {"DATABASE_URL": ours}))
        assert "refuses its user a right (permission denied for sequence fill_id_seq)" in line
        assert "USAGE on their sequences" in line
        _execute(database_url, f"ALTER ROLE {name} CONNECTION LIMIT 0")
        with pytest.raises(
            DatabaseError, match=r"has no connection left .*: raise its max_connections, or put a pooler"
        ):
            _look(ours)
        for other, line in (("nobody_here", "refuses the login"), (name, "does not exist")):
            url = make_url(database_url).set(username=other, database="template" if other != name else "none_such")
            url = url if other != name else url.set(username="postgres")
            with pytest.raises(DatabaseError, match=line):
                _look(url.render_as_string(False))
    finally:
        _execute(database_url, f"DROP OWNED BY {name}", f"DROP ROLE {name}")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://us:p@sesame@127.0.0.1:1/x",
        "postgresql+psycopg://us:p@sesame:12@127.0.0.1:1/x",
        "postgresql+psycopg://us:p@s/sesame@127.0.0.1:1/x",
        "postgresql+psycopg://us:p@?sesame@127.0.0.1:1/x",
        "postgresql+psycopg://us:p:sesame/@127.0.0.1:y/x",
        "postgresql+psycopg://us@127.0.0.1:1/x?password=sesame&sslpassword=sesame",
        "postgresql+psycopg://us:sesame@127.0.0.1:1/x?sesam=open",
    ],
)
def test_a_password_is_never_printed(url: str) -> None:
    told = refusal("pool.status", DATABASE_URL=url)
    assert "sesame" not in told
    assert "CAPTCHA_DATABASE_URL: must look like" in told or "127.0.0.1" in told


def test_a_value_from_a_file_may_end_with_a_newline(settings: dict[str, object], tmp_path: Path) -> None:
    keys = tmp_path / "keys.toml"
    keys.write_text('[api_keys]\nshop = "an-api-key-for-the-shop"\n', encoding="utf-8")
    ended = {name: f"{value}\n" for name, value in (settings | {"KEYS_FILE": keys, "API_KEY": "k" * 16}).items()}
    finished = run("pool.status", **ended)
    assert finished.returncode == 0, finished.stderr
    assert not list(tmp_path.glob("*\n"))

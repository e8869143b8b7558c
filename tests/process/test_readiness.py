"""`/readyz`: what lets nothing be handed out makes the server unready, and the question costs little."""

import re
import socket
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text, update

from pool import database, models
from pool.filling.lease import FILLING, lease
from pool.pool import Pool
from pool.settings import Settings
from tests.conftest import PLAIN, Server, drawn, migrate, run, wait_until
from tests.process.test_challenges import counted

EMPTY = "the pool has no plain (standard) captchas"


def problem(server: Server) -> str:
    """The one thing that is wrong."""
    answer = server.get("/readyz")
    assert answer.status_code == 503, answer.text
    (told,) = answer.json()["problems"]
    return str(told)


def fill_up(disk: Path) -> None:
    """Leave no room on a disk; without the file `ballast` there is some again."""
    with open(disk / "ballast", "wb", buffering=0) as ballast, pytest.raises(OSError, match="No space left"):
        while True:
            ballast.write(bytes(4096))


@pytest.fixture
def on_small_disk(sqlite_settings: dict[str, object], small_disk: Path) -> dict[str, object]:
    """Settings of a pool whose database alone is on the small disk; it has captchas."""
    url = f"sqlite:///{small_disk}/pool.db"
    migrate(url)
    pool = Pool.open(Settings(database_url=url, files_dir=sqlite_settings["FILES_DIR"]))
    pool.add(drawn(20), PLAIN)
    pool.engine.dispose()
    return sqlite_settings | {"DATABASE_URL": url}


def test_a_full_disk_under_the_database(
    on_small_disk: dict[str, object], small_disk: Path, serve: Callable[..., Server]
) -> None:
    server = serve(on_small_disk)
    wait_until(lambda: server.get("/readyz").ok, "the first look")
    fill_up(small_disk)
    wait_until(lambda: not server.get("/readyz").ok, "the next look")
    assert "on a full disk" in problem(server)
    assert "free some space" in problem(server)
    (small_disk / "ballast").unlink()
    wait_until(lambda: server.get("/readyz").ok, "the server to recover")
    assert server.get("/generate").ok


def test_a_full_disk_under_the_files(
    sqlite_settings: dict[str, object], small_disk: Path, serve: Callable[..., Server]
) -> None:
    Path(str(sqlite_settings["FILES_DIR"])).symlink_to(small_disk)  # the log of the server is beside the link
    assert run("batch.fill", "--count", 1, **sqlite_settings).returncode == 0
    server = serve(sqlite_settings)
    wait_until(lambda: server.get("/readyz").ok, "the first look")
    fill_up(small_disk)
    wait_until(lambda: not server.get("/readyz").ok, "the next look")
    wait_until(lambda: "free some space" in problem(server), "a look that was not too slow")


def test_a_disk_that_was_mounted_read_only(
    on_small_disk: dict[str, object], small_disk: Path, serve: Callable[..., Server]
) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    server = serve(on_small_disk)
    assert re.search("is read-only|check that its folder exists and is writable", problem(server))
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    wait_until(lambda: server.get("/readyz").ok, "the server to recover")


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_a_database_that_was_set_read_only(
    pool: Pool, settings: dict[str, object], serve: Callable[..., Server]
) -> None:
    pool.add(drawn(20), PLAIN)
    engine = create_engine(make_url(str(settings["DATABASE_URL"])), isolation_level="AUTOCOMMIT")
    others = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    server = serve(settings)
    wait_until(lambda: server.get("/readyz").ok, "the first look")
    with engine.connect() as connection:
        name = connection.engine.url.database
        connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
        connection.execute(text(others))
        wait_until(lambda: not server.get("/readyz").ok, "the next look")
        wait_until(lambda: "is read-only" in problem(server), "the look after that")
        assert "make it writable again" in problem(server)
        connection.execute(text(f"ALTER DATABASE {name} RESET default_transaction_read_only"))
        connection.execute(text(others))
    wait_until(lambda: server.get("/readyz").ok, "the server to recover")
    engine.dispose()


@pytest.mark.parametrize("revision", ["0001", "0003"])
def test_a_database_that_was_not_upgraded(
    sqlite_settings: dict[str, object], serve: Callable[..., Server], revision: str
) -> None:
    downgrade = run("alembic", "downgrade", revision, DATABASE_URL=sqlite_settings["DATABASE_URL"])
    assert downgrade.returncode == 0, downgrade.stderr
    server = serve(sqlite_settings)
    assert f"revision {revision}" in problem(server)
    assert "run `python -m gantcha migrate`" in problem(server)
    migrate(str(sqlite_settings["DATABASE_URL"]))
    wait_until(lambda: server.get("/readyz").json()["problems"] == [EMPTY], "the server to notice")


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_crowd_that_asks_costs_a_write_a_second(
    pool: Pool, settings: dict[str, object], serve: Callable[..., Server]
) -> None:
    pool.add(drawn(20), PLAIN)
    with database.transaction(pool.engine) as connection:
        connection.execute(text("CREATE TABLE look (at)"))
        count = "AFTER UPDATE ON identity BEGIN INSERT INTO look VALUES (NEW.checked_at); END"
        connection.execute(text(f"CREATE TRIGGER count_looks {count}"))
    server = serve(settings)
    began = time.monotonic()

    def ask_on() -> set[int]:
        statuses = set()
        while time.monotonic() < began + 3:
            statuses.add(server.get("/readyz").status_code)
        return statuses

    probes = set()
    with ThreadPoolExecutor(200) as crowd:
        asking = [crowd.submit(ask_on) for _ in range(200)]
        while not all(one.done() for one in asking):
            probes.add(pool.files.folder.stat().st_mtime_ns)
            time.sleep(0.01)
    looks = time.monotonic() - began + 1
    assert set.union(*(one.result() for one in asking)) == {200}
    with database.transaction(pool.engine) as connection:
        assert 1 <= connection.scalar(text("SELECT count(*) FROM look")) <= looks
    assert len(probes) <= 3 * looks + 1  # a probe is written, moved and removed


def test_files_that_do_not_answer(
    sqlite_settings: dict[str, object], serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "us")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "no secret")
        server = serve(sqlite_settings | {"FILES_URL": "s3://captchas"})
        with ThreadPoolExecutor(100) as crowd:
            answers = list(crowd.map(lambda _: server.get("/readyz"), range(100)))
        assert {answer.status_code for answer in answers} == {503}
        assert "not checked within" in problem(server)
        assert server.get("/healthz").ok
        server.process.kill()  # or it would wait for the last look
        server.process.wait()


def test_a_lease_that_is_held_for_long_is_shown(
    pool: Pool, settings: dict[str, object], serve: Callable[..., Server]
) -> None:
    pool.add(drawn(20), PLAIN)
    server = serve(settings)
    with lease(pool.engine, FILLING):
        assert server.get("/readyz").json()["warnings"] == []
        with database.transaction(pool.engine) as connection:
            connection.execute(update(models.lease).values(taken_at=models.lease.c.taken_at - 1200))
        wait_until(lambda: server.get("/readyz").json()["warnings"] != [], "the next look")
        answer = server.get("/readyz")
        assert answer.ok
        (warning,) = answer.json()["warnings"]
        assert "the lease for filling has been held for 20 min" in warning
        assert 1200 <= counted(server, "gantcha_lease_seconds", name=FILLING) < 1300
        shown = run("pool.status", **settings).stdout
        assert "filling under way for 20" in shown
        assert warning in shown
    assert counted(server, "gantcha_lease_seconds", name=FILLING) == 0

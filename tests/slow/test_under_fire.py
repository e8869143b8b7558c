"""The pool's promises while processes are killed, databases stop and disks fill up."""

import hashlib
import multiprocessing
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import delete, select, update

from pool import database
from pool.models import State, captcha, lease, token, work_pass
from pool.passes import Pass
from pool.pool import Drawn, Pool
from pool.settings import Settings
from pool.storage.files import FileStore, new_id
from pool.sweep import Sweep
from pool.tokens import Purpose
from pool.work_keys import work_keys
from server.buffer import LARGEST
from tests.conftest import (
    DENSE,
    NO_LIMITS,
    PLAIN,
    ROOT,
    environment,
    migrate,
    only_line,
    png_names,
    row_ids,
    run,
    running_server,
    wait_until,
)
from tests.support.load import CLIENTS, Load, ids_in_state
from tests.support.settling import settle_on


def test_a_killed_server_repeats_nothing_and_wastes_a_buffer(pool: Pool, settings: dict[str, object]) -> None:
    """Ten lives on each database, each ended by SIGKILL in the middle of the load; by turns of challenges and codes."""
    settings |= {"PIXEL_RATIO": 2} | NO_LIMITS
    pool.add([Drawn("abc234", b"")] * 40_000, PLAIN)
    pool.add([Drawn("abc234", b"")] * 500, DENSE)  # after which challenges are of the others
    seen: list[str] = []
    for life in range(1, 11):
        path = "/challenge" if life % 2 else "/generate"
        with running_server(settings) as server, Load(server, path) as load:
            wait_until(lambda: len(load.ids) > 20, "the load to begin")
            time.sleep(np.random.default_rng().uniform(0, 0.3))
            server.process.kill()
            server.process.wait()
        seen += load.ids
        wasted = ids_in_state(pool.engine, State.ISSUED) - set(seen)
        assert len(wasted) <= life * (LARGEST + CLIENTS)
    assert max(Counter(seen).values()) == 1
    assert len(seen) > 200
    assert pool.level(DENSE) == 0
    ready = ids_in_state(pool.engine, State.READY)
    assert not ready & set(seen)
    with database.transaction(pool.engine) as connection:
        connection.execute(update(captcha).where(captcha.c.state == State.ISSUED).values(expires_at=datetime.now(UTC)))
        connection.execute(delete(lease))  # a minute later: one may have been killed amid a sweep
    Sweep(pool, timedelta(0), orphan_age=timedelta(0)).all()
    assert row_ids(pool) == png_names(pool.files.folder) == ready


@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_that_stops_returns_what_it_held(pool: Pool, settings: dict[str, object], workers: int) -> None:
    pool.add([Drawn("abc234", b"")] * 3000, PLAIN)
    with running_server(settings, workers=workers) as server:
        with Load(server) as load:
            wait_until(lambda: len(load.ids) > 300, "the load")
        assert {answer.status_code for answer in load.answers} == {200}
        server.stop()
    assert max(Counter(load.ids).values()) == 1
    assert ids_in_state(pool.engine, State.ISSUED) == set(load.ids)
    assert pool.level(PLAIN) == 3000 - len(load.ids)


def test_killed_processes_answer_each_captcha_once_and_redeem_each_token_once(
    pool: Pool, database_url: str, tmp_path: Path
) -> None:
    """Six processes with the same captchas, work and tokens, and twenty SIGKILLs; rows and tokens stay in step."""
    pool.add([Drawn("abc234", b"")] * 6000, PLAIN)
    ids = [one.id for one in pool.pop(6000, redeemable=True, stock=PLAIN)]
    (key,) = work_keys(pool.engine)
    until = int(time.time()) + 3600
    passes = [Pass(new_id(), key.id, until, Purpose(), "quiet") for _ in range(6000)]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.support.settling"])
    logs = (tmp_path / f"settled-{number}" for number in count())

    def start() -> "multiprocessing.process.BaseProcess":
        process = context.Process(target=settle_on, args=(database_url, tmp_path, ids, "abc234", passes, next(logs)))
        process.start()
        return process

    def lines() -> list[list[str]]:
        return [line.split() for log in tmp_path.glob("settled-*") for line in log.read_text().splitlines()]

    processes = [start() for _ in range(6)]
    rng = np.random.default_rng()
    for kill in range(20):
        before = len(lines())
        wait_until(lambda: len(lines()) > before, "somebody to succeed")  # noqa: B023 - called at once
        time.sleep(rng.uniform(0, 0.1))
        processes[kill % 6].kill()
        processes[kill % 6].join()
        processes[kill % 6] = start()
    wait_until(lambda: any(line[0] == "redeemed" for line in lines()), "a token to be redeemed")
    for process in processes:
        process.kill()
        process.join()
    solved = [line[1] for line in lines() if line[0] == "solved"]
    redeemed = [line[1] for line in lines() if line[0] == "redeemed"]
    assert max(Counter(solved).values()) == max(Counter(redeemed).values()) == 1
    in_database = ids_in_state(pool.engine, State.SOLVED)
    spent = set(_spent(pool))
    assert set(solved) <= in_database | spent
    assert spent & set(solved)
    redeemed_at = _redeemed_at(pool)
    assert len(redeemed) <= sum(at is not None for at in redeemed_at)
    # A token for each, committed with it, also where the process died before it could note it.
    wait_until(
        lambda: len(ids_in_state(pool.engine, State.SOLVED)) + len(_spent(pool)) == len(_redeemed_at(pool)),
        "the last commits",
    )


def _spent(pool: Pool) -> list[str]:
    with database.transaction(pool.engine) as connection:
        return list(connection.scalars(select(work_pass.c.id)))


def _redeemed_at(pool: Pool) -> list[datetime | None]:
    with database.transaction(pool.engine) as connection:
        return list(connection.scalars(select(token.c.redeemed_at)))


_SPY = """
import hashlib, sys
from pool.storage.files import FileStore
log, write = open(sys.argv.pop(1), "ab", buffering=0), FileStore.write
def spy(self, file_id, content):
    log.write(f"{file_id} {hashlib.sha256(content).hexdigest()}\\n".encode())
    write(self, file_id, content)
FileStore.write = spy
import typer, batch.fill.__main__
typer.run(batch.fill.__main__.main)
"""
"""A fill that notes beforehand what it is about to write."""


def test_a_fill_killed_at_any_moment_leaves_rows_and_files_in_step(
    pool: Pool, settings: dict[str, object], tmp_path: Path
) -> None:
    """Ten kills on each database, two fills at a time; every other time once a chunk was committed."""
    log = tmp_path / "written"
    for number in range(5):
        fills = [
            subprocess.Popen(
                [sys.executable, "-c", _SPY, str(log), "--count", "100000", "--jobs", "1", "--quiet"],
                cwd=ROOT,
                env=environment(settings),
            )
            for _ in range(2)
        ]
        seen = (lambda: pool.level(PLAIN)) if number % 2 else lambda: len(png_names(pool.files.folder))
        before = seen()
        wait_until(lambda: seen() > before, "the first chunk, or file")  # noqa: B023 - called at once
        for fill in fills:
            time.sleep(np.random.default_rng().uniform(0, 1))
            fill.kill()
            fill.wait()
        Sweep(pool, timedelta(0), orphan_age=timedelta(0)).all()
        assert row_ids(pool) == png_names(pool.files.folder)
    written = dict(line.split() for line in log.read_text().splitlines())
    for file_id in row_ids(pool):
        assert hashlib.sha256(pool.files.path(file_id).read_bytes()).hexdigest() == written[file_id]
    assert pool.level(PLAIN) == len(row_ids(pool)) >= 1000


def test_a_full_disk_stops_a_fill_with_all_that_is_finished_kept(
    pool: Pool, settings: dict[str, object], small_disk: Path
) -> None:
    settings |= {"FILES_DIR": small_disk / "files"}
    line = only_line(run("batch.fill", "--count", 1000, **settings))
    assert "No space left on device: free some space and run it again" in line
    on_disk = Pool(pool.engine, FileStore(small_disk / "files"), pool.ttl)
    kept = pool.level(PLAIN)
    assert f"; {kept} captchas were added before that" in line
    assert kept > 100
    assert row_ids(pool) == png_names(small_disk)
    subprocess.run(["mount", "-o", "remount,size=20m", small_disk], check=True)
    assert "20 captchas added" in run("batch.fill", "--count", 20, **settings).stdout
    assert on_disk.level(PLAIN) == kept + 20


def test_files_and_database_on_one_full_disk_keep_what_is_finished(
    sqlite_settings: dict[str, object], small_disk: Path
) -> None:
    url = f"sqlite:///{small_disk}/pool.db"
    migrate(url)
    sqlite_settings |= {"DATABASE_URL": url, "FILES_DIR": small_disk / "files"}
    line = only_line(run("batch.fill", "--count", 1000, **sqlite_settings))
    assert "No space left on device" in line
    pool = Pool.open(Settings(database_url=url, files_dir=small_disk / "files"))
    assert pool.level(PLAIN) > 50
    assert row_ids(pool) == png_names(small_disk)
    pool.engine.dispose()


def test_a_full_disk_under_the_database_keeps_what_is_finished(
    sqlite_settings: dict[str, object], small_disk: Path
) -> None:
    url = f"sqlite:///{small_disk}/pool.db"
    migrate(url)
    sqlite_settings |= {"DATABASE_URL": url}
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(1_500_000))
    assert "full" in only_line(run("batch.fill", "--count", 20_000, **sqlite_settings))
    ballast.unlink()
    pool = Pool.open(Settings(database_url=url, files_dir=sqlite_settings["FILES_DIR"]))
    kept = pool.level(PLAIN)
    assert "20 captchas added" in run("batch.fill", "--count", 20, **sqlite_settings).stdout
    assert pool.level(PLAIN) == kept + 20
    Sweep(pool, timedelta(0), orphan_age=timedelta(0)).all()
    assert row_ids(pool) == png_names(pool.files.folder)
    pool.engine.dispose()

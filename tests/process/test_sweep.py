"""The sweep: what it removes, and what it never touches."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from pool import database
from pool.filling.lease import SWEEPING, lease
from pool.models import State, captcha
from pool.pool import Drawn, Pool
from pool.storage.files import PREFIXES, new_id
from pool.sweep import Sweep, Swept
from tests.conftest import PLAIN, ROOT, Server, a_png, drawn, environment, png_names, row_ids, run, wait_until
from tests.support.settling import check


def _age(pool: Pool, seconds: float) -> None:
    """Let everything that was popped have expired so long ago."""
    with database.transaction(pool.engine) as connection:
        past = datetime.now(UTC) - timedelta(seconds=seconds)
        connection.execute(update(captcha).where(captcha.c.expires_at.is_not(None)).values(expires_at=past))


def _states(pool: Pool) -> dict[str, str]:
    with database.transaction(pool.engine) as connection:
        return {row.id: row.state for row in connection.execute(select(captcha.c.id, captcha.c.state))}


def _write_old_orphan(pool: Pool) -> Path:
    """A file that got no row two hours ago."""
    file_id, old = new_id(), time.time() - 7200
    pool.files.write(file_id, a_png())
    os.utime(pool.files.path(file_id), (old, old))
    return pool.files.path(file_id)


def test_orphans_go_and_nothing_else(pool: Pool) -> None:
    live = pool.add(drawn(3), PLAIN)
    orphan, half_written = new_id(), new_id()
    pool.files.write(orphan, a_png())
    pool.files.write(half_written, a_png()[:60])
    folder = pool.files.folder
    foreign = [folder / live[0][:2] / name for name in ("README.txt", ".png", "x.png", f"{live[0]}.png.bak")]
    for path in foreign:
        path.touch()
    assert Sweep(pool, timedelta(0)).all() == Swept(0, 0, 0)  # they may be about to get their rows
    sweep = Sweep(pool, timedelta(0), orphan_age=timedelta(0))
    assert sweep.all() == Swept(expired=0, purged=0, orphans=2)
    assert all(path.exists() for path in foreign)
    for path in foreign:
        path.unlink()
    assert png_names(folder) == set(live)
    assert sweep.all() == Swept(0, 0, 0)


def test_what_expired_is_marked_then_purged_with_its_file(pool: Pool) -> None:
    ids = pool.add([*drawn(4), Drawn(None, a_png())], PLAIN)
    solved, failed, unanswered = pool.pop(3, redeemable=True, stock=PLAIN)
    check(pool, solved.id, solved.code)
    check(pool, failed.id, "wrong")
    _age(pool, seconds=30)
    keeping = Sweep(pool, timedelta(minutes=1))
    assert keeping.all() == Swept(expired=1, purged=0, orphans=0)
    states = _states(pool)
    assert states[unanswered.id] == states[ids[4]] == State.EXPIRED
    assert (states[solved.id], states[failed.id]) == (State.SOLVED, State.FAILED)
    _age(pool, seconds=61)
    assert keeping.all() == Swept(expired=0, purged=4, orphans=0)
    (ready,) = row_ids(pool)
    assert png_names(pool.files.folder) == {ready}
    assert pool.level(PLAIN) == 1


def test_a_tick_is_bounded_and_the_next_goes_on(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pool.sweep._ROUNDS_A_TICK", 1)
    pool.add([Drawn("abc234", b"")] * 2500, PLAIN)
    pool.pop(2500, stock=PLAIN)
    _age(pool, seconds=1)
    orphans = [prefix + new_id()[2:] for prefix in PREFIXES]
    for orphan in orphans:
        pool.files.write(orphan, b"")
    sweep = Sweep(pool, timedelta(0), orphan_age=timedelta(0))
    ticks = [sweep.tick() for _ in range(16)]
    assert all(tick.purged <= 1000 for tick in ticks)
    assert sum(tick.purged for tick in ticks) == 2500
    assert [tick.orphans for tick in ticks] == [16] * 16
    assert not png_names(pool.files.folder)


def test_a_file_that_is_gone_does_not_stop_the_sweep(pool: Pool) -> None:
    (file_id,) = pool.add(drawn(1), PLAIN)
    pool.pop(stock=PLAIN)
    _age(pool, seconds=1)
    pool.files.path(file_id).unlink()
    assert Sweep(pool, timedelta(0)).all() == Swept(0, 1, 0)


def test_one_sweeps_at_a_time(pool: Pool, settings: dict[str, object]) -> None:
    with lease(pool.engine, SWEEPING):
        assert Sweep(pool, timedelta(0)).tick() == Swept(0, 0, 0)
        finished = run("pool.sweep", **settings)
    assert (finished.returncode, finished.stdout) == (0, "another sweep is running\n")


def test_the_command_says_what_it_did(pool: Pool, settings: dict[str, object]) -> None:
    pool.add(drawn(2), PLAIN)
    pool.pop(1, stock=PLAIN)
    _age(pool, seconds=1)
    _write_old_orphan(pool)
    finished = run("pool.sweep", **settings, KEEP_SECONDS=0)
    assert finished.stdout == "1 expired captchas and 1 orphaned files removed\n"
    assert row_ids(pool) == png_names(pool.files.folder)


def test_the_server_sweeps(pool: Pool, settings: dict[str, object], serve: Callable[..., Server]) -> None:
    pool.add(drawn(1), PLAIN)
    pool.pop(stock=PLAIN)
    _age(pool, seconds=1)
    serve(settings | {"KEEP_SECONDS": 0, "REFILL_SECONDS": 1})
    wait_until(lambda: not row_ids(pool) and not png_names(pool.files.folder), "the server's sweep")


@pytest.mark.parametrize("name", ["", "..", "../../etc/passwd", "A" * 32, "a" * 31])
def test_no_path_is_built_from_a_foreign_name(pool: Pool, name: str, tmp_path: Path) -> None:
    bystander = tmp_path / "files" / ".pool"
    pool.add(drawn(1), PLAIN)
    with pytest.raises(ValueError, match="not a file id"):
        pool.files.remove([name])
    assert bystander.exists()


def test_a_sweep_waits_for_no_fill_nor_does_a_stop(
    pool: Pool, settings: dict[str, object], serve: Callable[..., Server]
) -> None:
    """Three fills write without a pause, and a file that got no row is two hours old."""
    orphan = _write_old_orphan(pool)
    words = [sys.executable, "-m", "batch.fill", "--count", "100000", "--jobs", "1", "--quiet"]
    fills = [subprocess.Popen(words, cwd=ROOT, env=environment(settings)) for _ in range(3)]
    try:
        wait_until(lambda: len(png_names(pool.files.folder)) > 1, "the fills to write")
        server = serve(settings | {"REFILL_SECONDS": 0.2})
        wait_until(lambda: not orphan.exists(), "the sweep")
        asked = time.monotonic()
        server.stop(signal.SIGTERM)
        assert time.monotonic() - asked < 5
        assert all(fill.poll() is None for fill in fills)
    finally:
        for fill in fills:
            fill.kill()
            fill.wait()
    for file_id in row_ids(pool):
        assert pool.files.path(file_id).exists()

"""Leases: one holder at a time across processes, none for long after its death, whatever the clock does."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from sqlalchemy import Engine, update

from pool import database, models
from pool.errors import DatabaseError, LeaseLostError
from pool.filling.lease import FILLING, SWEEPING, is_taken, lease
from pool.pool import Pool
from tests.conftest import PLAIN, ROOT, Server, environment, run, wait_until

_HOLD = """
import sys, time
from pool import database
from pool.filling import lease
with lease.lease(database.connect(sys.argv[1]), lease.FILLING) as taken:
    print("taken" if taken else "refused", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _renewed_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no thread extend the deadlines that these tests shift."""
    monkeypatch.setattr("pool.filling.lease._RENEW_SECONDS", 600)


def test_another_process_is_refused_until_the_holder_lets_go(pool: Pool) -> None:
    assert not is_taken(pool.engine, FILLING)
    with lease(pool.engine, FILLING) as held:
        assert held is not None
        held.renew()
        assert is_taken(pool.engine, FILLING)
        assert not is_taken(pool.engine, SWEEPING)
        with lease(pool.engine, FILLING) as other:
            assert other is None
        with lease(pool.engine, SWEEPING) as sweeping:
            assert sweeping is not None
    assert not is_taken(pool.engine, FILLING)
    with lease(pool.engine, FILLING) as again:
        assert again is not None


def _shift(engine: Engine, seconds: float) -> None:
    """Let the deadlines of all leases be so much later, as a step of the clock the other way would."""
    with database.transaction(engine) as connection:
        connection.execute(update(models.lease).values(deadline=models.lease.c.deadline + seconds))


def test_a_holder_that_was_killed_is_outlived(
    pool: Pool, database_url: str, settings: dict[str, object], serve: Callable[..., Server]
) -> None:
    """On SQLite at once; on PostgreSQL within 15 seconds, in which `/readyz` says what an empty pool waits for."""
    server = serve(settings)
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, database_url], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "taken\n"
        with lease(pool.engine, FILLING) as held:
            assert held is None
        holder.send_signal(signal.SIGKILL)
        killed_at = time.monotonic()
    if database_url.startswith("postgresql"):
        wait_until(lambda: "a fill has been under way" in str(server.get("/readyz").json()["warnings"]), "the look")
        wait_until(lambda: "and silent for" in str(server.get("/readyz").json()["warnings"]), "the silence", seconds=15)
        wait_until(lambda: not is_taken(pool.engine, FILLING), "the lease to lapse", seconds=16)
    assert not is_taken(pool.engine, FILLING)
    assert time.monotonic() < killed_at + 20
    with lease(pool.engine, FILLING) as held:
        assert held is not None
    wait_until(lambda: not list(pool.files.folder.parent.glob("pool.db-lease-*")), "the server's sweep to end")


def test_a_holder_whose_work_waits_keeps_the_lease(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread extends it, but not for ever."""
    monkeypatch.setattr("pool.filling.lease._RENEW_SECONDS", 0.3)
    monkeypatch.setattr("pool.filling.lease._SILENCE_SECONDS", {"sqlite": 2.0, "postgresql": 2.0})
    with lease(pool.engine, FILLING):
        time.sleep(4)
        assert is_taken(pool.engine, FILLING)
        with lease(pool.engine, FILLING) as other:
            assert other is None
    monkeypatch.setattr("pool.filling.lease._IDLE_SECONDS", 1)
    with lease(pool.engine, FILLING) as held:
        wait_until(lambda: not is_taken(pool.engine, FILLING), "the lease of work that hangs to lapse", seconds=15)
        assert held


def test_a_holder_that_was_silent_too_long_learns_of_it(pool: Pool) -> None:
    with lease(pool.engine, FILLING) as held:
        assert held is not None
        _shift(pool.engine, seconds=-61)
        with lease(pool.engine, FILLING) as other:
            assert other is not None
            with pytest.raises(LeaseLostError):
                held.renew()
            other.renew()


_DAY = 24 * 60 * 60


def test_who_was_killed_while_the_clock_was_a_day_ahead_blocks_nobody(
    pool: Pool, settings: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    with lease(pool.engine, FILLING) as held:
        assert held is not None
        _shift(pool.engine, _DAY)
        assert "another fill" in run("batch.fill", "--target", 3, **settings).stdout  # it might live
        assert is_taken(pool.engine, FILLING)  # for a while from now
        _shift(pool.engine, -60)
        assert "3 captchas added" in run("batch.fill", "--target", 3, **settings).stdout

        def is_to_be_had() -> bool:
            with lease(pool.engine, FILLING) as taken:
                return taken is not None

        monkeypatch.setattr("pool.filling.lease._SILENCE_SECONDS", {"sqlite": 1.0, "postgresql": 1.0})
        with lease(pool.engine, FILLING):
            _shift(pool.engine, _DAY)
            assert not is_to_be_had()
            wait_until(is_to_be_had, "the lease to lapse", seconds=30)


def test_a_clock_that_steps_back_lets_no_second_one_run(pool: Pool) -> None:
    with lease(pool.engine, FILLING) as held:
        assert held is not None
        _shift(pool.engine, _DAY)
        with lease(pool.engine, FILLING) as other:
            assert other is None
        held.renew()
        assert is_taken(pool.engine, FILLING)
        _shift(pool.engine, _DAY)
        held.renew()  # before anyone looks
        assert is_taken(pool.engine, FILLING)


def test_a_fill_that_was_stopped_for_long_ends_and_keeps_what_it_finished(
    pool: Pool, settings: dict[str, object], database_url: str
) -> None:
    command = [sys.executable, "-m", "batch.fill", "--target", "100000", "--jobs", "1", "--quiet"]
    engine = database.connect(database_url, timeout=2)
    with subprocess.Popen(command, cwd=ROOT, env=environment(settings), stderr=subprocess.PIPE, text=True) as fill:
        wait_until(lambda: pool.level(PLAIN) > 0, "the first chunk")

        def stop() -> bool:
            fill.send_signal(signal.SIGSTOP)
            try:
                _shift(engine, seconds=-61)
            except DatabaseError:  # it was stopped amid a transaction
                fill.send_signal(signal.SIGCONT)
                return False
            return True

        wait_until(stop, "a moment between transactions")
        kept = pool.level(PLAIN)
        with lease(engine, FILLING) as other:
            assert other is not None
            fill.send_signal(signal.SIGCONT)
            _, errors = fill.communicate(timeout=120)
    assert fill.returncode == 1
    assert (
        errors == "error: the lease for filling is lost: this process was silent for too long and another took over\n"
    )
    assert pool.level(PLAIN) >= kept > 0
    engine.dispose()

"""Leases: one holder at a time across processes, none for long after its death."""

import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text, update

from pool import database
from pool.errors import DatabaseError, LeaseLostError
from pool.lease import FILLING, SWEEPING, is_taken, only_one
from pool.models import lease
from pool.pool import Pool
from tests.conftest import ROOT, wait_until

_HOLD = """
import sys, time
from pool import database, lease
with lease.only_one(database.connect(sys.argv[1]), lease.FILLING) as taken:
    print("taken" if taken else "refused", flush=True)
    time.sleep(60)
"""


def test_another_process_is_refused_until_the_holder_lets_go(pool: Pool) -> None:
    assert not is_taken(pool.engine, FILLING)
    with only_one(pool.engine, FILLING) as held:
        assert held is not None
        held.renew()
        assert is_taken(pool.engine, FILLING)
        assert not is_taken(pool.engine, SWEEPING)
        with only_one(pool.engine, FILLING) as other:
            assert other is None
        with only_one(pool.engine, SWEEPING) as sweeping:
            assert sweeping is not None
    assert not is_taken(pool.engine, FILLING)
    with only_one(pool.engine, FILLING) as again:
        assert again is not None


def test_a_holder_that_was_killed_is_outlived(pool: Pool, database_url: str, backend: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, database_url], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "taken\n"
        with only_one(pool.engine, FILLING) as held:
            assert held is None
        holder.send_signal(signal.SIGKILL)
    if backend == "sqlite":  # let the deadline pass
        with database.transaction(pool.engine) as connection:
            connection.execute(update(lease).values(until=datetime.now(UTC)))
    wait_until(lambda: not is_taken(pool.engine, FILLING), "the lease to be free")
    with only_one(pool.engine, FILLING) as held:
        assert held is not None


def test_a_holder_that_was_silent_too_long_learns_of_it(pool: Pool, backend: str) -> None:
    with only_one(pool.engine, FILLING) as held:
        assert held is not None
        with database.transaction(pool.engine) as connection:
            if backend == "sqlite":
                connection.execute(update(lease).values(until=datetime.now(UTC) - timedelta(seconds=1)))
            else:
                connection.execute(
                    text(
                        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND database ="
                        " (SELECT oid FROM pg_database WHERE datname = current_database())"
                    )
                )
        with only_one(pool.engine, FILLING) as other:
            assert other is not None
            with pytest.raises((LeaseLostError, DatabaseError)):
                held.renew()
            other.renew()

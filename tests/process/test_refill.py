"""The refill when its fill hangs, or another host fills."""

import logging
import os
import signal
import time
from collections.abc import Iterator

import psutil
import pytest

from pool.filling.lease import FILLING, lease
from pool.pool import Pool
from server.refill import Refill
from tests.conftest import own_refill, wait_until


@pytest.fixture
def refill(sqlite_settings: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> Iterator[Refill]:
    with own_refill(sqlite_settings, monkeypatch) as refill:
        yield refill


def _fills() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "batch.fill" in child.cmdline()]


def test_a_fill_that_hangs_is_ended_and_the_next_one_fills(refill: Refill, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.refill._LONGEST_FILL_SECONDS", 2)
    refill.start()
    wait_until(lambda: bool(_fills()), "the refill to start")
    (hung,) = _fills()
    os.kill(hung.pid, signal.SIGSTOP)
    wait_until(lambda: refill.error is not None, "the end of its time")
    assert refill.error == "batch.fill took longer than 2 s and was killed; what it finished is kept"
    assert not hung.is_running()
    monkeypatch.setattr("server.refill._LONGEST_FILL_SECONDS", 60)
    wait_until(lambda: refill.error is None, "the next fill", seconds=90)


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_what_another_host_fills_is_left_for_the_next_check(
    pool: Pool, settings: dict[str, object], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("server.refill.is_taken", lambda *_: False)  # the other one begins right after the look
    caplog.set_level(logging.INFO, "server.refill")
    with own_refill(settings | {"DOUBT": "true"}, monkeypatch, seconds=600) as refill, lease(pool.engine, FILLING):
        refill.start()
        wait_until(lambda: len(caplog.messages) >= 2, "a try for each stock")
        time.sleep(3)  # a fill that finds the lease taken ends within a second
    begun = [message.partition(":")[0] for message in caplog.messages]
    assert begun == ["refill of plain (standard)", "refill of plain (hard)"]
    assert refill.error is None

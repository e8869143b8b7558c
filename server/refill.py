"""Refilling: a scheduled look at the level that starts `python -m batch.fill` when the pool runs low."""

import logging
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime

from apscheduler.schedulers.background import BackgroundScheduler

from pool.errors import GantchaError
from pool.pool import Pool
from pool.settings import Settings

log = logging.getLogger("uvicorn.error.refill")
_NICENESS = 10


class Refill:
    """Keeps the pool filled by one child process at a time; an answer never waits for it."""

    def __init__(self, settings: Settings, pool: Pool) -> None:
        self._settings = settings
        self._pool = pool
        self._scheduler = BackgroundScheduler(timezone=UTC)
        self._process: subprocess.Popen[bytes] | None = None
        self._start_lock = threading.Lock()  # between `stop` and a fill that is just being started
        self._stopping = False
        self._expected_level = settings.target
        self._wanted = threading.Event()

    def start(self) -> None:
        """Look at the level now and every REFILL_SECONDS; do nothing when the target is 0."""
        if self._settings.target:
            # A run missed while a fill was going on is no news.
            logging.getLogger("apscheduler").setLevel(logging.ERROR)
            self._scheduler.add_job(
                self._look,
                "interval",
                seconds=self._settings.refill_seconds,
                next_run_time=datetime.now(UTC),
                id="refill",
                max_instances=1,
                coalesce=True,
            )
            self._scheduler.start()

    def stop(self) -> None:
        """End the schedule and the running fill; what that has committed stays in the pool."""
        with self._start_lock:
            self._stopping = True
            if self._process and self._process.poll() is None:
                self._process.terminate()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)

    def count_pop(self, popped: int) -> None:
        """Note that captchas left the pool, or that there were none to give, and look early when that is low."""
        self._expected_level -= popped
        is_low = popped == 0 or self._expected_level < self._settings.low_water
        if is_low and self._scheduler.running and not self._wanted.is_set():
            self._wanted.set()
            self._scheduler.modify_job("refill", next_run_time=datetime.now(UTC))

    def _look(self) -> None:
        try:
            self._expected_level = self._pool.level()
            if self._expected_level < self._settings.low_water:
                self._fill()
                self._expected_level = self._pool.level()
        except GantchaError as error:
            log.error("refill failed: %s", error)
        finally:
            self._wanted.clear()

    def _fill(self) -> None:
        command = [sys.executable, "-m", "batch.fill", "--target", str(self._settings.target), "--quiet"]
        with self._start_lock:
            if self._stopping:
                return
            log.info("refill: %d ready captchas, filling to %d", self._expected_level, self._settings.target)
            # A session of its own: Ctrl-C reaches the server alone, which then ends the fill.
            self._process = subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True)
            os.setpriority(os.PRIO_PROCESS, self._process.pid, _NICENESS)
        _, errors = self._process.communicate()
        if self._process.returncode and not self._stopping:
            reason = errors.decode(errors="replace").strip().splitlines() or ["no message"]
            log.error("refill failed: batch.fill ended with %d: %s", self._process.returncode, reason[-1])

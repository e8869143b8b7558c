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
        self._one_look = threading.Lock()
        self._one_start_or_stop = threading.Lock()
        self._stopping = False
        self._is_hopeless = False
        self._early_look = threading.Event()
        self._expected_level = settings.target

    def start(self) -> None:
        """Look at the level now and every REFILL_SECONDS; do nothing when the target is 0."""
        if self._settings.target:
            # That a look is skipped while a fill goes on is no news.
            logging.getLogger("apscheduler").setLevel(logging.ERROR)
            self._scheduler.add_job(
                self._look,
                "interval",
                seconds=self._settings.refill_seconds,
                next_run_time=datetime.now(UTC),
                misfire_grace_time=None,
            )
            self._scheduler.start()

    def stop(self) -> None:
        """End the schedule and the running fill; what that has committed stays in the pool."""
        with self._one_start_or_stop:
            self._stopping = True
            if self._process:
                self._process.terminate()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)

    def count_pop(self, popped: int) -> None:
        """Note that captchas left the pool, or that there were none to give, and look early when that is low.

        After a fill that did not help the next look waits for its time, or it would be tried over and over.
        """
        self._expected_level -= popped
        is_low = popped == 0 or self._expected_level < self._settings.low_water
        if is_low and self._scheduler.running and not self._is_hopeless and not self._early_look.is_set():
            self._early_look.set()
            self._scheduler.add_job(self._look, misfire_grace_time=None)

    def _look(self) -> None:
        with self._one_look:
            self._early_look.clear()
            try:
                self._expected_level = self._pool.level()
                if self._expected_level < self._settings.low_water:
                    went_well = self._fill()
                    self._expected_level = self._pool.level()
                    self._is_hopeless = not went_well or self._expected_level < self._settings.low_water
            except GantchaError as error:
                self._is_hopeless = True
                log.error("refill failed: %s", error)

    def _fill(self) -> bool:
        """Run a fill to its end and say whether it went well."""
        command = [sys.executable, "-m", "batch.fill", "--target", str(self._settings.target), "--quiet"]
        with self._one_start_or_stop:
            if self._stopping:
                return True
            log.info("refill: %d ready captchas, filling to %d", self._expected_level, self._settings.target)
            # A session of its own: Ctrl-C reaches the server alone, which then ends the fill.
            self._process = subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True)
            os.setpriority(os.PRIO_PROCESS, self._process.pid, _NICENESS)
        _, errors = self._process.communicate()
        if self._process.returncode and not self._stopping:
            reason = errors.decode(errors="replace").strip().splitlines() or ["no message"]
            log.error("refill failed: batch.fill ended with %d: %s", self._process.returncode, reason[-1])
        return self._process.returncode == 0

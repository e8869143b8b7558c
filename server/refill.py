"""The schedule: check the level, start `python -m batch.fill` when the pool is low, and sweep.

The server runs it; `python -m server.refill` runs it without a server.
"""

import logging
import os
import signal
import subprocess
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from apscheduler.job import Job
from apscheduler.schedulers.background import BackgroundScheduler

from gantcha.errors import GantchaError, one_line_errors
from gantcha.home import child
from gantcha.terminal import run
from pool.cores import available_cores
from pool.database import REQUEST_TIMEOUT
from pool.errors import SettingsError
from pool.filling.lease import FILLING, is_taken
from pool.filling.stocks import kept_stocks
from pool.filling.watermarks import Watermarks, watermarks
from pool.models import Stock
from pool.pool import Pool
from pool.settings import Settings, load_settings
from pool.sweep import Sweep
from server import logs
from server.metrics import LAPSED, REFILLS

log = logging.getLogger(__name__)
_NICENESS = 10  # added to that of the server
_LEAST_PRIORITY = 19
_LONGEST_FILL_SECONDS = 15 * 60  # a longer one hangs, or the machine is slow and the next fill continues
_EARLY_CHECK_SECONDS = 1
_LONGEST_WAIT_SECONDS = 600
_MOST_DOUBLINGS = 16
_SWEEP_SECONDS = 10
_SLICE = 1000  # captchas for visitors in doubt that are drawn before the other stocks get another look


class Refill:
    """Fills the pool with one child process at a time, and sweeps it; requests wait for neither."""

    def __init__(self, settings: Settings, pool: Pool) -> None:
        """Choose the stocks to keep. Raises SettingsError when the keys file can't be read or is invalid."""
        self._settings, self._pool = settings, pool
        self._sweep = Sweep(pool, timedelta(seconds=settings.keep_seconds))
        self._scheduler = BackgroundScheduler(timezone=UTC)
        self._level_check: Job | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._one_start_or_stop = threading.Lock()
        self._stopping = False
        self._failures = 0
        self._no_early_check_before = self._no_fill_before = 0.0  # by the monotonic clock
        self.stocks = kept_stocks(settings)
        self._expected_levels = dict.fromkeys(self.stocks.all, settings.target)
        self.watermarks = dict.fromkeys(self.stocks.all, Watermarks(settings.low_water, settings.target))
        self._level_error: str | None = None
        self._fill_error: str | None = None

    @property
    def error(self) -> str | None:
        """Why the last refill failed; None when it did not."""
        return self._level_error or self._fill_error

    def start(self) -> None:
        """Start to check the level, unless the target is 0, and to sweep: now and every REFILL_SECONDS."""
        seconds = self._settings.refill_seconds
        often: dict[str, Any] = {"trigger": "interval", "next_run_time": datetime.now(UTC), "misfire_grace_time": None}
        self._scheduler.add_job(self._tidy, seconds=min(seconds, _SWEEP_SECONDS), **often)
        if self._settings.target:
            self._level_check = self._scheduler.add_job(self._check_level, seconds=seconds, **often)
        self._scheduler.start()

    def stop(self) -> None:
        """End the schedule and the running fill; what that has committed stays in the pool."""
        with self._one_start_or_stop:
            self._stopping = True
            if self._process:
                self._process.terminate()
        self._scheduler.shutdown(wait=True)

    def count_pop(self, stock: Stock, popped: int) -> None:
        """Count captchas that left a stock (0: it was empty), and check the levels early if it is low."""
        self._expected_levels[stock] -= popped
        is_low = popped == 0 or self._expected_levels[stock] < self.watermarks[stock].low_water
        now = time.monotonic()
        if is_low and self._level_check and self._scheduler.running and now >= self._no_early_check_before:
            self._no_early_check_before = max(now + _EARLY_CHECK_SECONDS, self._no_fill_before)
            self._level_check.modify(next_run_time=datetime.now(UTC))

    def _tidy(self) -> None:
        try:
            LAPSED.inc(self._sweep.tick().expired)
        except GantchaError as error:
            log.error("sweep failed: %s", error)

    def _check_level(self) -> None:
        try:
            low = self._find_low()
            log.debug("ready captchas: %s", {str(stock): level for stock, level in self._expected_levels.items()})
            if low and time.monotonic() >= self._no_fill_before and not is_taken(self._pool.engine, FILLING):
                self._fill_all(low)
            self._level_error = None
        except GantchaError as error:
            self._level_error = str(error)
            log.error("the level can't be checked: %s", error)

    def _find_low(self) -> set[Stock]:
        for stock in self.stocks.all:
            self._expected_levels[stock] = self._pool.level(stock)
            self.watermarks[stock] = watermarks(self._settings, self._pool.demand(stock))
        return {stock for stock, level in self._expected_levels.items() if level < self.watermarks[stock].low_water}

    def _fill_all(self, low: set[Stock]) -> None:
        """Fill stocks, the emptiest first; those for visitors in doubt come last and in slices.

        After each slice the levels are read again, and a usual stock that is low by now comes first. A stock whose fill
        failed or added nothing, since another host is filling, is left for the next check.
        """
        pending, left = low, set[Stock]()
        first_error = None
        while pending and not self._stopping:
            stock = min(pending, key=lambda stock: (stock not in self.stocks.usual, self._expected_levels[stock]))
            level, target = self._expected_levels[stock], self.watermarks[stock].target
            aim = target if stock in self.stocks.usual else min(target, level + _SLICE)
            error = self._run_fill(stock, aim)
            REFILLS.labels("error" if error else "ok").inc()
            first_error = first_error or error
            newly_low = self._find_low()
            if error or self._expected_levels[stock] <= level:
                left.add(stock)
            if aim == target:
                pending = pending - {stock}
            if not pending <= set(self.stocks.usual):
                pending = pending | newly_low
            pending -= left
        self._note(first_error)

    def _run_fill(self, stock: Stock, target: int) -> str | None:
        """Run a fill until it ends; return why it failed, or None."""
        options = [f"--{name.replace('_', '-')}={value}" for name, value in stock._asdict().items()]
        options += ["--target", str(target), "--quiet"]
        jobs = str(max(1, available_cores() - 1))  # leave a core for requests
        command, environment = child("batch.fill")
        with self._one_start_or_stop:
            if self._stopping:
                return None
            log.info("refill of %s: %d ready, filling to %d", stock, self._expected_levels[stock], target)
            # In a separate session Ctrl-C reaches only the server, which then ends the fill.
            self._process = subprocess.Popen(
                [*command, *options, "--jobs", jobs], env=environment, stderr=subprocess.PIPE, start_new_session=True
            )
            niceness = min(os.getpriority(os.PRIO_PROCESS, 0) + _NICENESS, _LEAST_PRIORITY)
            os.setpriority(os.PRIO_PROCESS, self._process.pid, niceness)
        try:
            _, errors = self._process.communicate(timeout=_LONGEST_FILL_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)  # with the processes that draw for it
            self._process.communicate()
            return f"batch.fill took longer than {_LONGEST_FILL_SECONDS} s and was killed; what it finished is kept"
        if self._stopping or not self._process.returncode:
            return None
        reason = errors.decode(errors="replace").strip().splitlines() or ["no message"]
        return f"batch.fill ended with {self._process.returncode}: {reason[-1]}"

    def _note(self, error: str | None) -> None:
        """Log why a fill failed, and double the wait before the next attempt."""
        self._fill_error = error
        if error is None:
            self._failures = 0
            return
        seconds = self._settings.refill_seconds
        wait = min(seconds * 2 ** min(self._failures, _MOST_DOUBLINGS), max(seconds, _LONGEST_WAIT_SECONDS))
        self._no_fill_before = time.monotonic() + wait
        self._failures += 1
        log.error("refill failed, next attempt in %.0f s: %s", wait, error)


def main() -> None:
    """Keep the pool filled and swept without a server, on a separate machine or in a container.

    Set CAPTCHA_TARGET=0 for the servers, so that only this process draws.

    \b
    Example:
        CAPTCHA_LOW_WATER=5000 CAPTCHA_TARGET=10000 python -m server.refill
    """
    with one_line_errors():
        settings = load_settings()
        if not settings.target:
            raise SettingsError("CAPTCHA_TARGET is 0, which turns refilling off")
        pool = Pool.open(settings, REQUEST_TIMEOUT)
        refill, stopped = Refill(settings, pool), threading.Event()
    logs.configure(settings)
    logs.warn_of_foreign_variables()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stopped.set())
    refill.start()
    stopped.wait()
    refill.stop()
    pool.engine.dispose()


if __name__ == "__main__":
    run(main)

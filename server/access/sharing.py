"""Exchange of counters between the processes of a pool: once a second, or sooner if asked, in a thread.

The sums of each hour are written with them, more seldom.
"""

import logging
import threading
import time

from pool.counters import Counters
from pool.errors import DatabaseError
from pool.hourly import HourlySums
from pool.pool import Pool

log = logging.getLogger(__name__)
_SECONDS = 1.0
_LEAST_SECONDS = 0.05  # from the end of one exchange to the next
_SUMS_SECONDS = 10.0


class Sharing:
    """Synchronises counters with the database until it is stopped; while that is down, they count on in memory."""

    def __init__(self, counters: Counters, sums: HourlySums, pool: Pool) -> None:
        self._counters, self._sums, self._pool = counters, sums, pool
        self._stopping, self._hurried = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="sharing", daemon=True)
        self._is_down, self._sums_due = False, 0.0

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def hurry(self) -> None:
        """Exchange at once: much was counted for one subject, which other processes do not know."""
        self._hurried.set()

    def stop(self) -> None:
        """Write what is left, and end the thread."""
        self._stopping.set()
        self._hurried.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(_LEAST_SECONDS):
            self._hurried.wait(_SECONDS - _LEAST_SECONDS)
            self._hurried.clear()
            self._sync()
        self._sync()

    def _sync(self) -> None:
        if self._stopping.is_set() or time.monotonic() >= self._sums_due:
            self._sums.note()  # whatever the database does: an outage may be longer than the hour
            self._sums_due = time.monotonic() + _SUMS_SECONDS
        try:
            self._counters.sync(self._pool)
            self._sums.write(self._pool.engine)
        except DatabaseError as error:
            if not self._is_down:  # logged once, not every second of an outage
                log.error("counts stay in this process for now: %s", error)
            self._is_down = True
        else:
            self._is_down = False

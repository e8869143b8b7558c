"""Exchange of counters between the processes of a pool: once a second, or sooner if asked, in a thread."""

import logging
import threading

from pool.counters import Counters
from pool.errors import DatabaseError
from pool.pool import Pool

log = logging.getLogger(__name__)
_SECONDS = 1.0
_LEAST_SECONDS = 0.05  # from the end of one exchange to the next


class Sharing:
    """Synchronises counters with the database until it is stopped; while that is down, they count on in memory."""

    def __init__(self, counters: Counters, pool: Pool) -> None:
        self._counters, self._pool = counters, pool
        self._stopping, self._hurried = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="sharing", daemon=True)
        self._is_down = False

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
        try:
            self._counters.sync(self._pool)
        except DatabaseError as error:
            if not self._is_down:  # logged once, not every second of an outage
                log.error("limits are counted in this process only: %s", error)
            self._is_down = True
        else:
            self._is_down = False

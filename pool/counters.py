"""Counts per subject in windows of time: kept in memory, and shared with all processes of a pool by its database."""

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import NamedTuple

from sqlalchemy import Engine, bindparam, select

from pool import database
from pool.models import counter
from pool.pool import Pool

_MOST_SUBJECTS = 100_000
# Subjects written and read in one transaction: JSON of more would keep the interpreter for longer than a millisecond.
_PIECE = 250
_SUMS = select(*(counter.c[name] for name in ("subject", "name", "start", "count"))).where(
    counter.c.subject.in_(bindparam("subjects", expanding=True))
)
Counts = dict[str, int]
"""Counts of one subject by slot. Only text and numbers, so the garbage collector does not visit it."""


class Window(NamedTuple):
    """What is counted, and for how long."""

    what: str
    seconds: int

    @property
    def name(self) -> str:
        """Name in the database."""
        return f"{self.what}/{self.seconds}"

    def slot(self, start: int) -> str:
        """Return the name of one window in memory."""
        return f"{self.what}/{self.seconds}@{start}"


def _split(slot: str) -> tuple[str, int, int]:
    """Return the name, the start, and the time from which on nobody reads the slot."""
    name, _, start = slot.partition("@")
    seconds = int(name.rpartition("/")[2])
    return name, int(start), int(start) + 2 * seconds


class Counters:
    """Sliding window counters: the count of the current window and a share of the one before it.

    Counting and reading take a few microseconds and no round trip to the database. `sync` writes what was counted here,
    and reads the sums of all processes, but only for the subjects that were counted here since the last `sync`: so its
    work is bounded by the requests of this process. Beyond `most` subjects the least recently counted one is dropped
    from memory; its sums are read again when it is counted again. Safe to share between threads.
    """

    def __init__(self, clock: Callable[[], float] = time.time, most: int = _MOST_SUBJECTS) -> None:
        self._clock, self._most = clock, most
        self._lock = threading.Lock()
        self._counts: OrderedDict[str, Counts] = OrderedDict()  # the least recently counted subject first
        self._unwritten: dict[str, Counts] = {}
        self._key = b""

    def __len__(self) -> int:
        """Return how many subjects are in memory."""
        return len(self._counts)

    def count(self, subject: str, window: Window, by: int = 1) -> None:
        """Count one, or take one back."""
        slot = window.slot(int(self._clock() // window.seconds) * window.seconds)
        with self._lock:
            if subject in self._counts:
                self._counts.move_to_end(subject)
            else:
                self._counts[subject] = {}
                if len(self._counts) > self._most:
                    self._counts.popitem(last=False)
            _add(self._counts[subject], slot, by)
            if subject in self._unwritten or len(self._unwritten) < self._most:  # full during a long outage
                _add(self._unwritten.setdefault(subject, {}), slot, by)

    def recent(self, subject: str, window: Window) -> float:
        """Return how many were counted within the last `window.seconds`."""
        previous, current, elapsed = self._read(subject, window)
        return previous * (1 - elapsed) + current

    def wait(self, subject: str, window: Window, most: int) -> float:
        """Return the seconds until one more makes at most `most` within the window; 0 if it does now."""
        previous, current, elapsed = self._read(subject, window)
        if previous * (1 - elapsed) + current + 1 <= most:
            return 0
        # In windows since the start of the current one; if it is full, the next one has to be waited for.
        due = 1 - (most - current - 1) / previous if current < most else 2 - (most - 1) / current
        return window.seconds * (due - elapsed)

    def _read(self, subject: str, window: Window) -> tuple[int, int, float]:
        """Return the counts of the previous and the current window, and the share of the current one that is over."""
        number, elapsed = divmod(self._clock() / window.seconds, 1)
        counts = self._counts.get(subject)
        if not counts:  # as for most subjects: naming the slots would take longer than the rest
            return 0, 0, elapsed
        start = int(number) * window.seconds
        return counts.get(window.slot(start - window.seconds), 0), counts.get(window.slot(start), 0), elapsed

    def sync(self, pool: Pool) -> None:
        """Write what was counted since the last call, and read the sums of those subjects; call it in a thread.

        Raises:
            DatabaseError: the database does not answer; the next call writes what this one did not.
        """
        self._forget_idle()
        with self._lock:
            changed, self._unwritten = self._unwritten, {}
        try:
            subjects = list(changed)
            for start in range(0, len(subjects), _PIECE):
                piece = {self._hash(subject, pool): subject for subject in subjects[start : start + _PIECE]}
                sums = _exchange(pool.engine, {key: changed[subject] for key, subject in piece.items()}, self._clock())
                for key, subject in piece.items():
                    del changed[subject]
                    self._merge(subject, sums.get(key, {}))
        finally:
            for subject, counts in changed.items():
                self._put_back(subject, counts)

    def _hash(self, subject: str, pool: Pool) -> str:
        """Return what the table knows the subject by: without the secret of the pool it does not tell the address."""
        self._key = self._key or pool.secret().encode()
        return hashlib.blake2b(subject.encode(), key=self._key, digest_size=16).hexdigest()

    def _merge(self, subject: str, sums: Counts) -> None:
        with self._lock:
            if subject in self._counts:
                pending = self._unwritten.get(subject, {})
                for slot, count in pending.items():
                    _add(sums, slot, count)
                self._counts[subject] = sums

    def _put_back(self, subject: str, counts: Counts) -> None:
        now = self._clock()
        with self._lock:
            for slot, count in counts.items():
                if _split(slot)[2] > now and (subject in self._unwritten or len(self._unwritten) < self._most):
                    _add(self._unwritten.setdefault(subject, {}), slot, count)

    def _forget_idle(self) -> None:
        """Drop subjects whose windows are all over, from the least recently counted one on."""
        now = self._clock()
        is_over = True
        while is_over and self._counts:
            with self._lock:
                subject, counts = next(iter(self._counts.items()))
                if is_over := all(_split(slot)[2] <= now for slot in counts):
                    del self._counts[subject]


def _add(counts: Counts, slot: str, count: int) -> None:
    counts[slot] = counts.get(slot, 0) + count


def _exchange(engine: Engine, changes: Mapping[str, Counts], now: float) -> dict[str, Counts]:
    """Add the changes in one transaction, in the order of the key; return the sums of their subjects."""
    slots = ((subject, _split(slot), count) for subject, counts in changes.items() for slot, count in counts.items())
    rows = sorted((subject, name, start, count, end) for subject, (name, start, end), count in slots if end > now)
    with database.transaction(engine) as connection:
        if rows:
            database.insert_rows(connection, tuple(counter.c), rows, adding=counter.c["count"])
        found = database.read_rows(connection, _SUMS, subjects=[*changes])
    sums: dict[str, Counts] = {}
    for subject, name, start, count in found:
        if _split(slot := f"{name}@{start}")[2] > now:  # asked in SQL, PostgreSQL would choose the other index
            sums.setdefault(subject, {})[slot] = count
    return sums

"""The sweep: `python -m pool.sweep` removes expired captchas, then files that belong to no row."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import count, cycle, islice
from typing import NamedTuple

import typer
from sqlalchemy import ColumnElement, delete, func, select, tuple_, update

from gantcha.errors import one_line_errors
from pool import database
from pool.filling.lease import SWEEPING, lease
from pool.models import State, captcha, counter, fill, token
from pool.pool import IS_TAKEN, Pool
from pool.settings import load_settings
from pool.storage.files import PREFIXES

_ROWS = 1000  # rows per transaction, so that others do not wait long for the database
_ROUNDS_A_TICK = 10
_PREFIXES_A_TICK = 16
_FILLS = 1000  # fills that are remembered
_COUNTERS = 5000  # counters per transaction: they have no file
_ORPHAN_AGE = timedelta(hours=1)  # far longer than from the writing of a file to its row's commit
_ANSWERED = (State.SOLVED, State.FAILED, State.EXPIRED)


class Swept(NamedTuple):
    """What a sweep did."""

    expired: int
    """number of challenges that nobody answered in time"""
    purged: int
    """number of rows that were deleted with their files"""
    orphans: int
    """number of deleted files without a row"""


class Sweep:
    """Removes captchas that were answered or have expired, and files that never got a row."""

    def __init__(self, pool: Pool, keep: timedelta, orphan_age: timedelta = _ORPHAN_AGE) -> None:
        """Prepare the sweep of a pool.

        Args:
            pool: the pool to sweep.
            keep: how long an expired captcha is kept before it is deleted.
            orphan_age: how old a file without a row must be; a younger one may still get its row.
        """
        self._pool, self._keep, self._orphan_age = pool, keep, orphan_age
        self._prefixes = cycle(PREFIXES)

    def tick(self) -> Swept:
        """Do a limited part of the work unless another process sweeps; the next call continues from there.

        Raises:
            DatabaseError: the database does not answer; nothing is removed without checking it.
            StorageError: the folder belongs to another pool, or is not writable.
        """
        return self._sweep(range(_ROUNDS_A_TICK), islice(self._prefixes, _PREFIXES_A_TICK)) or Swept(0, 0, 0)

    def all(self) -> Swept | None:
        """Do all the work; None if another process sweeps. Raises the same errors as `tick`."""
        return self._sweep(count(), PREFIXES)

    def _sweep(self, rounds: Iterable[int], prefixes: Iterable[str]) -> Swept | None:
        with lease(self._pool.engine, SWEEPING) as held:
            if not held:
                return None
            expired = purged = orphans = 0
            for _ in rounds:
                newly_expired, newly_purged, was_any_due = self._purge()
                expired, purged = expired + newly_expired, purged + newly_purged
                held.renew()
                if not was_any_due:
                    break
            for number, prefix in enumerate(prefixes, 1):
                orphans += self._remove_orphans(prefix)
                if number % _PREFIXES_A_TICK == 0:
                    held.renew()
            return Swept(expired, purged, orphans)

    def _purge(self) -> tuple[int, int, bool]:
        """Set lapsed captchas to expired, and delete those that expired long enough ago: first rows, then files.

        Tokens and counters that nobody reads any more are deleted as well.

        Return how many challenges expired, how many rows were purged, and whether anything was due.
        """
        self._pool.check_files()
        now = datetime.now(UTC)
        lapsed = _some(captcha.c.state == State.ISSUED, captcha.c.expires_at <= now)
        forgotten = _some(captcha.c.state.in_(_ANSWERED), captcha.c.expires_at <= now - self._keep)
        stale_tokens = select(token.c.digest).where(token.c.expires_at <= now - self._keep).limit(_ROWS)
        of_counter = tuple_(*counter.primary_key)
        old_counters = select(*counter.primary_key).where(counter.c.expires_at <= now.timestamp()).limit(_COUNTERS)
        old_counters = old_counters.with_for_update(skip_locked=True)
        newest_fill = select(func.max(fill.c.id)).scalar_subquery()
        with database.transaction(self._pool.engine) as connection:
            tokens = connection.execute(
                delete(token).where(token.c.digest.in_(stale_tokens.scalar_subquery()))
            ).rowcount
            expire = update(captcha).where(lapsed).values(state=State.EXPIRED).returning(captcha.c.redeemable)
            redeemable = list(connection.scalars(expire))
            ids = list(connection.scalars(delete(captcha).where(forgotten).returning(captcha.c.id)))
            counters = connection.execute(delete(counter).where(of_counter.in_(old_counters))).rowcount
            connection.execute(delete(fill).where(fill.c.id <= newest_fill - _FILLS))
        self._pool.files.remove(ids)
        return sum(redeemable), len(ids), bool(redeemable or ids or tokens or counters)

    def _remove_orphans(self, prefix: str) -> int:
        files = self._pool.files
        if not files.names(prefix):
            return 0
        with_prefix = captcha.c.id.between(prefix, prefix + "g")
        with database.transaction(self._pool.engine, **database.READ_ONLY) as connection:
            live_ids = set(connection.scalars(select(captcha.c.id).where(with_prefix)))
        return files.remove_orphans(prefix, live_ids, self._orphan_age)


def _some(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """Match the next `_ROWS` taken captchas under these conditions that no other transaction has locked."""
    rows = select(captcha.c.id).where(IS_TAKEN, *conditions).limit(_ROWS).with_for_update(skip_locked=True)
    return captcha.c.id.in_(rows.scalar_subquery())


def main() -> None:
    """Remove expired captchas and files without a row. The server does the same in small steps.

    \b
    Example, for cron where no server runs:
        python -m pool.sweep
    """
    with one_line_errors():
        settings = load_settings()
        swept = Sweep(Pool.open(settings), timedelta(seconds=settings.keep_seconds)).all()
    if swept is None:
        print("another sweep is running")
    else:
        print(f"{swept.purged} expired captchas and {swept.orphans} orphaned files removed")


if __name__ == "__main__":
    typer.run(main)

"""The sweep: `python -m pool.sweep` removes expired captchas, files that belong to no row, and rows without a file."""

import logging
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count, cycle, islice
from typing import Annotated, NamedTuple

import typer
from sqlalchemy import ColumnElement, and_, delete, func, select, tuple_, update

from gantcha.errors import one_line_errors
from gantcha.terminal import run
from pool import database
from pool.filling.lease import SWEEPING, lease
from pool.hourly import HOUR, HOURS
from pool.models import State, captcha, counter, fill, hourly, token, work_key, work_pass
from pool.pool import IS_TAKEN, Pool
from pool.settings import load_settings
from pool.storage.files import PREFIXES

_ROWS = 1000  # rows per transaction, so that others do not wait long for the database
_ROUNDS_A_TICK = 10
_PREFIXES_A_TICK = 16
_FILLS = 1000  # fills that are remembered
_COUNTERS = 5000  # counters per transaction: they have no file
_ORPHAN_AGE = timedelta(hours=1)  # far longer than from the writing of a file to its row's commit
_LOST_AGE = timedelta(minutes=2)  # longer than another machine's listing of a mounted folder may be out of date
_LATEST_PASS = timedelta(hours=1)  # longer than a server's clock may be slow, or a request waits
_ANSWERED = (State.SOLVED, State.FAILED, State.EXPIRED)
_OPEN = (State.READY, State.ISSUED)
log = logging.getLogger(__name__)


class Swept(NamedTuple):
    """What a sweep did."""

    expired: int
    """number of challenges that nobody answered in time"""
    purged: int
    """number of rows that were deleted with their files"""
    orphans: int
    """number of deleted files without a row"""
    lost: int = 0
    """number of deleted ready captchas without a file"""


class Sweep:
    """Removes captchas that were answered or have expired, files without a row, and rows without a file."""

    def __init__(
        self, pool: Pool, keep: timedelta, orphan_age: timedelta = _ORPHAN_AGE, lost_age: timedelta = _LOST_AGE
    ) -> None:
        """Prepare the sweep of a pool.

        Args:
            pool: the pool to sweep.
            keep: how long an expired captcha is kept before it is deleted.
            orphan_age: how old a file without a row must be; a younger one may still get its row.
            lost_age: how old a ready captcha without a file must be.
        """
        self._pool, self._keep, self._orphan_age, self._lost_age = pool, keep, orphan_age, lost_age
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
            expired = purged = orphans = lost = 0
            for _ in rounds:
                newly_expired, newly_purged, was_any_due = self._purge()
                expired, purged = expired + newly_expired, purged + newly_purged
                held.renew()
                if not was_any_due:
                    break
            for number, prefix in enumerate(prefixes, 1):
                of_prefix = self._compare(prefix)
                orphans, lost = orphans + of_prefix[0], lost + of_prefix[1]
                if number % _PREFIXES_A_TICK == 0:
                    held.renew()
            if lost:
                log.error(
                    "%d ready captchas without a picture removed: was a folder emptied, or has each machine its own?",
                    lost,
                )
            return Swept(expired, purged, orphans, lost)

    def _purge(self) -> tuple[int, int, bool]:
        """Set lapsed captchas to expired, and delete those that expired long enough ago: first rows, then files.

        Tokens, counters, sums and spent work that nobody reads any more are deleted as well.

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
        old_passes = (
            select(work_pass.c.id).where(work_pass.c.expires_at <= (now - _LATEST_PASS).timestamp()).limit(_ROWS)
        )
        newest_fill = select(func.max(fill.c.id)).scalar_subquery()
        with database.transaction(self._pool.engine) as connection:
            tokens = connection.execute(
                delete(token).where(token.c.digest.in_(stale_tokens.scalar_subquery()))
            ).rowcount
            expire = update(captcha).where(lapsed).values(state=State.EXPIRED).returning(captcha.c.redeemable)
            redeemable = list(connection.scalars(expire))
            ids = list(connection.scalars(delete(captcha).where(forgotten).returning(captcha.c.id)))
            counters = connection.execute(delete(counter).where(of_counter.in_(old_counters))).rowcount
            passes = connection.execute(
                delete(work_pass).where(work_pass.c.id.in_(old_passes.scalar_subquery()))
            ).rowcount
            connection.execute(delete(fill).where(fill.c.id <= newest_fill - _FILLS))
            connection.execute(delete(hourly).where(hourly.c.start <= now.timestamp() - HOURS * HOUR))
        self._pool.files.remove(ids)
        return sum(redeemable), len(ids), bool(redeemable or ids or tokens or counters or passes)

    def _compare(self, prefix: str) -> tuple[int, int]:
        """Remove files without a row, and ready captchas without a file; return how many of each."""
        files, newest = self._pool.files, datetime.now(UTC) - self._lost_age
        with_prefix = captcha.c.id.between(prefix, prefix + "g")
        is_old = and_(captcha.c.created_at <= newest, captcha.c.state == State.READY)
        with database.transaction(self._pool.engine, **database.READ_ONLY) as connection:
            live_ids = {row[0]: row[1] for row in connection.execute(select(captcha.c.id, is_old).where(with_prefix))}
        names = {name.partition(".")[0] for name in files.names(prefix)}  # after the rows: files are written before
        orphans = files.remove_orphans(prefix, live_ids.keys(), self._orphan_age) if names - live_ids.keys() else 0
        lost = [file_id for file_id, is_old in live_ids.items() if is_old and file_id not in names]
        return orphans, self._remove_lost(lost)

    def _remove_lost(self, lost: Sequence[str]) -> int:
        if not lost:
            return 0
        self._pool.files.belong_to(self._pool.secret(), claim=False)  # the disk may have been unmounted
        removed = 0
        for start in range(0, len(lost), _ROWS):
            with database.transaction(self._pool.engine) as connection:
                is_lost = captcha.c.id.in_(lost[start : start + _ROWS]), captcha.c.state == State.READY
                removed += connection.execute(delete(captcha).where(*is_lost)).rowcount
        return removed


def discard(pool: Pool) -> int:
    """Delete all captchas that are ready or open now, all tokens and keys of work; return the number of captchas.

    After a failover to a standby that lagged, or a restore, captchas that visitors have seen are ready again, and spent
    tokens and work can be redeemed again.

    Raises:
        DatabaseError: the database does not answer; a second call deletes the rest.
        StorageError: a picture can't be deleted; the sweep deletes those that are left.
    """
    discarded, now, found = 0, datetime.now(UTC), True
    with database.transaction(pool.engine) as connection:
        connection.execute(delete(work_key))
    while found:
        rows = select(captcha.c.id).where(captcha.c.state.in_(_OPEN), captcha.c.created_at <= now).limit(_ROWS)
        digests = select(token.c.digest).where(token.c.solved_at <= now).limit(_ROWS)
        with database.transaction(pool.engine) as connection:
            ids = list(
                connection.scalars(
                    delete(captcha).where(captcha.c.id.in_(rows.scalar_subquery())).returning(captcha.c.id)
                )
            )
            spent = connection.execute(delete(token).where(token.c.digest.in_(digests.scalar_subquery()))).rowcount
        pool.files.remove(ids)
        discarded, found = discarded + len(ids), bool(ids or spent)
    return discarded


def _some(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """Match the next `_ROWS` taken captchas under these conditions that no other transaction has locked."""
    rows = select(captcha.c.id).where(IS_TAKEN, *conditions).limit(_ROWS).with_for_update(skip_locked=True)
    return captcha.c.id.in_(rows.scalar_subquery())


def main(
    discard_all: Annotated[
        bool, typer.Option("--discard", help="Delete all that is ready or open: after a failover or a restore.")
    ] = False,
) -> None:
    """Remove expired captchas, files without a row, and captchas without a file. The server does so in small steps.

    \b
    Examples, for cron where no server runs, and for a database that may have forgotten what it handed out:
        python -m pool.sweep
        python -m pool.sweep --discard
    """
    with one_line_errors():
        settings = load_settings()
        pool = Pool.open(settings)
        if discard_all:
            print(f"{discard(pool)} captchas and all tokens discarded; fill the pool again")
            return
        swept = Sweep(pool, timedelta(seconds=settings.keep_seconds)).all()
    if swept is None:
        print("another sweep is running")
        return
    lost = f"; {swept.lost} captchas had lost their pictures" if swept.lost else ""
    print(f"{swept.purged} expired captchas and {swept.orphans} orphaned files removed{lost}")


if __name__ == "__main__":
    run(main)

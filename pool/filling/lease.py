"""Work that only one process may do at a time, on any host: a row with a deadline that its holder keeps extending.

A thread extends it, since the work itself may wait for a transaction of half a minute; it gives up once the work has
shown no progress for long. On SQLite, whose processes share one host, the holder also locks a file beside the database,
which is free as soon as the holder is dead.

Clocks can jump. On PostgreSQL, deadlines use the database's clock; on SQLite, the host's monotonic clock, which jumps
only at boot. A deadline that is impossibly far away is reset to the usual distance from now; a live holder renews
it in time, and a dead one loses it.

Every function here raises DatabaseError when the database does not answer.
"""

import fcntl
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, Engine, Float, cast, delete, extract, func, literal, select, update
from sqlalchemy.dialects import postgresql, sqlite

from pool import database, models
from pool.errors import DatabaseError, LeaseLostError
from pool.storage.atomic import file_lock
from pool.storage.files import new_id

FILLING = "filling"
SWEEPING = "sweeping"
_SILENCE_SECONDS = {"sqlite": 60.0, "postgresql": 15.0}  # on SQLite, others may keep the holder from writing for long
_RENEW_SECONDS = 4.0
_IDLE_SECONDS = 120.0  # without a call of `renew`: then the work hangs
_NOTABLE_SILENCE = 8.0
_LONG_SECONDS = 15 * 60
_row = models.lease.c


class Lease:
    """A lease that this process holds."""

    def __init__(self, engine: Engine, name: str, holder: str) -> None:
        self._engine, self._name = engine, name
        self.is_ours = (_row.name == name, _row.holder == holder)
        self._shown_at, self._ended = monotonic(), threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"lease for {name}", daemon=True)

    def renew(self) -> None:
        """Check that the lease is still held, and extend it; call it again within two minutes, to show progress.

        Raises:
            LeaseLostError: another process may hold it by now.
        """
        self._shown_at = monotonic()
        self._extend()

    def _extend(self) -> None:
        with database.transaction(self._engine) as connection:
            later = {"deadline": _now(connection) + _silence(connection)}
            if not connection.execute(update(models.lease).where(*self.is_ours).values(later)).rowcount:
                raise LeaseLostError(
                    f"the lease for {self._name} is lost: this process was silent for too long and another took over"
                )

    def _keep(self) -> None:
        while not self._ended.wait(_RENEW_SECONDS) and monotonic() < self._shown_at + _IDLE_SECONDS:
            with suppress(DatabaseError, LeaseLostError):  # the next `renew` reports it
                self._extend()

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Extend the deadline now and then within the `with` statement."""
        self._thread.start()
        try:
            yield
        finally:
            self._ended.set()


@contextmanager
def lease(engine: Engine, name: str) -> Iterator[Lease | None]:
    """Hold the lease within the `with` statement; yield None if another process holds it."""
    holder = new_id()
    with _locked(engine, holder):
        _end_dead(engine, name)
        with database.transaction(engine) as connection:
            is_ours = _take(connection, name, holder)
        if not is_ours:
            yield None
            return
        held = Lease(engine, name, holder)
        try:
            with held.kept():
                yield held
        finally:
            # It lapses by itself if the database does not answer; an error inside the `with` matters more.
            with suppress(DatabaseError), database.transaction(engine) as connection:
                connection.execute(delete(models.lease).where(*held.is_ours))


def _lock_path(engine: Engine, holder: str) -> Path | None:
    """Return the file that a holder locks on SQLite; None where there is none."""
    is_file = engine.dialect.name == "sqlite" and engine.url.database not in (None, "", ":memory:")
    return Path(f"{engine.url.database}-lease-{holder}") if is_file else None


@contextmanager
def _locked(engine: Engine, holder: str) -> Iterator[None]:
    if not (path := _lock_path(engine, holder)):
        yield
        return
    with file_lock(path):
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _is_dead(engine: Engine, holder: str) -> bool:
    """Return whether a holder on SQLite has died; one of an earlier version has no file and counts as alive."""
    if path := _lock_path(engine, holder):
        with suppress(OSError), open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return True
    return False


def _end_dead(engine: Engine, name: str) -> None:
    """Delete the lease of a holder that has died."""
    with database.transaction(engine, **database.READ_ONLY) as connection:
        holder = connection.scalar(select(_row.holder).where(_row.name == name))
    if holder and _is_dead(engine, holder):
        with database.transaction(engine) as connection:
            connection.execute(delete(models.lease).where(_row.name == name, _row.holder == holder))
        if path := _lock_path(engine, holder):
            path.unlink(missing_ok=True)


def _take(connection: Connection, name: str, holder: str) -> bool:
    now = _now(connection)
    latest = now + _silence(connection)
    too_late = _row.name == name, _row.deadline > latest
    connection.execute(update(models.lease).where(*too_late).values(deadline=latest))
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    values = {"holder": holder, "taken_at": now, "deadline": latest}
    take = insert(models.lease).values(name=name, **values)
    take = take.on_conflict_do_update(index_elements=[_row.name], set_=values, where=_row.deadline <= now)
    return connection.execute(take.returning(_row.holder)).first() is not None


def _now(connection: Connection) -> ColumnElement[float]:
    if connection.dialect.name == "sqlite":
        return literal(monotonic(), Float)
    return cast(extract("epoch", func.clock_timestamp()), Float)


class Held(NamedTuple):
    """A lease that some process holds."""

    name: str
    holder: str
    age: float
    """seconds since it was taken"""
    silence: float
    """seconds since it was renewed"""
    remaining: float
    """seconds until it lapses if it is not renewed"""


def current(engine: Engine) -> list[Held]:
    """Return the leases that are held now, by name."""
    with database.transaction(engine, **database.READ_ONLY) as connection:
        now, silence = _now(connection), _silence(connection)
        # One second of tolerance for a deadline extended after this process read the clock.
        is_held = _row.deadline > now, _row.deadline <= now + silence + 1
        times = now - _row.taken_at, now + silence - _row.deadline, _row.deadline - now
        rows = connection.execute(select(_row.name, _row.holder, *times).where(*is_held).order_by(_row.name)).all()
    return [
        Held(name, holder, max(age, 0.0), *more) for name, holder, age, *more in rows if not _is_dead(engine, holder)
    ]


def _silence(connection: Connection) -> float:
    """Return for how long a holder may be silent."""
    return _SILENCE_SECONDS[connection.dialect.name]


def is_taken(engine: Engine, name: str) -> bool:
    """Return whether any process holds the lease."""
    return any(held.name == name for held in current(engine))


def explanations(leases: Iterable[Held]) -> list[str]:
    """Return what an empty pool waits for: a line for the fill that is under way, or seems to be."""
    return [
        f"a fill has been under way for {held.age:.0f} s"
        + (
            f" and silent for {held.silence:.0f} s: if its process has died, the next fill begins within "
            f"{held.remaining:.0f} s"
            if held.silence > _NOTABLE_SILENCE
            else ""
        )
        for held in leases
        if held.name == FILLING
    ]


def warnings(leases: Iterable[Held]) -> list[str]:
    """Return a warning for each lease that has been held for too long."""
    return [
        f"the lease for {held.name} has been held for {held.age / 60:.0f} min: "
        f"check whether the process for {held.name} hangs"
        for held in leases
        if held.age > _LONG_SECONDS
    ]

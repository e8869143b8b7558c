"""Keys that sign the work of browsers: random, a new one each day, in the database that all servers share."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, Engine, delete, insert, select

from pool import database
from pool.models import work_key
from pool.storage.files import new_id

_ROTATION = timedelta(days=1)
_KEPT = timedelta(days=3)  # what a key has signed lives for a day at most
_NEWEST_FIRST = select(work_key).order_by(work_key.c.created_at.desc(), work_key.c.id)


class WorkKey(NamedTuple):
    """A key, and the name that what it signs carries."""

    id: str
    secret: bytes


def work_keys(engine: Engine) -> list[WorkKey]:
    """Return the keys, the newest first; make one if that is older than a day, or there is none.

    Raises:
        DatabaseError: the database does not answer.
    """
    with database.transaction(engine, **database.READ_ONLY) as connection:
        keys = _read(connection)
    if keys:
        return keys
    with database.transaction(engine) as connection:
        if not _read(connection):  # two that are made at once are two good keys
            now = datetime.now(UTC)
            made = {"id": new_id(), "secret": secrets.token_hex(32), "created_at": now}
            connection.execute(insert(work_key), made)
            connection.execute(delete(work_key).where(work_key.c.created_at < now - _KEPT))
        return _read(connection)


def _read(connection: Connection) -> list[WorkKey]:
    """Return all keys, the newest first; none if it is time for another one."""
    rows = connection.execute(_NEWEST_FIRST).all()
    if not rows or rows[0].created_at < datetime.now(UTC) - _ROTATION:
        return []
    return [WorkKey(row.id, bytes.fromhex(row.secret)) for row in rows]

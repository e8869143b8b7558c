"""The pool's verbs: add, pop, shown_until, level, sweep."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Self

from sqlalchemy import Engine, func, insert, literal, select, update

from pool import database
from pool.errors import StorageError, UnknownCaptchaError
from pool.files import BUCKETS, FileStore, new_id
from pool.models import State, captcha, identity
from pool.settings import Settings

# Written into the statement and not bound, or SQLite would not see that the partial index fits.
_IS_READY = captcha.c.state == literal(State.READY.value, literal_execute=True)


class Drawn(NamedTuple):
    """A finished captcha on its way into the pool."""

    code: str | None
    """None for an upload without a code: shown under its id for the time to live, never popped."""
    png: bytes


class Issued(NamedTuple):
    """A captcha that was just handed out."""

    id: str
    code: str
    expires_at: datetime


class Pool:
    """Ready captchas in a database and a folder of files; safe to share between threads."""

    def __init__(self, engine: Engine, files: FileStore, ttl: timedelta) -> None:
        self.engine = engine
        self.files = files
        self.ttl = ttl
        self._files_checked = False

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Raises StorageError when a folder can't be made or written."""
        engine = database.connect(settings.database_url)
        return cls(engine, FileStore(settings.files_dir), timedelta(seconds=settings.ttl_seconds))

    def _check_files(self) -> None:
        """Make sure that the folder is this pool's own, or take it for this pool if it is nobody's.

        Raises:
            StorageError: it is another pool's.
            DatabaseError: the database does not answer.
        """
        if not self._files_checked:
            with database.transaction(self.engine, **database.READ_ONLY) as connection:
                pool_id = connection.execute(select(identity.c.pool_id)).scalar_one()
            self.files.belong_to(pool_id)
            self._files_checked = True

    def add(self, drawn: Iterable[Drawn]) -> list[str]:
        """Store captchas, files first and then all rows in one transaction; return their ids.

        Raises:
            StorageError: the disk is full or not writable, and what was written before that is in the pool; or the
                folder is another pool's.
            DatabaseError: the rows could not be committed; the files are strays and the next sweep takes them.
        """
        self._check_files()
        now = datetime.now(UTC)
        rows: list[dict[str, Any]] = []
        failure = None
        with self.files.lock():
            for code, png in drawn:
                file_id = new_id()
                try:
                    self.files.write(file_id, png)
                except StorageError as error:
                    failure = error
                    break
                row = {"id": file_id, "code": code, "created_at": now, "state": State.READY}
                issued = {"state": State.ISSUED, "issued_at": now, "expires_at": now + self.ttl}
                rows.append(row | (issued if code is None else {"issued_at": None, "expires_at": None}))
            ids = [row["id"] for row in rows]
            self.files.sync(ids)
            if rows:
                with database.transaction(self.engine) as connection:
                    connection.execute(insert(captcha), rows)
        if failure:
            raise failure
        return ids

    def pop(self, n: int = 1) -> list[Issued]:
        """Hand out up to `n` of the oldest ready captchas, each at most once whoever else pops at the time.

        One statement selects, marks and returns, so that nobody can read a row between another's read and write.

        Raises:
            DatabaseError: the database does not answer.
        """
        now = datetime.now(UTC)
        candidate = (
            select(captcha.c.id)
            .where(_IS_READY)
            .order_by(captcha.c.created_at)
            .limit(n)
            .with_for_update(skip_locked=True)
            .cte("candidate")
        )
        statement = (
            update(captcha)
            .where(captcha.c.id == candidate.c.id)
            .values(state=State.ISSUED, issued_at=now, expires_at=now + self.ttl)
            .returning(captcha.c.id, captcha.c.code, captcha.c.expires_at)
        )
        with database.transaction(self.engine) as connection:
            return [Issued(*row) for row in connection.execute(statement)]

    def shown_until(self, file_id: str) -> datetime | None:
        """Say until when a picture may be shown; None where that is not limited yet.

        Raises:
            UnknownCaptchaError: there is no such captcha.
            DatabaseError: the database does not answer.
        """
        with database.transaction(self.engine, **database.READ_ONLY) as connection:
            row = connection.execute(select(captcha.c.expires_at).where(captcha.c.id == file_id)).first()
        if row is None:
            raise UnknownCaptchaError("there is no captcha with this id")
        expires_at: datetime | None = row.expires_at
        return expires_at

    def level(self) -> int:
        """Count the ready captchas. Raises DatabaseError when the database does not answer."""
        with database.transaction(self.engine, **database.READ_ONLY) as connection:
            return connection.execute(select(func.count()).select_from(captcha).where(_IS_READY)).scalar_one()

    def sweep(self) -> int:
        """Remove stray files, a bucket at a time so that writers wait little; return how many went.

        Raises:
            DatabaseError: the database does not answer; nothing is removed without its word.
            StorageError: the folder is another pool's, or not writable.
        """
        self._check_files()
        removed = 0
        for bucket in BUCKETS:
            with self.files.lock(exclusive=True):
                if self.files.names(bucket):
                    with database.transaction(self.engine, **database.READ_ONLY) as connection:
                        in_bucket = captcha.c.id.between(bucket, bucket + "g")
                        live_ids = set(connection.scalars(select(captcha.c.id).where(in_bucket)))
                    removed += self.files.remove_strays(bucket, live_ids)
        return removed

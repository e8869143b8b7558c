"""The pool: what happens to captchas from drawing to deletion, each verb in one transaction."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import unquote, urlsplit

import sqlalchemy as sa

from gantcha.errors import GantchaError, StorageError
from pool import database, tokens
from pool.answers import Attempt, Verdict, check_answers
from pool.errors import AddingStoppedError, DatabaseError, UnknownCaptchaError
from pool.models import REVISION, State, Stock, captcha, identity
from pool.passes import Pass, spend_passes
from pool.settings import Settings
from pool.storage.files import FileStore, new_id
from pool.storage.objects import ObjectStore
from pool.tokens import Inquiry, Redemption, Solved

# Written into the statement, not bound: otherwise SQLite would not use the partial index.
_READY = sa.literal(State.READY.value, literal_execute=True)
_IS_READY = captcha.c.state == _READY
IS_TAKEN = captcha.c.state != _READY
_TAKEN_BY = "state", "expires_at", "pop_id"
_OF_POP = sa.select(captcha.c.id, captcha.c.code).where(
    IS_TAKEN, *(captcha.c[name] == sa.bindparam(name) for name in (*_TAKEN_BY, "pixel_ratio"))
)
_DEMAND_SECONDS = 60
_SPARE = 64  # files, of which the rows of a chunk need a few


class Drawn(NamedTuple):
    """A finished captcha on its way into the pool."""

    code: str | None
    """None for an upload without a code, which is shown for the time to live and never popped"""
    png: bytes


class Issued(NamedTuple):
    """A captcha that was just handed out."""

    id: str
    code: str
    expires_at: datetime
    pop_id: str
    """id of the pop that took it"""
    stock: Stock


class UnconfirmedPopError(DatabaseError):
    """The connection broke during a commit: it is unknown whether these captchas were popped."""

    def __init__(self, reason: str, issued: list[Issued]) -> None:
        super().__init__(reason)
        self.issued = issued


class Shown(NamedTuple):
    """What is known of a picture."""

    code: str | None
    """code of the picture; None for an upload without one"""
    expires_at: datetime | None
    """end of its time to live; None for a captcha that was not issued yet"""
    redeemable: bool
    """whether it is a challenge, whose code nobody was told"""


_SHOWN = sa.select(*(captcha.c[name] for name in ("id", *Shown._fields))).where(
    captcha.c.id.in_(sa.bindparam("ids", expanding=True))
)


def _is_in(stock: Stock) -> sa.ColumnElement[bool]:
    return sa.and_(*(captcha.c[name] == value for name, value in stock._asdict().items()))


def _take(connection: sa.Connection, n: int, stock: Stock, taken: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Set up to `n` of the oldest captchas of a stock to taken; return their ids and codes.

    A single statement selects and updates, so no two pops can get the same row.

    On SQLite a statement that returns its rows is slow beside a busy event loop (see `database.read_rows`), so they are
    read by another, which finds them by `pop_id`.
    """
    candidate = (
        sa.select(captcha.c.id)
        .where(_IS_READY, _is_in(stock))
        .order_by(captcha.c.created_at)
        .limit(n)
        .with_for_update(skip_locked=True)
        .cte("candidate")
    )
    statement = sa.update(captcha).where(captcha.c.id == candidate.c.id).values(taken)
    if connection.dialect.name != "sqlite":
        return [(row.id, row.code) for row in connection.execute(statement.returning(captcha.c.id, captcha.c.code))]
    connection.execute(statement)
    of_pop = {name: taken[name] for name in _TAKEN_BY}
    return database.read_rows(connection, _OF_POP, **of_pop, pixel_ratio=stock.pixel_ratio)


class Pool:
    """Ready captchas in a database and a folder of files; safe to share between threads.

    Its methods raise DatabaseError when the database does not answer.
    """

    def __init__(self, engine: sa.Engine, files: FileStore | ObjectStore, ttl: timedelta) -> None:
        self.engine = engine
        self.files = files
        self.ttl = ttl
        self._files_checked = False

    @classmethod
    def open(cls, settings: Settings, timeout: float = database.BATCH_TIMEOUT) -> Self:
        """Open the pool; no transaction may take longer than `timeout` seconds.

        Raises:
            StorageError: a folder can't be made or written, or the settings of a bucket are invalid.
        """
        engine = database.connect(settings.database_url, timeout)
        url = urlsplit(settings.files_url or settings.files_dir.absolute().as_uri())
        files = ObjectStore(url.geturl()) if url.scheme == "s3" else FileStore(Path(unquote(url.path)))
        return cls(engine, files, timedelta(seconds=settings.ttl_seconds))

    def check_files(self) -> None:
        """Check that the folder belongs to this pool; claim it if it belongs to none, and lacks no picture of this one.

        Raises:
            StorageError: it belongs to another pool, or the pictures of this one are elsewhere.
        """
        if not self._files_checked:
            with database.transaction(self.engine, **database.READ_ONLY) as connection:
                ready = connection.scalars(sa.select(captcha.c.id).where(_IS_READY).limit(1)).all()
            claim = False
            with suppress(FileNotFoundError):
                for file_id in ready:
                    self.files.read(file_id)
                claim = True
            self.files.belong_to(self.secret(), claim=claim)
            self._files_checked = True

    def check_picture(self, stock: Stock) -> None:
        """Open the picture of the captcha of a stock that is handed out next.

        Raises:
            StorageError: it is missing, or can't be read.
        """
        oldest = sa.select(captcha.c.id).where(_IS_READY, _is_in(stock)).order_by(captcha.c.created_at).limit(1)
        with database.transaction(self.engine, **database.READ_ONLY) as connection:
            ids = connection.scalars(oldest).all()
        for file_id in ids:
            try:
                self.files.read(file_id)
            except FileNotFoundError as error:
                raise self.files.missing(file_id) from error

    def add(self, drawn: Iterable[Drawn], stock: Stock) -> list[str]:
        """Store captchas of one stock, files first and then all rows in one transaction; return their ids.

        Raises:
            AddingStoppedError: the disk is full or not writable; what was written before that is in the pool.
            StorageError: the folder belongs to another pool.
            DatabaseError: the rows could not be committed; the files are orphans, and a later sweep removes them.
        """
        self.check_files()
        named = {new_id(): one for one in drawn}
        ids: list[str] = []
        failure = None
        try:
            for file_id in self.files.write_all((file_id, one.png) for file_id, one in named.items()):
                ids.append(file_id)  # noqa: PERF402 - kept if a later one fails
        except StorageError as error:
            failure = error
        self.files.sync()
        try:
            self._insert(named, ids, stock)
        except DatabaseError:
            if not failure:
                raise
            # The database is on the same full disk: removing a few files makes room for the rows of the others.
            ids, spare = ids[:-_SPARE], ids[-_SPARE:]
            self.files.remove(spare)
            self._insert(named, ids, stock)
        if failure:
            raise AddingStoppedError(str(failure), ids) from failure
        return ids

    def _insert(self, named: dict[str, Drawn], ids: list[str], stock: Stock) -> None:
        now = datetime.now(UTC)
        ready = {"state": State.READY, "issued_at": None, "expires_at": None}
        shown = {"state": State.ISSUED, "issued_at": now, "expires_at": now + self.ttl}
        rows = [
            {"id": file_id, "code": named[file_id].code, "created_at": now}
            | stock._asdict()
            | (shown if named[file_id].code is None else ready)
            for file_id in ids
        ]
        if rows:
            with database.transaction(self.engine) as connection:
                connection.execute(sa.insert(captcha), rows)

    def pop(self, n: int = 1, *, stock: Stock, redeemable: bool = False, hold: timedelta = timedelta()) -> list[Issued]:
        """Hand out up to `n` of the oldest ready captchas of a stock, each at most once, however many pops run at once.

        Only `redeemable` captchas can be answered; where the stock has too few, the rest come from its other `sources`,
        in the same transaction. The time to live starts at the end of `hold`, for callers that keep captchas for a
        while before they show them.

        Raises:
            UnconfirmedPopError: some may have been popped; `give_back` is safe either way.
        """
        now, pop_id = datetime.now(UTC), new_id()
        expires_at = now + hold + self.ttl
        taken = {"state": State.ISSUED, "issued_at": now, "expires_at": expires_at}
        taken |= {"redeemable": redeemable, "pop_id": pop_id}
        issued: list[Issued] = []
        try:
            with database.transaction(self.engine) as connection:
                found: list[Issued] = []
                for source in stock.sources if redeemable else (stock,):
                    if len(found) < n:
                        rows = _take(connection, n - len(found), source, taken)
                        found += [Issued(file_id, code, expires_at, pop_id, source) for file_id, code in rows]
                issued = found
        except DatabaseError as error:
            if not issued:
                raise
            # The connection was lost between the commit and its confirmation: check whether it took effect.
            ids = [captcha.c.id.in_([one.id for one in issued]), captcha.c.pop_id == pop_id]
            ours: set[str] = set()
            with suppress(DatabaseError), database.transaction(self.engine, **database.READ_ONLY) as connection:
                ours = set(connection.scalars(sa.select(captcha.c.id).where(*ids)))
            if not ours:
                raise UnconfirmedPopError(str(error), issued) from error
            return [one for one in issued if one.id in ours]
        return issued

    def give_back(self, unseen: list[Issued]) -> None:
        """Make popped captchas that nobody has seen ready again, even if they have expired.

        After an error it is unknown whether this took effect. It is safe to call it again: a captcha that another pop
        has taken since then does not change.
        """
        untaken = {"issued_at": None, "expires_at": None, "redeemable": False, "pop_id": None}
        given_back = (
            captcha.c.id.in_([one.id for one in unseen]),  # SQLite would not find the pairs by an index
            sa.tuple_(captcha.c.id, captcha.c.pop_id).in_([(one.id, one.pop_id) for one in unseen]),
            captcha.c.state.in_([State.ISSUED, State.EXPIRED]),
        )
        with database.transaction(self.engine) as connection:
            connection.execute(sa.update(captcha).where(*given_back).values(state=State.READY, **untaken))

    def settle(
        self, asked: Sequence[Attempt | Pass | Redemption | Inquiry], timeout: float
    ) -> list[Verdict | Solved | bool | GantchaError]:
        """Check answers, and redeem work and tokens, in one transaction of at most `timeout` seconds.

        Return all results in order.

        The result for a token that is not redeemed is an UnknownTokenError or a SpentTokenError. Whether tokens are
        open is told as it is afterwards.
        """
        ways: dict[type, Callable[..., Sequence[Any]]] = {
            Attempt: check_answers,
            Pass: spend_passes,
            Redemption: tokens.redeem_all,
            Inquiry: tokens.are_open,
        }
        with database.transaction(self.engine, timeout=timeout) as connection:
            results: dict[type, Iterator[Any]] = {
                cls: iter(answer_all(connection, [one for one in asked if isinstance(one, cls)]))
                for cls, answer_all in ways.items()
            }
        return [next(results[type(one)]) for one in asked]

    def note_spoken(self, file_id: str, language: str) -> bool:
        """Note that the code of a captcha is said: its token was earned by the sound.

        Return False if it was said in another language: several voices and noises over one code tell more than one.
        """
        is_first = sa.or_(captcha.c.spoken_in.is_(None), captcha.c.spoken_in == language)
        noted = sa.update(captcha).where(captcha.c.id == file_id, is_first)
        with database.transaction(self.engine) as connection:
            return connection.execute(noted.values(spoken=True, spoken_in=language)).rowcount > 0

    def look_up(self, file_id: str) -> Shown:
        """Return the code of a picture and until when it may be shown.

        Raises:
            UnknownCaptchaError: there is no such captcha.
        """
        (shown,) = self.look_up_all([file_id], self.engine.get_execution_options()["timeout"])
        if isinstance(shown, Shown):
            return shown
        raise shown

    def look_up_all(self, file_ids: Sequence[str], timeout: float) -> list[Shown | GantchaError]:
        """Look up pictures in one transaction of at most `timeout` seconds; return what `look_up` returns or raises."""
        with database.transaction(self.engine, timeout=timeout, **database.READ_ONLY) as connection:
            found = {row[0]: Shown(*row[1:]) for row in database.read_rows(connection, _SHOWN, ids=file_ids)}
        unknown = UnknownCaptchaError("there is no captcha with this id")
        return [found.get(file_id, unknown) for file_id in file_ids]

    def secret(self) -> str:
        """Return the id of this pool, which never leaves its hosts."""
        with database.transaction(self.engine, **database.READ_ONLY) as connection:
            pool_id: str = connection.execute(sa.select(identity.c.pool_id)).scalar_one()
        return pool_id

    def level(self, stock: Stock, at_most: int | None = None) -> int:
        """Count the ready captchas of a stock, up to `at_most`."""
        ready = sa.select(captcha.c.created_at).where(_IS_READY, _is_in(stock)).limit(at_most).subquery()
        with database.transaction(self.engine, **database.READ_ONLY) as connection:
            return connection.execute(sa.select(sa.func.count()).select_from(ready)).scalar_one()

    def check(self) -> None:
        """Check with a write that captchas can be handed out.

        Raises:
            DatabaseError: the database does not answer, can't be written, or has the schema of an older version.
        """
        revision = sa.text("SELECT version_num FROM alembic_version")
        with database.transaction(self.engine) as connection:
            found = "".join(connection.scalars(revision)) or "none"
            if not found.isdigit() or found < REVISION:  # a later one only adds to this one
                raise DatabaseError(
                    f"the database is at revision {found} instead of {REVISION}: run `python -m gantcha migrate`"
                )
            connection.execute(sa.update(identity).values(checked_at=datetime.now(UTC)))

    def levels(self) -> dict[Stock, int]:
        """Count the ready captchas of each stock that has any."""
        columns = [captcha.c[name] for name in Stock._fields]
        counts = sa.select(*columns, sa.func.count()).where(_IS_READY).group_by(*columns).order_by(*columns)
        with database.transaction(self.engine, **database.READ_ONLY) as connection:
            return {Stock(*stock): count for *stock, count in connection.execute(counts)}

    def demand(self, stock: Stock) -> float:
        """Return how many captchas of a stock per second all processes popped in the last minute."""
        since = datetime.now(UTC) - timedelta(seconds=_DEMAND_SECONDS)
        states = [state for state in State if state is not State.READY]
        # The index is on `expires_at`, which is at least the time to live after the pop.
        recent = IS_TAKEN, captcha.c.state.in_(states), captcha.c.expires_at > since + self.ttl
        popped = sa.select(sa.func.count()).where(
            _is_in(stock), *recent, captcha.c.issued_at > since, captcha.c.code.is_not(None)
        )
        with database.transaction(self.engine, **database.READ_ONLY) as connection:
            return connection.execute(popped).scalar_one() / _DEMAND_SECONDS

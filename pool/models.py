"""The schema as SQLAlchemy sees it; `migrations/` is what makes it in a database."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Literal, NamedTuple

import sqlalchemy as sa

from gantcha.drawing.look import Difficulty, Kind


class State(StrEnum):
    """Where a captcha is in its life."""

    READY = "ready"  #: drawn, waiting to be popped
    ISSUED = "issued"  #: handed out, or held in the buffer of a server
    SOLVED = "solved"  #: answered rightly
    FAILED = "failed"  #: answered wrongly
    EXPIRED = "expired"  #: not answered in time


class Stock(NamedTuple):
    """The captchas of one kind, difficulty and density: a fill adds to one stock."""

    kind: Kind
    difficulty: Difficulty
    pixel_ratio: int = 1
    """2: twice as many pixels each way, for dense screens"""

    def __str__(self) -> str:
        """Return the name for messages."""
        density = f", {self.pixel_ratio}x" if self.pixel_ratio > 1 else ""
        return f"{self.kind} ({self.difficulty}{density})"

    @property
    def sources(self) -> tuple["Stock", ...]:
        """The stocks of challenges, the next where those before have too few: the widget shows all equally large."""
        return tuple(self._replace(pixel_ratio=ratio) for ratio in range(self.pixel_ratio, 0, -1))


Mode = Literal["picture", "sound", "quiet", "alternative"]
"""How a token was earned: by what was read, by what was heard, or by work alone, as usual or at the visitor's wish."""


class UtcDateTime(sa.TypeDecorator[datetime]):
    """An aware UTC datetime on both databases; SQLite alone would drop the zone."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: sa.Dialect) -> datetime | None:
        """Convert to UTC."""
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _dialect: sa.Dialect) -> datetime | None:
        """Convert to UTC."""
        return value and (value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC))


REVISION = "0011"
"""The newest migration, which this version needs."""
metadata = sa.MetaData()

# Ids compare by bytes everywhere: some locales would sort `aa` after `z`.
FileId = sa.String(32).with_variant(sa.String(32, collation="C"), "postgresql")

identity = sa.Table(
    "identity",
    metadata,
    sa.Column("pool_id", FileId, primary_key=True),  # one row: what tells this pool from others
    sa.Column("checked_at", UtcDateTime),  # written to check that the database can be written
)

captcha = sa.Table(
    "captcha",
    metadata,
    sa.Column("id", FileId, primary_key=True),  # also the name of its PNG
    sa.Column("code", sa.String(16)),  # NULL: an upload without a code, which can be shown but never popped
    sa.Column("kind", sa.String(16), nullable=False, server_default="plain"),
    sa.Column("difficulty", sa.String(8), nullable=False, server_default="standard"),
    sa.Column("pixel_ratio", sa.SmallInteger, nullable=False, server_default="1"),
    sa.Column("state", sa.String(8), nullable=False),
    # Popped for a challenge: its code has not left the server.
    sa.Column("redeemable", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("pop_id", FileId),  # id of the pop that took it
    sa.Column("spoken", sa.Boolean, nullable=False, server_default=sa.false()),  # its sound was fetched
    sa.Column("spoken_in", sa.String(16)),  # the language of the sound: each is another look at the same code
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("issued_at", UtcDateTime),
    sa.Column("expires_at", UtcDateTime),
)

_READY = sa.text(f"state = '{State.READY}'")
_TAKEN = sa.text(f"state <> '{State.READY}'")
# Only ready rows are indexed, so the cost of a pop does not depend on how many were issued; the other index lets the
# sweep find what is due without reading ready rows.
_OLDEST_OF_STOCK = captcha.c.kind, captcha.c.difficulty, captcha.c.pixel_ratio, captcha.c.created_at
sa.Index("captcha_ready", *_OLDEST_OF_STOCK, postgresql_where=_READY, sqlite_where=_READY)
sa.Index("captcha_taken", captcha.c.state, captcha.c.expires_at, postgresql_where=_TAKEN, sqlite_where=_TAKEN)

token = sa.Table(
    "token",
    metadata,
    sa.Column("digest", sa.String(64), primary_key=True),  # sha256: reading the database does not help to redeem
    sa.Column("hostname", sa.String(253), nullable=False),
    sa.Column("solved_at", UtcDateTime, nullable=False),
    sa.Column("expires_at", UtcDateTime, nullable=False, index=True),
    sa.Column("redeemed_at", UtcDateTime),
    sa.Column("idempotency_key", sa.String(36)),  # key of the call that redeemed it
    sa.Column("site", sa.String(64)),  # name of the site whose secret redeems it; NULL: that of no site
    sa.Column("action", sa.String(32)),  # what its page sent, for the back end
    sa.Column("cdata", sa.String(255)),
    sa.Column("mode", sa.String(16)),  # how it was earned; NULL: by a server that did not note it
)

# What signs the work of challenges. Not the pool's id, which lies beside the files too.
work_key = sa.Table(
    "work_key",
    metadata,
    sa.Column("id", FileId, primary_key=True),
    sa.Column("secret", sa.String(64), nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
)

# Work that has earned a token without a picture: it becomes a row only then, and works once.
work_pass = sa.Table(
    "work_pass",
    metadata,
    sa.Column("id", FileId, primary_key=True),
    sa.Column("spent_by", FileId, nullable=False),  # id of the transaction that was the first
    sa.Column("expires_at", sa.BigInteger, nullable=False, index=True),  # seconds since 1970: the end of the work
)

fill = sa.Table(
    "fill",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("started_at", UtcDateTime, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("added", sa.Integer, nullable=False),
    sa.Column("checkpoints", sa.String(64)),  # digest of the generators
    sa.Column("error", sa.Text),
)

# Which process holds each lease, and until when unless it renews: seconds of the clock in `pool.filling.lease`.
lease = sa.Table(
    "lease",
    metadata,
    sa.Column("name", sa.String(16), primary_key=True),
    sa.Column("holder", FileId, nullable=False),
    sa.Column("taken_at", sa.Float, nullable=False),
    sa.Column("deadline", sa.Float, nullable=False),
)

# How often something was counted for a subject in one window of time; times are seconds since 1970. See
# `pool.counters`.
counter = sa.Table(
    "counter",
    metadata,
    sa.Column("subject", FileId, primary_key=True),  # keyed hash of an address or host name
    sa.Column("name", sa.String(32), primary_key=True),  # what is counted, and the length of its windows
    sa.Column("start", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False, index=True),  # no process reads it from then on
)

# What all servers counted in each hour; times are seconds since 1970. See `pool.hourly`.
hourly = sa.Table(
    "hourly",
    metadata,
    sa.Column("start", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("name", sa.String(96), primary_key=True),  # of the metric, with the values of its labels
    sa.Column("count", sa.BigInteger, nullable=False),
)

"""The schema as SQLAlchemy sees it; `migrations/` is what makes it in a database."""

from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    false,
    text,
)


class State(StrEnum):
    """Where a captcha is in its life."""

    READY = "ready"  #: drawn, waiting to be popped
    ISSUED = "issued"  #: handed out, or held in the buffer of a server
    SOLVED = "solved"  #: answered rightly
    FAILED = "failed"  #: answered wrongly
    EXPIRED = "expired"  #: not answered in time


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime on both databases; SQLite alone would drop the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """Store UTC."""
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """Read UTC."""
        return value and (value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC))


REVISION = "0004"
"""The newest migration, which this version needs."""
metadata = MetaData()

# Ids compare by bytes everywhere: some locales would sort `aa` after `z`.
FileId = String(32).with_variant(String(32, collation="C"), "postgresql")

identity = Table(
    "identity",
    metadata,
    Column("pool_id", FileId, primary_key=True),  # one row: what tells this pool from others
    Column("checked_at", UtcDateTime),  # written to see whether the database can be
)

captcha = Table(
    "captcha",
    metadata,
    Column("id", FileId, primary_key=True),  # also the name of its PNG
    Column("code", String(16)),  # NULL: an upload without a code, which can be shown but never popped
    Column("state", String(8), nullable=False),
    Column(
        "redeemable", Boolean, nullable=False, server_default=false()
    ),  # popped for a challenge: its code has not left the server
    Column("pop_id", FileId),  # the pop that took it
    Column("created_at", UtcDateTime, nullable=False),
    Column("issued_at", UtcDateTime),
    Column("expires_at", UtcDateTime),
)

_READY = text(f"state = '{State.READY}'")
_TAKEN = text(f"state <> '{State.READY}'")
# Only ready rows are indexed, so the cost of a pop does not depend on how many were issued; the other index lets the
# sweep find what is due without reading ready rows.
Index("captcha_ready", captcha.c.created_at, postgresql_where=_READY, sqlite_where=_READY)
Index("captcha_taken", captcha.c.state, captcha.c.expires_at, postgresql_where=_TAKEN, sqlite_where=_TAKEN)

token = Table(
    "token",
    metadata,
    Column("digest", String(64), primary_key=True),  # sha256: reading the database does not help to redeem
    Column("hostname", String(253), nullable=False),
    Column("solved_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False, index=True),
    Column("redeemed_at", UtcDateTime),
    Column("idempotency_key", String(36)),  # of the call that redeemed it
)

fill = Table(
    "fill",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("started_at", UtcDateTime, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("added", Integer, nullable=False),
    Column("checkpoints", String(64)),  # sha256 of the manifest
    Column("error", Text),
)

# Which process holds each lease, and until when unless it renews: seconds of the clock in `pool.lease`.
lease = Table(
    "lease",
    metadata,
    Column("name", String(16), primary_key=True),
    Column("holder", FileId, nullable=False),
    Column("taken_at", Float, nullable=False),
    Column("deadline", Float, nullable=False),
)

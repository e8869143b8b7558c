"""Tokens: a back end redeems one, once, as proof that a captcha was solved."""

import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, Engine, func, insert, or_, select, update

from pool import database
from pool.errors import SpentTokenError, UnknownTokenError
from pool.models import token

LIFETIME = timedelta(seconds=300)


class Solved(NamedTuple):
    """When and where the captcha of a token was solved."""

    at: datetime
    hostname: str
    """of the page, as the browser sent it; empty if it sent none"""


def issue(connection: Connection, hostname: str) -> str:
    """Make a token in the transaction that sets the captcha to solved; the database keeps only a digest."""
    text, now = secrets.token_urlsafe(32), datetime.now(UTC)
    row = {"digest": _digest(text), "hostname": hostname, "solved_at": now, "expires_at": now + LIFETIME}
    connection.execute(insert(token).values(row))
    return text


def redeem(engine: Engine, text: str, idempotency_key: str | None = None) -> Solved:
    """Redeem a token in a single statement; a repeated call with the same idempotency key gets the same answer.

    Raises:
        UnknownTokenError: it was never issued, or was deleted since then.
        SpentTokenError: it was redeemed before, or is older than `LIFETIME`.
        DatabaseError: the database does not answer.
    """
    now = datetime.now(UTC)
    is_this = token.c.digest == _digest(text)
    unspent: ColumnElement[bool] = token.c.redeemed_at.is_(None)
    if idempotency_key:
        unspent = or_(unspent, token.c.idempotency_key == idempotency_key)
    spend = (
        update(token)
        .where(is_this, token.c.expires_at > now, unspent)
        .values(redeemed_at=func.coalesce(token.c.redeemed_at, now), idempotency_key=idempotency_key)
        .returning(token.c.solved_at, token.c.hostname)
    )
    with database.transaction(engine) as connection:
        row = connection.execute(spend).first()
        if row is None and connection.execute(select(token.c.digest).where(is_this)).first() is None:
            raise UnknownTokenError("this token was never issued")
    if row is None:
        raise SpentTokenError("this token was redeemed before or has expired")
    return Solved(*row)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

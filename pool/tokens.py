"""Tokens: a back end redeems one, once, as proof that a captcha was solved."""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Self
from uuid import UUID

from sqlalchemy import Connection, bindparam, case, select, update

from gantcha.errors import GantchaError
from pool import database
from pool.errors import SpentTokenError, UnknownTokenError
from pool.models import Mode, token

LIFETIME = timedelta(seconds=300)
_IS_ASKED = token.c.digest.in_(bindparam("digests", expanding=True))
_READ = ("digest", "redeemed_at", "idempotency_key", "site", "solved_at", "hostname", "action", "cdata", "mode")
_COLUMNS = [token.c[name] for name in _READ]
_FOUND = (
    select(*_COLUMNS, (token.c.expires_at <= bindparam("now")).label("is_old"))
    .where(_IS_ASKED)
    .order_by(token.c.digest)
    .with_for_update()
)
_OPEN = select(token.c.digest).where(_IS_ASKED, token.c.redeemed_at.is_(None), token.c.expires_at > bindparam("now"))
_SPEND = update(token).where(_IS_ASKED).values(redeemed_at=bindparam("now"))


class Purpose(NamedTuple):
    """What a token is for; the texts must be valid and as short as their columns."""

    hostname: str = ""
    """host of the page, as the browser sent it; empty if it sent none"""
    site: str | None = None
    """name of the site whose secret redeems it; None: a secret of no site"""
    action: str | None = None
    cdata: str | None = None


class Solved(NamedTuple):
    """When and where the captcha of a token was solved, and what its page gave for the back end."""

    at: datetime
    hostname: str
    """host of the page, as the browser sent it; empty if it sent none"""
    action: str | None = None
    cdata: str | None = None
    mode: Mode | None = None
    """how the token was earned; None: by a server that did not note it"""


class Redemption(NamedTuple):
    """A token that is about to be redeemed."""

    digest: str
    idempotency_key: str | None
    site: str | None

    @classmethod
    def of(cls, text: str, idempotency_key: str | None = None, site: str | None = None) -> Self:
        """Prepare a redemption with the secret of a site. Raises ValueError if the key is not a UUID."""
        return cls(_digest(text), str(UUID(idempotency_key)) if idempotency_key else None, site)


class Inquiry(NamedTuple):
    """The question whether a token is open: a form that is sent again asks before it shows another captcha."""

    digest: str

    @classmethod
    def of(cls, text: str) -> Self:
        """Prepare the question."""
        return cls(_digest(text))


def issue(connection: Connection, earned: Sequence[tuple[Purpose, Mode]]) -> list[str]:
    """Make a token for each that the transaction finds earned; the database keeps only digests."""
    texts, now = [secrets.token_urlsafe(32) for _ in earned], datetime.now(UTC)
    rows = [[_digest(text), *purpose, mode] for text, (purpose, mode) in zip(texts, earned, strict=True)]
    if rows:
        columns = token.c.digest, *(token.c[name] for name in (*Purpose._fields, "mode"))
        database.insert_rows(connection, columns, rows, solved_at=now, expires_at=now + LIFETIME)
    return texts


def redeem_all(connection: Connection, redemptions: Sequence[Redemption]) -> list[Solved | GantchaError]:
    """Redeem tokens in order, each once; a repeated redemption with the same idempotency key gets the same result.

    The result for a token that was never issued, is of another site, or was deleted since then is an UnknownTokenError;
    for one that was redeemed before or is older than `LIFETIME`, a SpentTokenError. The rows are locked in the order of
    their digests, so that two processes never wait for each other.
    """
    if not redemptions:
        return []
    now = datetime.now(UTC)
    found = {
        row[0]: row
        for row in database.read_rows(connection, _FOUND, digests=[one.digest for one in redemptions], now=now)
    }
    keys = {digest: row[2] for digest, row in found.items() if row[1]}  # idempotency keys of redeemed tokens
    newly: dict[str, str | None] = {}
    results: list[Solved | GantchaError] = []
    for digest, key, site in redemptions:
        if digest not in found or found[digest][3] != site:  # another site's secret learns nothing, and spends nothing
            results.append(UnknownTokenError("this token was never issued"))
            continue
        *solved, is_old = found[digest][4:]
        if not is_old and digest not in keys:
            keys[digest] = newly[digest] = key
        elif is_old or key is None or keys[digest] != key:
            results.append(SpentTokenError("this token was redeemed before or has expired"))
            continue
        results.append(Solved(*solved))
    if newly:
        own_keys = {digest: key for digest, key in newly.items() if key}
        spend = _SPEND.values(idempotency_key=case(own_keys, value=token.c.digest)) if own_keys else _SPEND
        connection.execute(spend, {"digests": list(newly), "now": now})
    return results


def are_open(connection: Connection, inquiries: Sequence[Inquiry]) -> list[bool]:
    """Return for each token whether it can still be redeemed; nothing changes by that."""
    if not inquiries:
        return []
    digests = [one.digest for one in inquiries]
    found = {row[0] for row in database.read_rows(connection, _OPEN, digests=digests, now=datetime.now(UTC))}
    return [digest in found for digest in digests]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

"""Tokens: a back end redeems one, once, as proof that a captcha was solved."""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Self
from uuid import UUID

from sqlalchemy import Connection, Engine, bindparam, case, select, update

from pool import database
from pool.errors import GantchaError, SpentTokenError, UnknownTokenError
from pool.models import token

LIFETIME = timedelta(seconds=300)
_IS_ASKED = token.c.digest.in_(bindparam("digests", expanding=True))
_COLUMNS = [token.c[name] for name in ("digest", "redeemed_at", "idempotency_key", "solved_at", "hostname")]
_FOUND = (
    select(*_COLUMNS, (token.c.expires_at <= bindparam("now")).label("is_old"))
    .where(_IS_ASKED)
    .order_by(token.c.digest)
    .with_for_update()
)
_SPEND = update(token).where(_IS_ASKED).values(redeemed_at=bindparam("now"))


class Solved(NamedTuple):
    """When and where the captcha of a token was solved."""

    at: datetime
    hostname: str
    """of the page, as the browser sent it; empty if it sent none"""


class Redemption(NamedTuple):
    """A token that is about to be redeemed."""

    digest: str
    idempotency_key: str | None

    @classmethod
    def of(cls, text: str, idempotency_key: str | None = None) -> Self:
        """Prepare a redemption. Raises ValueError if the key is not a UUID."""
        return cls(_digest(text), str(UUID(idempotency_key)) if idempotency_key else None)


def issue(connection: Connection, hostnames: Sequence[str]) -> list[str]:
    """Make a token for each captcha that the transaction sets to solved; the database keeps only digests."""
    texts, now = [secrets.token_urlsafe(32) for _ in hostnames], datetime.now(UTC)
    rows = [[_digest(text), hostname] for text, hostname in zip(texts, hostnames, strict=True)]
    if rows:
        columns = token.c.digest, token.c.hostname
        database.insert_rows(connection, columns, rows, solved_at=now, expires_at=now + LIFETIME)
    return texts


def redeem(engine: Engine, text: str, idempotency_key: str | None = None) -> Solved:
    """Redeem a token; a repeated call with the same idempotency key gets the same answer.

    Raises:
        UnknownTokenError: it was never issued, or was deleted since then.
        SpentTokenError: it was redeemed before, or is older than `LIFETIME`.
        DatabaseError: the database does not answer.
    """
    with database.transaction(engine) as connection:
        (result,) = redeem_all(connection, [Redemption.of(text, idempotency_key)])
    if isinstance(result, Solved):
        return result
    raise result


def redeem_all(connection: Connection, redemptions: Sequence[Redemption]) -> list[Solved | GantchaError]:
    """Redeem tokens in order; return for each what `redeem` returns or raises.

    The rows are locked in the order of their digests, so that two processes never wait for each other.
    """
    if not redemptions:
        return []
    now = datetime.now(UTC)
    found = {
        row[0]: row
        for row in database.read_rows(connection, _FOUND, digests=[one.digest for one in redemptions], now=now)
    }
    keys = {digest: row[2] for digest, row in found.items() if row[1]}  # of those that are redeemed
    newly: dict[str, str | None] = {}
    results: list[Solved | GantchaError] = []
    for digest, key in redemptions:
        if digest not in found:
            results.append(UnknownTokenError("this token was never issued"))
            continue
        *_, solved_at, hostname, is_old = found[digest]
        if not is_old and digest not in keys:
            keys[digest] = newly[digest] = key
        elif is_old or key is None or keys[digest] != key:
            results.append(SpentTokenError("this token was redeemed before or has expired"))
            continue
        results.append(Solved(solved_at, hostname))
    if newly:
        own_keys = {digest: key for digest, key in newly.items() if key}
        spend = _SPEND.values(idempotency_key=case(own_keys, value=token.c.digest)) if own_keys else _SPEND
        connection.execute(spend, {"digests": list(newly), "now": now})
    return results


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

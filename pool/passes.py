"""Passes: work that earns a token without a picture, each once, and all that arrive together in one transaction."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, select

from pool import database, tokens
from pool.answers import Verdict
from pool.models import Mode, State, work_key, work_pass
from pool.storage.files import new_id
from pool.tokens import Purpose

_SPENT = select(work_pass.c.id, work_pass.c.spent_by).where(work_pass.c.id.in_(bindparam("ids", expanding=True)))
_KEYS = select(work_key.c.id)


class Pass(NamedTuple):
    """Work that was checked, and is about to be redeemed."""

    id: str
    key_id: str
    """id of the key that has signed it"""
    expires_at: int
    """seconds since 1970; servers accept the work until then"""
    purpose: Purpose
    mode: Mode


def spend_passes(connection: Connection, passes: Sequence[Pass]) -> list[Verdict]:
    """Redeem passes: of several with one id the first counts, in this transaction or in any before.

    One whose key was deleted since then counts as unknown. The rows are written in the order of their ids, so that two
    processes never wait for each other.
    """
    first: dict[str, Pass] = {}
    for one in passes:
        first.setdefault(one.id, one)
    if not first:
        return []
    keys = set(connection.scalars(_KEYS))
    valid = [one for _, one in sorted(first.items()) if one.key_id in keys]
    own_id = new_id()
    columns = work_pass.c.id, work_pass.c.expires_at
    database.insert_rows(
        connection, columns, [[one.id, one.expires_at] for one in valid], new_only=True, spent_by=own_id
    )
    ids = [one.id for one in valid]
    spent = {row[0] for row in database.read_rows(connection, _SPENT, ids=ids) if row[1] == own_id}
    earned = [one for one in valid if one.id in spent]
    texts = tokens.issue(connection, [(one.purpose, one.mode) for one in earned])
    verdicts = {one.id: Verdict(State.SOLVED, text) for one, text in zip(earned, texts, strict=True)}
    # Taken out by the first pass, so that a second one finds nothing.
    return [verdicts.pop(one.id, Verdict(None)) for one in passes]

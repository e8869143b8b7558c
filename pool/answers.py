"""Answers to challenges: each challenge allows one, and all that arrive together are checked in one transaction."""

from collections.abc import Sequence
from datetime import UTC, datetime
from secrets import compare_digest
from typing import NamedTuple, Self

from sqlalchemy import Connection, bindparam, select, update

from gantcha.characters import normalize_answer
from gantcha.drawing.look import DIFFICULTIES, Difficulty
from pool import database, tokens
from pool.models import Mode, State, captcha
from pool.storage.files import ID
from pool.tokens import Purpose

_LONGEST_HOSTNAME = 253
_NO_PURPOSE = Purpose()
_IS_ASKED = captcha.c.id.in_(bindparam("ids", expanding=True))
_OPEN = (
    select(
        *(captcha.c[name] for name in ("id", "code", "difficulty", "spoken")),
        (captcha.c.expires_at <= bindparam("now")).label("is_lapsed"),
    )
    .where(_IS_ASKED, captcha.c.state == State.ISSUED, captcha.c.redeemable)
    .order_by(captcha.c.id)
    .with_for_update()
)
_SETTLE = update(captcha).where(_IS_ASKED).values(state=bindparam("to"))


class Attempt(NamedTuple):
    """An answer that is about to be checked."""

    file_id: str
    answer: bytes
    """normalized answer"""
    purpose: Purpose
    least: Difficulty

    @classmethod
    def of(cls, file_id: str, answer: str, purpose: Purpose = _NO_PURPOSE, least: Difficulty = "easy") -> Self:
        """Prepare an answer; an easier captcha than `least` counts as expired, whatever the answer.

        Raises:
            ValueError: one of them is no valid text; in a transaction it would be an error for all others.
        """
        hostname = purpose.hostname
        if not ID.fullmatch(file_id) or not hostname.isprintable() or len(hostname) > _LONGEST_HOSTNAME:
            raise ValueError("not a file id, or not a host name")
        return cls(file_id, normalize_answer(answer).encode(), purpose, least)


class Verdict(NamedTuple):
    """The result of an answer."""

    state: State | None
    """SOLVED, FAILED or EXPIRED; None for an id that is unknown, answered before, or popped with its code"""
    token: str | None = None
    """proof of a right answer; None for the others"""


def check_answers(connection: Connection, attempts: Sequence[Attempt]) -> list[Verdict]:
    """Check answers and use up their captchas; of several answers to one captcha the first counts.

    The rows are locked in the order of their ids, so that two processes never wait for each other.
    """
    first: dict[str, Attempt] = {}
    for attempt in attempts:
        first.setdefault(attempt.file_id, attempt)
    if not first:
        return []
    ids: dict[State, list[str]] = {}
    verdicts: dict[str, Verdict] = {}
    rows = database.read_rows(connection, _OPEN, ids=list(first), now=datetime.now(UTC))
    modes: dict[str, Mode] = {}
    for file_id, code, difficulty, spoken, is_lapsed in rows:
        attempt = first[file_id]
        is_right = compare_digest(attempt.answer, normalize_answer(code).encode())
        is_too_easy = DIFFICULTIES.index(difficulty) < DIFFICULTIES.index(attempt.least)
        state = State.EXPIRED if is_lapsed or is_too_easy else State.SOLVED if is_right else State.FAILED
        ids.setdefault(state, []).append(file_id)
        modes[file_id] = "sound" if spoken else "picture"
        verdicts[file_id] = Verdict(state)
    for state, of_state in ids.items():
        connection.execute(_SETTLE, {"ids": of_state, "to": state})
    solved = ids.get(State.SOLVED, [])
    issued = tokens.issue(connection, [(first[file_id].purpose, modes[file_id]) for file_id in solved])
    verdicts |= {file_id: Verdict(State.SOLVED, token) for file_id, token in zip(solved, issued, strict=True)}
    # Taken out by the first attempt, so that a second one finds nothing.
    return [verdicts.pop(attempt.file_id, Verdict(None)) for attempt in attempts]

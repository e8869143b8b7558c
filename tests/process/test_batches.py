"""Answers and redemptions that share a transaction: each gets its own result, and none waits for long."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from uuid import uuid4

import pytest
from sqlalchemy import make_url, text, update

from gantcha.errors import GantchaError
from pool import database
from pool.answers import Attempt, Verdict
from pool.errors import DatabaseError, SpentTokenError, UnknownTokenError
from pool.models import State, captcha
from pool.pool import Pool
from pool.storage.files import new_id
from pool.tokens import Purpose, Redemption, Solved
from server.group_commit import GroupCommit
from tests.conftest import PLAIN, drawn
from tests.process.test_pool import event_listener
from tests.support.load import ids_in_state

Asked = Attempt | Redemption
Settled = Verdict | Solved


def _tokens(pool: Pool, count: int) -> list[str]:
    pool.add(drawn(count), PLAIN)
    attempts = [Attempt.of(one.id, one.code) for one in pool.pop(count, redeemable=True, stock=PLAIN)]
    verdicts = [verdict for verdict in pool.settle(attempts, 3) if isinstance(verdict, Verdict)]
    return [verdict.token for verdict in verdicts if verdict.token]


def test_each_of_a_batch_gets_its_own_verdict(pool: Pool) -> None:
    pool.add(drawn(5), PLAIN)
    right, wrong, late, twice = pool.pop(4, redeemable=True, stock=PLAIN)
    (shown,) = pool.pop(1, stock=PLAIN)
    with database.transaction(pool.engine) as connection:
        connection.execute(update(captcha).where(captcha.c.id == late.id).values(expires_at=captcha.c.issued_at))
    attempts = [
        Attempt.of(twice.id, "wrong"),
        Attempt.of(right.id, f" {right.code} ", Purpose("www.example.com")),
        Attempt.of(twice.id, twice.code),
        Attempt.of(wrong.id, right.code),
        Attempt.of(late.id, late.code),
        Attempt.of(shown.id, shown.code),
        Attempt.of(new_id(), "000000"),
    ]
    verdicts = [verdict for verdict in pool.settle(attempts, 3) if isinstance(verdict, Verdict)]
    states = [State.FAILED, State.SOLVED, None, State.FAILED, State.EXPIRED, None, None]
    assert [verdict.state for verdict in verdicts] == states
    assert [verdict.token is not None for verdict in verdicts] == [state is State.SOLVED for state in states]
    assert ids_in_state(pool.engine, State.FAILED) == {wrong.id, twice.id}
    assert ids_in_state(pool.engine, State.SOLVED) == {right.id}
    assert ids_in_state(pool.engine, State.EXPIRED) == {late.id}
    (solved,) = pool.settle([Redemption.of(verdicts[1].token or "")], 3)
    assert isinstance(solved, Solved)
    assert solved.hostname == "www.example.com"


def test_each_token_of_a_batch_is_redeemed_once(pool: Pool) -> None:
    plain, keyed = _tokens(pool, 2)
    key, other = str(uuid4()), str(uuid4())
    asked = [
        Redemption.of(plain),
        Redemption.of(keyed, key),
        Redemption.of(plain),
        Redemption.of("made up"),
        Redemption.of(keyed, other),
        Redemption.of(keyed, key.upper()),
        Redemption.of(keyed),
    ]
    first = [Solved, Solved, SpentTokenError, UnknownTokenError, SpentTokenError, Solved, SpentTokenError]
    again = [SpentTokenError, Solved, SpentTokenError, UnknownTokenError, SpentTokenError, Solved, SpentTokenError]
    assert [type(one) for one in pool.settle(asked, 3)] == first
    assert [type(one) for one in pool.settle(asked, 3)] == again


def test_a_large_batch_takes_as_many_statements_as_a_small_one(pool: Pool) -> None:
    counts = []
    for size in (3, 300):
        tokens = _tokens(pool, size)
        pool.add(drawn(size), PLAIN)
        popped = pool.pop(size, redeemable=True, stock=PLAIN)
        attempts = [Attempt.of(one.id, one.code if number else "wrong") for number, one in enumerate(popped)]
        statements: list[tuple[str, object]] = []
        with event_listener(pool.engine, statements):
            pool.settle([*attempts, *map(Redemption.of, tokens)], 3)
        counts.append(len(statements))
    assert counts[0] == counts[1] < 12


@pytest.mark.parametrize(("file_id", "hostname"), [("..", ""), ("0" * 32, "a\0b"), ("0" * 32, "a" * 254)])
def test_what_would_spoil_a_transaction_gets_into_none(file_id: str, hostname: str) -> None:
    with pytest.raises(ValueError, match="not a file id"):
        Attempt.of(file_id, "x", Purpose(hostname))


@asynccontextmanager
async def _writer(pool: Pool) -> AsyncIterator[GroupCommit[Asked, Settled]]:
    writer = GroupCommit("writer", pool.settle)
    writer.open()
    yield writer
    await writer.close()


async def _all(asking: list[Awaitable[Settled]]) -> list[Settled | BaseException]:
    return await asyncio.gather(*asking, return_exceptions=True)


def test_those_who_ask_at_once_share_a_transaction(pool: Pool) -> None:
    pool.add(drawn(200), PLAIN)
    popped = pool.pop(200, redeemable=True, stock=PLAIN)
    statements: list[tuple[str, object]] = []

    async def answer() -> list[Settled | BaseException]:
        async with _writer(pool) as writer:
            attempts = [Attempt.of(one.id, one.code) for one in popped for _ in range(2)]
            return await _all([writer.ask(attempt) for attempt in attempts])

    with event_listener(pool.engine, statements):
        verdicts = asyncio.run(answer())
    assert [verdict.state for verdict in verdicts if isinstance(verdict, Verdict)] == [State.SOLVED, None] * 200
    assert sum("INSERT" in statement for statement, _ in statements) <= 2


def test_an_error_of_the_transaction_is_the_answer_to_all_and_the_next_ones_pass(pool: Pool) -> None:
    (one,) = _tokens(pool, 1)

    async def redeem() -> None:
        async with _writer(pool) as writer:
            with database.transaction(pool.engine) as connection:
                connection.execute(text("ALTER TABLE token RENAME TO elsewhere"))
            results = await _all([writer.ask(Redemption.of(one)) for _ in range(3)])
            assert {type(result) for result in results} == {DatabaseError}
            with database.transaction(pool.engine) as connection:
                connection.execute(text("ALTER TABLE elsewhere RENAME TO token"))
            assert isinstance(await writer.ask(Redemption.of(one)), Solved)

    asyncio.run(redeem())


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_nobody_waits_longer_than_three_seconds_for_a_locked_database(pool: Pool) -> None:
    """Neither the first, nor who came while the first waited; afterwards all is as if they had not asked."""
    (one,) = _tokens(pool, 1)

    async def redeem(ask: Callable[[Redemption], Awaitable[Settled]], after: float) -> float:
        await asyncio.sleep(after)
        asked_at = time.monotonic()
        with pytest.raises(DatabaseError):
            await ask(Redemption.of(one))
        return time.monotonic() - asked_at

    async def wait() -> list[float]:
        async with _writer(pool) as writer:
            with closing(sqlite3.connect(make_url(pool.engine.url).database or "", isolation_level=None)) as other:
                other.execute("BEGIN EXCLUSIVE")
                waits = await asyncio.gather(*(redeem(writer.ask, number / 10) for number in range(40)))
            assert isinstance(await writer.ask(Redemption.of(one)), Solved)
        return waits

    assert max(asyncio.run(wait())) < 5  # three by the deadline, the rest for a busy machine


def test_a_queue_that_is_too_long_is_refused_at_once(pool: Pool) -> None:
    async def redeem() -> list[Settled | BaseException]:
        async with _writer(pool) as writer:
            return await _all([writer.ask(Redemption.of("made up")) for _ in range(2100)])

    results = asyncio.run(redeem())
    refused = [result for result in results if isinstance(result, DatabaseError)]
    assert len(refused) == 100
    assert "waiting" in str(refused[0])
    assert all(isinstance(result, GantchaError) for result in results)

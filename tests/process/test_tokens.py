"""What a solved challenge is worth, on both databases; and what counts as the same answer."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import select, update

from gantcha.characters import is_right
from pool import database, tokens
from pool.errors import SpentTokenError, UnknownTokenError
from pool.models import token
from pool.pool import Pool
from pool.sweep import Sweep
from tests.conftest import PLAIN, drawn
from tests.support.settling import check, redeem


def _solve(pool: Pool, hostname: str = "www.example.com") -> str:
    pool.add(drawn(1), PLAIN)
    (one,) = pool.pop(1, redeemable=True, stock=PLAIN)
    text = check(pool, one.id, one.code, hostname).token
    assert text
    return text


def test_a_token_is_redeemed_once(pool: Pool) -> None:
    text = _solve(pool)
    solved = redeem(pool, text)
    assert solved.hostname == "www.example.com"
    assert abs(datetime.now(UTC) - solved.at) < timedelta(minutes=1)
    with pytest.raises(SpentTokenError):
        redeem(pool, text)
    with pytest.raises(SpentTokenError):
        redeem(pool, text, str(uuid4()))


def test_a_made_up_token_is_unknown(pool: Pool) -> None:
    _solve(pool)
    with pytest.raises(UnknownTokenError):
        redeem(pool, "made up")


def test_the_same_key_may_ask_again(pool: Pool) -> None:
    text, key = _solve(pool), str(uuid4())
    first = redeem(pool, text, key)
    assert redeem(pool, text, key) == first
    for other in (None, str(uuid4())):
        with pytest.raises(SpentTokenError):
            redeem(pool, text, other)
    assert redeem(pool, text, key) == first


def _age(pool: Pool, age: timedelta) -> None:
    with database.transaction(pool.engine) as connection:
        connection.execute(update(token).values(expires_at=datetime.now(UTC) + tokens.LIFETIME - age))


def test_a_token_gets_too_old_and_is_forgotten(pool: Pool) -> None:
    text = _solve(pool)
    _age(pool, tokens.LIFETIME - timedelta(seconds=20))
    Sweep(pool, timedelta(0)).all()
    _age(pool, tokens.LIFETIME)
    with pytest.raises(SpentTokenError):
        redeem(pool, text)
    Sweep(pool, timedelta(0)).all()
    with pytest.raises(UnknownTokenError):
        redeem(pool, text)


def test_the_database_does_not_hold_the_token(pool: Pool) -> None:
    text = _solve(pool)
    with database.transaction(pool.engine) as connection:
        (row,) = connection.execute(select(token))
    assert text not in map(str, row)


def _count(attempts: int, attempt: Callable[[int], object]) -> int:
    def succeeds(number: int) -> bool:
        try:
            attempt(number)
        except SpentTokenError:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        return sum(threads.map(succeeds, range(attempts)))


def test_of_parallel_redemptions_one_passes(pool: Pool) -> None:
    text = _solve(pool)
    assert _count(64, lambda _: redeem(pool, text)) == 1
    text, keys = _solve(pool), [str(uuid4()), str(uuid4())]
    assert _count(64, lambda number: redeem(pool, text, keys[number % 2])) == 32


UNSEEN = [chr(point) for point in (0xAD, 0x34F, 0x61C, 0x1160, 0x180E, 0x200B, 0x200D, 0x200F, 0x202E, 0x2060, 0x2069)]
UNSEEN += [chr(point) for point in (0x2800, 0x3164, 0xFE0F, 0xFEFF, 0xFFA0, 0xE0041, 0xE0101, 0x0, 0x7F)]
"""Zero-width, of direction, soft, joining, filling, selecting, tagging, controlling."""


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("7K2H9M", "7k2h9m"),
        (" 7k2 h9m\n", "7k2h9m"),
        ("７ｋ２ｈ９ｍ", "7k2h9m"),  # noqa: RUF001 - typed by an input method
        ("7kzhgm", "7k2h9m"),
        ("ok1l5s", "0kil55"),
        ("х5кмрн", "x5kmph"),  # noqa: RUF001 - typed on a Cyrillic keyboard
        ("јіѕԁһӏ", "jisdhl"),  # noqa: RUF001 - likewise
        ("ΚΜρχwΝ", "kmpxwn"),  # noqa: RUF001 - on a Greek one
        ("kİıd", "kiid"),  # noqa: RUF001 - on a Turkish one
        *((f"{unseen}7k2{unseen}h9m{unseen}", "7k2h9m") for unseen in UNSEEN),
    ],
)
def test_these_are_the_same_answer(typed: str, code: str) -> None:
    assert is_right(typed, code)


@pytest.mark.parametrize("typed", ["", "7k2h9", "7k2h9mm", "7k2h9n", "\0", "й" * 6])
def test_these_are_not(typed: str) -> None:
    assert not is_right(typed, "7k2h9m")

"""Counters that processes share: sliding windows, what is written and read, and what is forgotten."""

import time
from datetime import timedelta

import pytest
from sqlalchemy import func, select, text

from pool import database
from pool.counters import Counters, Window
from pool.errors import DatabaseError
from pool.models import counter
from pool.pool import Pool
from pool.sweep import Sweep, Swept

MINUTE = Window("issue", 60)


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0  # the start of a minute

    def __call__(self) -> float:
        return self.now


def test_a_window_slides_and_empties() -> None:
    clock = Clock()
    counters = Counters(clock)
    for _ in range(10):
        counters.count("a", MINUTE)
    assert counters.recent("a", MINUTE) == 10
    assert counters.recent("b", MINUTE) == 0
    clock.now += 75  # a quarter of the next window
    assert counters.recent("a", MINUTE) == pytest.approx(7.5)
    clock.now += 45
    assert counters.recent("a", MINUTE) == 0


@pytest.mark.parametrize(("before", "now", "elapsed"), [(0, 10, 0), (0, 10, 59), (8, 5, 10), (10, 10, 30), (0, 1, 1)])
def test_the_wait_is_just_long_enough(before: int, now: int, elapsed: int) -> None:
    clock = Clock()
    counters, most = Counters(clock), max(now, 1) if before == 0 else 10
    for count, start in ((before, 0), (now, 60)):
        clock.now = 1_800_000_000.0 + start + (elapsed if start else 0)
        for _ in range(count):
            counters.count("a", MINUTE)
    wait = counters.wait("a", MINUTE, most)
    assert 0 < wait <= 120
    clock.now += wait - 0.01
    assert counters.wait("a", MINUTE, most) > 0
    clock.now += 0.02
    assert counters.wait("a", MINUTE, most) == 0


def test_processes_see_the_sums_of_all_who_count_a_subject(pool: Pool) -> None:
    one, other = Counters(), Counters()
    day = Window("day", 86400)
    for _ in range(3):
        one.count("a", day)
    for _ in range(4):
        other.count("a", day)
    one.count("b", day)
    for counters in (one, other):
        counters.sync(pool)
    assert (one.recent("a", day), other.recent("a", day)) == (3, 7)
    one.count("a", day)
    one.count("a", Window("wrong", 86400))
    one.sync(pool)
    assert one.recent("a", day) == 8
    other.count("a", MINUTE)  # any count asks for all sums of the subject
    other.sync(pool)
    assert (other.recent("a", day), other.recent("a", Window("wrong", 86400))) == (8, 1)
    assert other.recent("b", day) == 0
    other.sync(pool)  # nothing is written twice
    one.count("a", day)
    one.sync(pool)
    assert one.recent("a", day) == 9


def test_the_database_learns_no_address(pool: Pool) -> None:
    counters = Counters()
    counters.count("203.0.113.9", MINUTE)
    counters.sync(pool)
    with database.transaction(pool.engine) as connection:
        (row,) = connection.execute(select(counter)).all()
        assert len(row.subject) == 32
        assert (row.name, row.count, row.expires_at) == ("issue/60", 1, row.start + 120)
        connection.execute(text("UPDATE identity SET pool_id = 'another'"))
    counters = Counters()
    counters.count("203.0.113.9", MINUTE)
    counters.sync(pool)
    with database.transaction(pool.engine) as connection:  # the key is the pool's own: a table of hashes is of no use
        assert connection.scalar(select(func.count(counter.c.subject.distinct()))) == 2


def test_a_hundred_thousand_addresses_and_more_keep_bounded_memory(pool: Pool) -> None:
    counters = Counters(most=1000)
    for number in range(3000):
        counters.count(f"address {number}", MINUTE)
        counters.count("busy", Window("busy", 86400))
    assert len(counters) == 1000
    assert counters.recent("busy", Window("busy", 86400)) == 3000
    counters.sync(pool)
    with database.transaction(pool.engine) as connection:
        assert connection.scalar(select(func.count()).select_from(counter)) == 1000
    full = Counters()
    for number in range(100_500):
        full.count(f"address {number}", MINUTE)
    assert len(full) == 100_000


def test_subjects_that_are_idle_are_forgotten(pool: Pool) -> None:
    clock = Clock()
    counters = Counters(clock)
    for number in range(1000):
        counters.count(f"address {number}", MINUTE)
    clock.now += 60
    counters.count("address 0", MINUTE)
    counters.sync(pool)
    assert len(counters) == 1000
    clock.now += 60
    counters.sync(pool)
    assert len(counters) == 1


def test_a_database_that_is_down_loses_nothing(pool: Pool) -> None:
    counters, day = Counters(), Window("day", 86400)
    counters.count("a", day)
    with database.transaction(pool.engine) as connection:
        connection.execute(text("ALTER TABLE counter RENAME TO away"))
    with pytest.raises(DatabaseError, match="python -m gantcha migrate"):
        counters.sync(pool)
    counters.count("a", day)
    assert counters.recent("a", day) == 2
    with database.transaction(pool.engine) as connection:
        connection.execute(text("ALTER TABLE away RENAME TO counter"))
    counters.sync(pool)
    other = Counters()
    other.count("a", day)
    other.sync(pool)
    assert other.recent("a", day) == 3


def test_the_sweep_deletes_windows_that_nobody_reads(pool: Pool) -> None:
    clock = Clock()
    clock.now = time.time()
    counters = Counters(clock)
    counters.count("a", MINUTE)
    counters.sync(pool)
    clock.now -= 121
    for number in range(100):
        counters.count(f"address {number}", MINUTE)
    counters.sync(pool)
    assert Sweep(pool, timedelta(minutes=1)).all() == Swept(0, 0, 0)
    with database.transaction(pool.engine) as connection:
        assert connection.scalar(select(func.count()).select_from(counter)) == 1

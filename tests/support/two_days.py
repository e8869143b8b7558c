"""Sums of two days, as servers would have counted them."""

import math
import time

from sqlalchemy import Engine

from pool import database
from pool.hourly import HOUR, HOURS
from pool.models import hourly

_SHARES = {
    "issued/generate": 0.1,
    "issued/challenge": 0.9,
    "answers/solved": 0.7,
    "answers/failed": 0.08,
    "redeemed/success": 0.69,
    "limited/issue": 0.004,
    "site_answers/shop/solved": 0.7,
    "site_answers/shop/failed": 0.08,
    "site_redeemed/shop": 0.69,
}


def count_two_days(engine: Engine, most: int) -> None:
    """Add sums of each hour: few at night, and `most` captchas at noon."""
    latest = int(time.time()) // HOUR * HOUR
    rows = []
    for start in range(latest - (HOURS - 1) * HOUR, latest + 1, HOUR):
        busy = most * math.sin(start / HOUR * math.pi / 24) ** 2
        rows += [(start, name, count) for name, share in _SHARES.items() if (count := int(busy * share))]
    with database.transaction(engine) as connection:
        database.insert_rows(connection, tuple(hourly.c), rows, adding=hourly.c["count"])

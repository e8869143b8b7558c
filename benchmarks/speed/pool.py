"""Whether the cost of a pop depends on the level of the pool."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from statistics import median

from sqlalchemy import text

from benchmarks.speed.figures import Figure
from benchmarks.speed.pools import PLAIN, insert_ready, migrate, postgresql
from pool import database
from pool.pool import Pool
from pool.storage.files import FileStore

_LEVELS = (1_000, 100_000, 1_000_000)
_ROUNDS = 100
_POPPED = 64


def measure() -> list[Figure]:
    """Pop 64 at a time in turn from pools of 1,000, 100,000 and 1,000,000 ready captchas, on both databases."""
    figures = []
    names = [f"pool{level}" for level in _LEVELS]
    with tempfile.TemporaryDirectory() as folder, postgresql(Path(folder), *names) as server:
        urls = {"SQLite": f"sqlite:///{folder}/LEVEL.db", "PostgreSQL": server.replace("NAME", "poolLEVEL")}
        for name, url in urls.items():
            with ExitStack() as stack:
                pools = {level: stack.enter_context(_pool(url, level, Path(folder))) for level in _LEVELS}
                size = _bytes(pools[_LEVELS[-1]]) / _LEVELS[-1]
                milliseconds = _measure(pools)
            least = _LEVELS[0]
            for level, figure in milliseconds.items():
                against = ("", None) if level == least else (f"{least:,} ready", milliseconds[least])
                figures.append(Figure(f"pop of {_POPPED}, {name}, {level:,} ready", figure, "ms", *against))
            figures.append(Figure(f"row and indexes, {name}", size, "bytes"))
    return figures


def _bytes(pool: Pool) -> float:
    """Return the bytes of the captcha table and its indexes on disk."""
    sqlite = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
    size = sqlite if pool.engine.dialect.name == "sqlite" else "SELECT pg_total_relation_size('captcha')"
    with database.transaction(pool.engine, **database.READ_ONLY) as connection:
        return float(connection.execute(text(size)).scalar_one())


def _measure(pools: dict[int, Pool]) -> dict[int, float]:
    """Pop in turn and give back, so that the levels stay; return median milliseconds by level."""
    seconds: dict[int, list[float]] = {level: [] for level in pools}
    for _ in range(_ROUNDS):
        for level, pool in pools.items():
            started = time.perf_counter()
            popped = pool.pop(_POPPED, stock=PLAIN)
            seconds[level].append(time.perf_counter() - started)
            pool.give_back(popped)
    return {level: 1000 * median(measured) for level, measured in seconds.items()}


@contextmanager
def _pool(url: str, level: int, folder: Path) -> Iterator[Pool]:
    """Make a pool with `level` ready rows and no files, since a pop does not read files."""
    url = url.replace("LEVEL", str(level))
    migrate(os.environ | {"CAPTCHA_DATABASE_URL": url})
    engine = database.connect(url)
    insert_ready(engine, level)
    yield Pool(engine, FileStore(folder / "files"), timedelta(minutes=10))
    engine.dispose()

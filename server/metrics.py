"""Prometheus metrics: counters of this server, and the state of the pool at the time of the request."""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import REGISTRY, Collector

from pool.errors import DatabaseError
from pool.filling import lease
from pool.filling.fills import last_fills
from pool.filling.watermarks import Watermarks
from pool.models import Stock
from pool.pool import Pool

MULTIPROCESS_DIR = "PROMETHEUS_MULTIPROC_DIR"
"""Variable with the folder that the workers of one server share; unset for a single worker."""

if MULTIPROCESS_DIR in os.environ:
    Path(os.environ[MULTIPROCESS_DIR]).mkdir(exist_ok=True)  # somebody may have tidied up before a worker was replaced
disable_created_metrics()  # type: ignore[no-untyped-call] # twice the lines, for a timestamp of no use here

ISSUED = Counter("gantcha_issued", "Captchas handed out", ["route"])
CHALLENGES = Counter("gantcha_challenges", "Challenges handed out", ["difficulty"])
DOUBTED = Counter("gantcha_doubted", "Addresses and sites that came into doubt", ["reason"])
EMPTY = Counter("gantcha_empty", "Requests that found the pool empty", ["route"])
ANSWERS = Counter(
    "gantcha_answers", "Answers to challenges: solved, failed, expired, or to no open challenge", ["result"]
)
LAPSED = Counter("gantcha_lapsed", "Challenges that nobody answered in time, as the sweep finds them")
REDEEMED = Counter("gantcha_redeemed", "Answers of siteverify: success, or the error code", ["result"])
LIMITED = Counter("gantcha_limited", "Requests rejected because their client made too many", ["action"])
WORK = Counter(
    "gantcha_work", "Work of browsers that was checked: what it was done for, or missing, or refused", ["result"]
)
MODES = Counter("gantcha_redeemed_modes", "Redeemed tokens by how they were earned", ["mode"])
REFILLS = Counter("gantcha_refills", "Refills that this server ran", ["result"])
DROPPED = Counter("gantcha_log_lines_dropped", "Log lines that were not read or written in time")
MISSING = Counter("gantcha_missing_pictures", "Requests for pictures whose captcha is known and whose file is gone")
SECONDS = Histogram(
    "gantcha_request_seconds",
    "Time from the request's head to the end of the answer",
    ["method", "route", "status"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
)


class PoolCollector(Collector):
    """The pool at the time of the request; omits what an unreachable database can't tell."""

    def __init__(self, pool: Pool, watermarks: Mapping[Stock, Watermarks]) -> None:
        """`watermarks` are read anew at each request."""
        self._pool, self._watermarks = pool, watermarks

    def collect(self) -> Iterator[Metric]:
        """Ask the pool."""
        low_water = {stock: marks.low_water for stock, marks in self._watermarks.items()}
        target = {stock: marks.target for stock, marks in self._watermarks.items()}
        yield _by_stock("gantcha_pool_low_water", "Level at which a refill starts", low_water)
        yield _by_stock("gantcha_pool_target", "Level at which a refill ends", target)
        try:
            levels, fills, leases = (
                self._pool.levels(),
                last_fills(self._pool.engine, 1),
                lease.current(self._pool.engine),
            )
        except DatabaseError:
            return
        yield _by_stock("gantcha_pool_level", "Ready captchas", dict.fromkeys(self._watermarks, 0) | levels)
        ages = GaugeMetricFamily(
            "gantcha_lease_seconds", "How long a fill or a sweep has been running", labels=["name"]
        )
        for held in leases:
            ages.add_metric([held.name], held.age)
        yield ages
        for fill in fills:
            rate = fill.added / fill.seconds if fill.seconds else 0
            yield GaugeMetricFamily("gantcha_refill_rate", "Captchas a second of the last fill, by any process", rate)


def _by_stock(name: str, text: str, values: Mapping[Stock, int]) -> Metric:
    metric = GaugeMetricFamily(name, text, labels=Stock._fields)
    for stock, value in values.items():
        metric.add_metric([*map(str, stock)], value)
    return metric


def exposition(pool: PoolCollector) -> bytes:
    """Return all metrics in Prometheus' text format."""
    of_pool = CollectorRegistry()
    of_pool.register(pool)
    return _counted() + generate_latest(of_pool)


def _counted() -> bytes:
    """Return what the workers counted; what this one did, where somebody has removed the shared files."""
    with suppress(FileNotFoundError):
        if (folder := os.environ.get(MULTIPROCESS_DIR)) and os.listdir(folder):
            counted = CollectorRegistry()
            MultiProcessCollector(counted)  # type: ignore[no-untyped-call] # as the library has it
            return generate_latest(counted)
    return generate_latest(REGISTRY)

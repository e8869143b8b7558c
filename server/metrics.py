"""Prometheus metrics: counters of this server, and the state of the pool at the time of the request."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import REGISTRY, Collector

from gantcha import __version__
from gantcha.drawing.look import DIFFICULTIES
from pool.errors import DatabaseError
from pool.filling import lease
from pool.filling.fills import last_outcome
from pool.filling.watermarks import Watermarks
from pool.models import Mode, State, Stock
from pool.pool import Pool
from server.schemas import ErrorCode

MULTIPROCESS_DIR = "PROMETHEUS_MULTIPROC_DIR"
"""Variable with the folder that the workers of one server share; unset for a single worker."""

if MULTIPROCESS_DIR in os.environ:
    Path(os.environ[MULTIPROCESS_DIR]).mkdir(exist_ok=True)  # somebody may have tidied up before a worker was replaced
disable_created_metrics()  # type: ignore[no-untyped-call] # twice the lines, for a timestamp of no use here


def _counter(name: str, text: str, label: str, values: Iterable[str]) -> Counter:
    """Return a counter whose samples begin at 0: to Prometheus a sample that begins at 1 is no increase."""
    counter = Counter(name, text, [label])
    for value in values:
        counter.labels(value)
    return counter


_MODES, _RESULTS = get_args(Mode), (State.SOLVED, State.FAILED, State.EXPIRED, "unknown")
ISSUED = _counter("gantcha_issued", "Captchas handed out", "route", ["generate", "challenge", "quiet", "alternative"])
CHALLENGES = _counter("gantcha_challenges", "Challenges handed out", "difficulty", DIFFICULTIES)
DOUBTED = Counter("gantcha_doubted", "Addresses and sites that came into doubt", ["reason"])
EMPTY = _counter("gantcha_empty", "Requests that found the pool empty", "route", ["generate", "challenge"])
ANSWERS = _counter(
    "gantcha_answers", "Answers to challenges: solved, failed, expired, or to no open challenge", "result", _RESULTS
)
LAPSED = Counter("gantcha_lapsed", "Challenges that nobody answered in time, as the sweep finds them")
REDEEMED = _counter(
    "gantcha_redeemed",
    "Answers of siteverify: success, or the error code",
    "result",
    ["success", *get_args(ErrorCode)],
)
SITE_ANSWERS = Counter("gantcha_site_answers", "Answers to challenges of a site", ["site", "result"])
SITE_REDEEMED = Counter("gantcha_site_redeemed", "Redeemed tokens of a site", ["site"])
LIMITED = _counter(
    "gantcha_limited", "Requests rejected because their client made too many", "action", ["issue", "answer"]
)
WORK = _counter(
    "gantcha_work",
    "Work of browsers that was checked: what it was done for, or missing, or refused",
    "result",
    [*_MODES, "missing", "refused"],
)
MODES = _counter("gantcha_redeemed_modes", "Redeemed tokens by how they were earned", "mode", _MODES)
REFILLS = _counter("gantcha_refills", "Refills that this server ran", "result", ["ok", "error"])
DROPPED = Counter("gantcha_log_lines_dropped", "Log lines that were not read or written in time")
MISSING = Counter("gantcha_missing_pictures", "Requests for pictures whose captcha is known and whose file is gone")
SECONDS = Histogram(
    "gantcha_request_seconds",
    "Time from the request's head to the end of the answer",
    ["method", "route", "status"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
)


def begin_sites(names: Iterable[str]) -> None:
    """Begin the counters of sites at 0; names come from the keys file, so they are few."""
    for name in names:
        SITE_REDEEMED.labels(name)
        for result in _RESULTS:
            SITE_ANSWERS.labels(name, result)


_BY_HOUR = (ISSUED, ANSWERS, REDEEMED, LIMITED, EMPTY, DOUBTED, SITE_ANSWERS, SITE_REDEEMED)


def counts() -> dict[str, int]:
    """Return what this process has counted of what is also kept by the hour: `issued/generate`, and so on."""
    samples = [(metric.name, one) for counter in _BY_HOUR for metric in counter.collect() for one in metric.samples]
    return {"/".join([name.removeprefix("gantcha_"), *one.labels.values()]): int(one.value) for name, one in samples}


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
            levels, leases = self._pool.levels(), lease.current(self._pool.engine)
            last = last_outcome(self._pool.engine)
        except DatabaseError:
            return
        yield _by_stock("gantcha_pool_level", "Ready captchas", dict.fromkeys(self._watermarks, 0) | levels)
        ages = GaugeMetricFamily(
            "gantcha_lease_seconds", "How long a fill or a sweep has been running", labels=["name"]
        )
        for held in leases:
            ages.add_metric([held.name], held.age)
        yield ages
        if last:
            rate = last.added / last.seconds if last.seconds else 0
            ended = last.ended_at.timestamp()
            yield GaugeMetricFamily("gantcha_refill_rate", "Captchas a second of the last fill, by any process", rate)
            yield GaugeMetricFamily(
                "gantcha_last_fill_timestamp_seconds", "When the last fill ended or added, by any process", ended
            )
            yield GaugeMetricFamily(
                "gantcha_last_fill_failed", "1 if the last fill failed, by any process", bool(last.error)
            )


class _ServerCollector(Collector):
    """This server at the time of the request."""

    def __init__(self, *, is_ready: bool) -> None:
        self._is_ready = is_ready

    def collect(self) -> Iterator[Metric]:
        """Tell the version and whether captchas can be handed out."""
        yield InfoMetricFamily("gantcha_build", "Version of this server", {"version": __version__})
        yield GaugeMetricFamily("gantcha_ready", "1 if /readyz answers 200", self._is_ready)


def _by_stock(name: str, text: str, values: Mapping[Stock, int]) -> Metric:
    metric = GaugeMetricFamily(name, text, labels=Stock._fields)
    for stock, value in values.items():
        metric.add_metric([*map(str, stock)], value)
    return metric


def exposition(pool: PoolCollector, *, is_ready: bool) -> bytes:
    """Return all metrics in Prometheus' text format."""
    at_request = CollectorRegistry()
    at_request.register(_ServerCollector(is_ready=is_ready))
    at_request.register(pool)
    return _counted() + generate_latest(at_request)


def _counted() -> bytes:
    """Return what the workers counted; what this one did, where somebody has removed the shared files."""
    with suppress(FileNotFoundError):
        if (folder := os.environ.get(MULTIPROCESS_DIR)) and os.listdir(folder):
            counted = CollectorRegistry()
            MultiProcessCollector(counted)  # type: ignore[no-untyped-call] # as the library has it
            return generate_latest(counted)
    return generate_latest(REGISTRY)

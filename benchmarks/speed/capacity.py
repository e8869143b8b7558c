"""What a machine has to spare: refills beside answers, bytes on disk, and connections to PostgreSQL."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from statistics import median

from sqlalchemy import Engine, text

from benchmarks.speed.figures import Figure
from benchmarks.speed.load import Load, has_wrk, medians_of, read_wrk, run_wrk, running
from benchmarks.speed.pools import ROOT, at_density, fill_command, insert_ready, migrate, postgresql
from pool import database
from pool.cores import available_cores
from pool.filling.fills import Fill, last_fills

_READY, _DRAWN = 1_000_000, 2_000
_SECONDS, _ROUNDS = 15, 3
_CONNECTIONS = 32
_PACED = "delay = function() return %d end\n"  # milliseconds before each request of a connection
_OTHERS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
_LEFT = "SELECT count(*) FROM captcha WHERE state = 'ready'"
_IDLE = Load(0, 0, 0)


def measure() -> list[Figure]:
    """Refill PostgreSQL as a server does, alone and while a server of one process hands out captchas of it."""
    if not has_wrk():
        return []
    with tempfile.TemporaryDirectory() as name, postgresql(Path(name), "capacity") as url:
        own = {"CAPTCHA_DATABASE_URL": url.replace("NAME", "capacity"), "CAPTCHA_FILES_DIR": f"{name}/files"}
        own |= {"CAPTCHA_TARGET": "0", "CAPTCHA_LOW_WATER": "0", "CAPTCHA_ISSUE_LIMIT": "10000000/minute"}
        settings = migrate(os.environ | own)
        engine = database.connect(settings["CAPTCHA_DATABASE_URL"])
        figures = [one for density in (1, 2) for one in _pictures(settings, density)]
        insert_ready(engine, _READY)
        row = _ask(engine, "SELECT pg_total_relation_size('captcha')::float / count(*) FROM captcha")
        figures.append(Figure("row and indexes, PostgreSQL", row, "bytes"))
        with running(["server"], settings) as (server, _):
            figures.append(Figure("connections of a server process at rest", _ask(engine, _OTHERS), ""))
            most = _most_connections(engine, partial(_load, server, "challenge"))
            figures.append(Figure("connections of a server process under load", most, ""))
            figures += _refills(engine, settings, server, Path(name))
        for what, command in {"refill": "server.refill", "sweep": "pool.sweep"}.items():
            most = _most_connections(engine, partial(_run_for_a_while, command, settings))
            figures.append(Figure(f"connections of a {what}", most, ""))
        engine.dispose()
    return figures


def _refills(engine: Engine, settings: dict[str, str], server: str, folder: Path) -> list[Figure]:
    full, pace = _load(server), folder / "pace.lua"
    pace.write_text(_PACED % round(1000 * _CONNECTIONS * 2 / full.requests))
    loads: dict[str, Callable[[], Load]] = {
        "idle": _rest,
        "half of the answers": partial(_load, server, "generate", pace),
        "all answers": partial(_load, server),
    }
    figures = [Figure("answers without a refill", full.requests, "requests/s"), Figure("p99 of them", full.p99, "ms")]
    for density in (1, 2):
        refills: dict[str, list[float]] = {what: [] for what in loads}
        measures = [partial(_beside, engine, settings, density, load, refills[what]) for what, load in loads.items()]
        for what, answers in zip(loads, medians_of(*measures, rounds=_ROUNDS), strict=True):
            name = f"refill at density {density}, {what}"
            figures.append(Figure(name, median(refills[what]), "captchas/s"))
            if answers.requests:
                figures.append(Figure("answers meanwhile", answers.requests, "requests/s"))
                figures.append(Figure("p99 of them", answers.p99, "ms"))
    return figures


def _rest() -> Load:
    time.sleep(_SECONDS)
    return _IDLE


def _load(server: str, route: str = "generate", *script: Path) -> Load:
    return read_wrk(run_wrk(f"{server}/{route}", _CONNECTIONS, _SECONDS, *script))


def _beside(
    engine: Engine, settings: dict[str, str], density: int, load: Callable[[], Load], rates: list[float]
) -> Load:
    """Refill under a load, and go on with it until a chunk is done; note the captchas a second, return the answers."""
    ready = _ask(engine, _LEFT)
    if ready < _READY / 2:  # or a fast server would find none
        insert_ready(engine, int(_READY - ready))
    with _refilling(engine, settings, density) as begun:
        answers = load()
        while (ended := last_fills(engine, 1)[0]) == begun:
            load()
    rates.append((ended.added - begun.added) / (ended.seconds - begun.seconds))
    return answers


@contextmanager
def _refilling(engine: Engine, settings: dict[str, str], density: int) -> Iterator[Fill]:
    """Draw as a server's refill does: at low priority, with one core left for answers; begin with its first chunk."""
    before = last_fills(engine, 1)[0]
    jobs = str(max(1, available_cores() - 1))
    command = ["nice", *fill_command(10_000_000, "--jobs", jobs, *at_density(density))]
    with subprocess.Popen(command, cwd=ROOT, env=settings) as fill:
        try:
            while (begun := last_fills(engine, 1)[0]).started_at == before.started_at or not begun.added:
                if fill.poll() is not None:
                    raise SystemExit(f"error: the fill ended with {fill.returncode}")
                time.sleep(0.05)
            yield begun
        finally:
            fill.terminate()


def _pictures(settings: dict[str, str], density: int) -> Iterator[Figure]:
    """Return the mean size of PNGs, and what the file system sets aside for one."""
    files = Path(settings["CAPTCHA_FILES_DIR"])
    before = {*files.rglob("*.png")}
    subprocess.run(fill_command(_DRAWN, *at_density(density)), cwd=ROOT, env=settings, check=True)
    found = [path.stat() for path in files.rglob("*.png") if path not in before]
    yield Figure(f"PNG of density {density}", sum(one.st_size for one in found) / len(found), "bytes")
    yield Figure("on disk, whose blocks are whole", sum(512 * one.st_blocks for one in found) / len(found), "bytes")


def _ask(engine: Engine, question: str) -> float:
    with database.transaction(engine, **database.READ_ONLY) as connection:
        return float(connection.execute(text(question)).scalar_one())


def _most_connections(engine: Engine, work: Callable[[], object]) -> float:
    """Return how many connections others had at most meanwhile."""
    most = 0.0
    with ThreadPoolExecutor(1) as thread:
        working = thread.submit(work)
        while not working.done():
            most = max(most, _ask(engine, _OTHERS))
            time.sleep(0.05)
        working.result()
    return most


def _run_for_a_while(command: str, settings: dict[str, str]) -> None:
    filling = settings | {"CAPTCHA_LOW_WATER": "10000000", "CAPTCHA_TARGET": "10000000"}
    with subprocess.Popen(
        [sys.executable, "-m", command], cwd=ROOT, env=filling, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as program:
        with suppress(subprocess.TimeoutExpired):
            program.wait(_SECONDS)
        program.terminate()

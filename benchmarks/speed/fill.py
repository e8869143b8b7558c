"""How fast captchas are drawn into the pool, compared with the PyPI package `captcha` in as many processes."""

import secrets
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path

import numpy as np
import psutil

from batch.processes import started
from benchmarks.speed.figures import Figure, medians
from benchmarks.speed.pools import PLAIN, ROOT, environment, fill_command
from gantcha.alphabet import draw_codes
from gantcha.captcha import PART, draw_straight
from gantcha.drawing.look import LOOKS
from gantcha.drawing.png import encode_pngs
from gantcha.drawing.render import render
from gantcha.glyphs.sampler import load_sampler
from pool import database
from pool.cores import available_cores
from pool.pool import Drawn, Pool
from pool.settings import Settings
from pool.storage.files import FileStore, new_id

_LOOK = LOOKS["plain"]["standard"]

_COUNT, _THEIR_COUNT, _MANY = 10_000, 2_000, 100_000
_CORES = available_cores()
_AGAINST = f"PyPI captcha, {_CORES} processes"


def measure() -> list[Figure]:
    """Fill in turn with the other package; then measure the stages and the memory."""
    with tempfile.TemporaryDirectory() as folder:
        fills = Path(folder)
        ours, start, theirs = medians(
            lambda: _fill(fills, _COUNT), lambda: _fill(fills, 1), lambda: _draw_theirs(fills, _THEIR_COUNT)
        )
        their_rate = (_AGAINST, _THEIR_COUNT / theirs)
        steady = (_COUNT - 1) / (ours - start)
        figures = [
            Figure(f"fill of {_COUNT:,}, start-up and all", _COUNT / ours, "captchas/s", *their_rate),
            Figure("the same without start-up", steady, "captchas/s", *their_rate),
            Figure("start-up, with one captcha", start, "s"),
        ]
        with started(1) as process:  # as fills are drawn
            figures += process.submit(_stages, fills).result()
        for name, layout in {"fill": None, "WebDataset": "webdataset"}.items():
            (few, _), (many, seconds) = (_peak_memory(fills, count, layout) for count in (_COUNT, _MANY))
            figures.append(Figure(f"{name} of {_MANY:,}", _MANY / seconds, "captchas/s"))
            figures.append(Figure("peak memory of it", many, "MB", f"one of {_COUNT:,}", few))
        return figures


def _fill(folder: Path, count: int) -> float:
    settings = environment(folder)
    started = time.perf_counter()
    subprocess.run(fill_command(count), cwd=ROOT, env=settings, check=True)
    return time.perf_counter() - started


def _draw_theirs(folder: Path, count: int) -> float:
    started = time.perf_counter()
    own = Path(tempfile.mkdtemp(dir=folder))
    with ProcessPoolExecutor(_CORES) as processes:
        list(processes.map(partial(_write_theirs, own), [count // _CORES] * _CORES))
    return time.perf_counter() - started


def _write_theirs(folder: Path, count: int) -> None:
    from captcha.image import ImageCaptcha  # noqa: PLC0415 - only developers have it

    image = ImageCaptcha(width=_LOOK.width(6), height=_LOOK.height)
    for code in draw_codes(count, Settings().alphabet, 6):
        image.write(code, str(folder / f"{secrets.token_hex(16)}.png"))


def _stages(folder: Path) -> list[Figure]:
    """Return milliseconds of one core per captcha for each stage."""
    settings, rng, count = Settings(), np.random.default_rng(1), 1000
    sampler, look = load_sampler(settings.checkpoints_dir), _LOOK
    codes = draw_codes(count, settings.alphabet, 6)
    straight = draw_straight(sampler, rng)
    url = environment(folder)["CAPTCHA_DATABASE_URL"]
    pool = Pool(database.connect(url), FileStore(folder / "stages"), timedelta(minutes=10))
    glyphs = sampler.draw_legible(sampler.classes.choose(codes, rng), rng)
    parts = [render(glyphs[i : i + PART], straight, rng, look).pictures for i in range(0, count, PART)]
    pngs = [png for part in parts for png in encode_pngs(part)]

    def write() -> None:
        list(pool.files.write_all((new_id(), png) for png in pngs))
        pool.files.sync()

    def milliseconds(work: Callable[[], object]) -> float:
        started = time.perf_counter()
        work()
        return 1000 * (time.perf_counter() - started) / count

    stages: dict[str, Callable[[], object]] = {
        "sampling": lambda: sampler.draw_legible(sampler.classes.choose(codes, rng), rng),
        "rendering": lambda: [render(glyphs[i : i + PART], straight, rng, look) for i in range(0, count, PART)],
        "encoding": lambda: [encode_pngs(part) for part in parts],
        "files": write,
        "files and rows": lambda: pool.add([Drawn("abc234", png) for png in pngs], PLAIN),
    }
    measured = medians(*(partial(milliseconds, stage) for stage in stages.values()))
    pool.engine.dispose()
    size = Figure("size of a PNG", sum(map(len, pngs)) / count, "bytes")
    return [*(Figure(f"{name}, one core", ms, "ms/captcha") for name, ms in zip(stages, measured, strict=True)), size]


def _peak_memory(folder: Path, count: int, layout: str | None) -> tuple[float, float]:
    """Return the peak megabytes of all processes of a fill, and its seconds."""
    peak, started = 0, time.perf_counter()
    as_dataset = ["--format", layout, "--dataset", str(folder / str(count))] if layout else []
    with subprocess.Popen(fill_command(count, *as_dataset), cwd=ROOT, env=environment(folder)) as process:
        while process.poll() is None:
            peak = max(peak, sum(_resident(psutil.Process(process.pid))))
            time.sleep(0.1)
    return peak / 2**20, time.perf_counter() - started


def _resident(process: psutil.Process) -> Iterable[int]:
    for one in (process, *process.children(recursive=True)):
        try:
            yield one.memory_info().rss
        except psutil.NoSuchProcess:
            continue

"""How fast captchas of both densities are drawn into the pool, and PyPI's `captcha` in as many processes."""

import secrets
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import psutil

from batch.processes import started
from benchmarks.speed.figures import Figure, medians
from benchmarks.speed.pools import PLAIN, ROOT, at_density, environment, fill_command
from gantcha.alphabet import draw_codes
from gantcha.captcha import PART, draw_straight
from gantcha.drawing.look import Look, choose_look
from gantcha.drawing.png import encode_png
from gantcha.drawing.render import render
from gantcha.glyphs.sampler import load_sampler
from pool import database
from pool.cores import available_cores
from pool.pool import Drawn, Pool
from pool.settings import Settings
from pool.storage.files import FileStore, new_id

_COUNT, _THEIR_COUNT, _MANY = 10_000, 2_000, 100_000
_STAGED = 500  # captchas
_LENGTH = 6
_CORES = available_cores()
_LOOKS = {density: choose_look(decoys="", pixel_ratio=density) for density in (1, 2)}
_SIZES = (160, 60), (_LOOKS[1].width(_LENGTH), _LOOKS[1].height)
"""Widths and heights of the other package's pictures: its own, and ours."""


def measure() -> list[Figure]:
    """Fill at both densities in turn with the other package; then measure the stages and the memory."""
    with tempfile.TemporaryDirectory() as folder:
        fills = Path(folder)
        figures = _fills(fills)
        with started(1) as process:  # as fills are drawn
            figures += process.submit(_stages, fills).result()
        for name, layout in {"fill at density 2": None, "WebDataset": "webdataset"}.items():
            (few, _), (many, seconds) = (_peak_memory(fills, count, layout) for count in (_COUNT, _MANY))
            figures.append(Figure(f"{name} of {_MANY:,}", _MANY / seconds, "captchas/s"))
            figures.append(Figure("peak memory of it", many, "MB", f"one of {_COUNT:,}", few))
        return figures


def _fills(folder: Path) -> list[Figure]:
    *ours, small, large = medians(
        *(partial(_fill, folder, count, density) for density in _LOOKS for count in (_COUNT, 1)),
        *(partial(_draw_theirs, folder, _THEIR_COUNT, *size) for size in _SIZES),
    )
    theirs = {
        f"PyPI captcha, {width} x {height}, {_CORES} processes": _THEIR_COUNT / seconds
        for (width, height), seconds in zip(_SIZES, (small, large), strict=True)
    }
    figures = []
    for density, many, one in zip(_LOOKS, ours[::2], ours[1::2], strict=True):
        rates = {"start-up and all": _COUNT / many, "without start-up": (_COUNT - 1) / (many - one)}
        figures += [
            Figure(f"fill of {_COUNT:,} at density {density}, {what}", rate, "captchas/s", *against)
            for what, rate in rates.items()
            for against in theirs.items()
        ]
        figures.append(Figure(f"start-up, with one captcha of density {density}", one, "s"))
    return figures


def _fill(folder: Path, count: int, density: int) -> float:
    settings = environment(folder)
    started = time.perf_counter()
    subprocess.run(fill_command(count, *at_density(density)), cwd=ROOT, env=settings, check=True)
    return time.perf_counter() - started


def _draw_theirs(folder: Path, count: int, width: int, height: int) -> float:
    started = time.perf_counter()
    own = Path(tempfile.mkdtemp(dir=folder))
    with ProcessPoolExecutor(_CORES) as processes:
        list(processes.map(partial(_write_theirs, own, width, height), [count // _CORES] * _CORES))
    return time.perf_counter() - started


def _write_theirs(folder: Path, width: int, height: int, count: int) -> None:
    from captcha.image import ImageCaptcha  # noqa: PLC0415 - only developers have it

    image = ImageCaptcha(width=width, height=height)
    for code in draw_codes(count, Settings().alphabet, _LENGTH):
        image.write(code, str(folder / f"{secrets.token_hex(16)}.png"))


def _stages(folder: Path) -> list[Figure]:
    """Return milliseconds of one core per captcha for each stage, and the size of a PNG."""
    settings, rng = Settings(), np.random.default_rng(1)
    sampler = load_sampler(settings.checkpoints_dir)
    codes = draw_codes(_STAGED, settings.alphabet, _LENGTH)
    straight = draw_straight(sampler, rng)
    url = environment(folder)["CAPTCHA_DATABASE_URL"]
    pool = Pool(database.connect(url), FileStore(folder / "stages"), timedelta(minutes=10))

    def sample() -> npt.NDArray[np.uint8]:
        return sampler.draw_legible(sampler.classes.choose(codes, rng), rng)

    def draw(glyphs: npt.NDArray[np.uint8], look: Look) -> Iterator[npt.NDArray[np.uint8]]:
        for first in range(0, _STAGED, PART):
            yield render(glyphs[first : first + PART], straight, rng, look).pictures

    def write(pngs: Sequence[bytes]) -> None:
        list(pool.files.write_all((new_id(), png) for png in pngs))
        pool.files.sync()

    def milliseconds(work: Callable[[], object]) -> float:
        started = time.perf_counter()
        work()
        return 1000 * (time.perf_counter() - started) / _STAGED

    glyphs, sizes = sample(), []
    stages: dict[str, Callable[[], object]] = {"sampling": sample}
    for density, look in _LOOKS.items():
        pictures = [picture for part in draw(glyphs, look) for picture in part]
        pngs = [encode_png(picture) for picture in pictures]
        drawn = [Drawn("abc234", png) for png in pngs]
        stages |= {
            f"rendering at density {density}": partial(lambda look: deque(draw(glyphs, look), 0), look),
            f"encoding at density {density}": partial(lambda pictures: [*map(encode_png, pictures)], pictures),
            f"files at density {density}": partial(write, pngs),
            f"files and rows at density {density}": partial(pool.add, drawn, PLAIN),
        }
        sizes.append(Figure(f"size of a PNG of density {density}", sum(map(len, pngs)) / _STAGED, "bytes"))
    measured = medians(*(partial(milliseconds, stage) for stage in stages.values()))
    pool.engine.dispose()
    return [*(Figure(f"{name}, one core", ms, "ms/captcha") for name, ms in zip(stages, measured, strict=True)), *sizes]


def _peak_memory(folder: Path, count: int, layout: str | None) -> tuple[float, float]:
    """Return the peak megabytes of all processes of a fill, and its seconds."""
    peak, started = 0, time.perf_counter()
    options = ["--format", layout, "--dataset", str(folder / str(count))] if layout else at_density(2)
    with subprocess.Popen(fill_command(count, *options), cwd=ROOT, env=environment(folder)) as process:
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

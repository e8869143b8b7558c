"""How fast captchas are handed out, compared with minimal servers. Needs `wrk` (`apt-get install wrk`)."""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

import psutil
import requests

from benchmarks.figures import Figure, by_turns
from benchmarks.pools import ROOT, environment, fill_command, insert_ready
from pool import database

_READY = 800_000
_SECONDS = 3
_ORIGINAL_SECONDS = 1.1  # of a request to the original, which loads its models each time
_CONSTANT = """
import fastapi, starlette.staticfiles
app = fastapi.FastAPI()
answer = {"code": "7k2h9m", "fileURL": "http://127.0.0.1:8000/" + "5f" * 16, "id": "5f" * 16,
          "expires_at": "2030-01-01T12:10:00.123456Z"}
@app.get("/generate")
async def generate():
    return answer
app.mount("/files", starlette.staticfiles.StaticFiles(directory=%r))
"""


class _Load(NamedTuple):
    requests: float
    """a second"""
    p50: float
    """milliseconds"""
    p99: float


def measure() -> list[Figure]:
    """Load our server and the other in turn, with 1, 32 and 256 connections; then files; then during a refill."""
    if not shutil.which("wrk"):
        print("wrk is not installed (apt-get install wrk): serving was not measured", file=sys.stderr)
        return []
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        settings = environment(Path(folder)) | {"CAPTCHA_TARGET": "0", "CAPTCHA_LOW_WATER": "0"}
        subprocess.run(fill_command(1), cwd=ROOT, env=settings, check=True)
        (picture,) = Path(settings["CAPTCHA_FILES_DIR"]).rglob("*.png")
        engine = database.connect(settings["CAPTCHA_DATABASE_URL"])
        insert_ready(engine, _READY)
        engine.dispose()
        (Path(folder) / "bare.py").write_text(_CONSTANT % str(folder))
        bare_command = ["uvicorn", "bare:app", "--app-dir", folder, "--no-access-log", "--log-level", "warning"]
        with _running(["server"], settings) as (ours, process), _running(bare_command, settings) as (bare, _):
            for connections in (1, 32, 256):
                figures += _generating(ours, bare, connections)
            figures.append(Figure("resident memory of a worker", process.memory_info().rss / 2**20, "MB"))
            shutil.copy(picture, Path(folder) / "one.png")
            mine, its = _medians(
                partial(_load, f"{ours}/{picture.stem}", 32), partial(_load, f"{bare}/files/one.png", 32)
            )
            name = "GET /{id}, 32 connections"
            figures.append(Figure(name, mine.requests, "requests/s", "Starlette's StaticFiles", its.requests))
            url = f"{ours}/generate"
            drawing, quiet = _medians(partial(_during_a_refill, url, settings), partial(_load, url, 32))
            figures.append(Figure("p99 during a refill, 32 connections", drawing.p99, "ms", "no refill", quiet.p99))
    return figures


def _generating(ours: str, bare: str, connections: int) -> list[Figure]:
    mine, its = _medians(*(partial(_load, f"{url}/generate", connections) for url in (ours, bare)))
    name, against = f"GET /generate, {connections} connection{'s'[: connections - 1]}", "bare FastAPI"
    figures = [
        Figure(name, mine.requests, "requests/s", against, its.requests),
        Figure(f"{name}, p50", mine.p50, "ms", against, its.p50),
        Figure(f"{name}, p99", mine.p99, "ms", against, its.p99),
    ]
    if connections == 1:
        original = ("the original's request", _ORIGINAL_SECONDS * 1000)
        figures.append(Figure(f"{name}, p50", mine.p50, "ms", *original))
    return figures


@contextmanager
def _running(command: list[str], settings: dict[str, str]) -> Iterator[tuple[str, psutil.Process]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with subprocess.Popen(
        [sys.executable, "-m", *command, "--port", str(port)], cwd=ROOT, env=settings, stderr=subprocess.DEVNULL
    ) as process:
        url = f"http://127.0.0.1:{port}"
        while not _answers(url):
            time.sleep(0.1)
        yield url, psutil.Process(process.pid)
        process.terminate()


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/generate", timeout=10).ok
    except requests.ConnectionError:
        return False


def _load(url: str, connections: int) -> _Load:
    options = ["--threads", "1", "--connections", str(connections), "--duration", f"{_SECONDS}s", "--latency"]
    command = ["wrk", *options, url]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in shown:
        raise SystemExit(f"error: some answers had an error status: {shown}")
    (rate,) = re.findall(r"Requests/sec:\s+([\d.]+)", shown)
    p50, p99 = (_milliseconds(*found) for found in re.findall(r"(?:50|99)%\s+([\d.]+)(us|ms|s)\b", shown))
    return _Load(float(rate), p50, p99)


def _milliseconds(number: str, unit: str) -> float:
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def _medians(*loads: Callable[[], _Load]) -> list[_Load]:
    return [_Load(*map(median, zip(*results, strict=True))) for results in by_turns(*loads)]


def _during_a_refill(url: str, settings: dict[str, str]) -> _Load:
    """Load the server during a fill at low priority that leaves one core free, as a refill does."""
    jobs = str(max(1, (os.cpu_count() or 1) - 1))
    files = Path(settings["CAPTCHA_FILES_DIR"])
    before = sum(1 for _ in files.rglob("*.png"))
    with subprocess.Popen(["nice", *fill_command(100_000, "--jobs", jobs)], cwd=ROOT, env=settings) as fill:
        while sum(1 for _ in files.rglob("*.png")) <= before:
            time.sleep(0.2)
        load = _load(url, 32)
        fill.terminate()
    return load

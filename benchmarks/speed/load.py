"""Servers under load. Needs `wrk` (`apt-get install wrk`)."""

import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

import psutil
import requests

from benchmarks.speed.figures import ROUNDS, by_turns
from benchmarks.speed.pools import ROOT, fill_command
from pool.cores import available_cores


class Load(NamedTuple):
    """What a load showed."""

    requests: float
    """a second"""
    p50: float
    """milliseconds"""
    p99: float


def has_wrk() -> bool:
    """Say on stderr that nothing was measured if `wrk` is missing."""
    if not shutil.which("wrk"):
        print("wrk is not installed (apt-get install wrk): serving was not measured", file=sys.stderr)
        return False
    return True


@contextmanager
def running(
    command: list[str], settings: dict[str, str], path: str = "/generate"
) -> Iterator[tuple[str, psutil.Process]]:
    """Run one of our modules, or uvicorn, as a server; yield its URL and its process once it answers at this path."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with subprocess.Popen(
        [sys.executable, "-m", *command, "--port", str(port)], cwd=ROOT, env=settings, stderr=subprocess.DEVNULL
    ) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            while not _answers(url + path):
                time.sleep(0.1)
            yield url, psutil.Process(process.pid)
        finally:
            process.terminate()


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=10).ok
    except requests.ConnectionError:
        return False


def bare_command(folder: Path, source: str) -> list[str]:
    """Write an application to this folder; return the command that serves it with plain uvicorn."""
    (folder / "bare.py").write_text(source, "utf-8")
    return ["uvicorn", "bare:app", "--app-dir", str(folder), "--no-access-log", "--log-level", "warning"]


def run_wrk(url: str, connections: int, seconds: float, *script: object) -> str:
    """Load a server; return what `wrk` prints."""
    options = ["--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s", "--latency"]
    command = ["wrk", *options, *(["--script", *map(str, script[:1])] if script else []), url]
    command += ["--", *map(str, script[1:])] if script else []
    shown = subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout
    if "Non-2xx" in shown:
        raise SystemExit(f"error: some answers had an error status: {shown}")
    return shown


def read_wrk(shown: str) -> Load:
    """Read rate and latencies from what `wrk` prints."""
    (rate,) = re.findall(r"Requests/sec:\s+([\d.]+)", shown)
    p50, p99 = (_milliseconds(*found) for found in re.findall(r"(?:50|99)%\s+([\d.]+)(us|ms|s)\b", shown))
    return Load(float(rate), p50, p99)


def _milliseconds(number: str, unit: str) -> float:
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def medians_of(*loads: Callable[[], Load], rounds: int = ROUNDS) -> list[Load]:
    """Load by turns; return the medians of each."""
    return [Load(*map(median, zip(*results, strict=True))) for results in by_turns(*loads, rounds=rounds)]


@contextmanager
def refilling(settings: dict[str, str]) -> Iterator[None]:
    """Run a fill at low priority that leaves one core free, as a refill does; begin once it adds captchas."""
    jobs = str(max(1, available_cores() - 1))
    files = Path(settings["CAPTCHA_FILES_DIR"])
    before = sum(1 for _ in files.rglob("*.png"))
    with subprocess.Popen(["nice", *fill_command(100_000, "--jobs", jobs)], cwd=ROOT, env=settings) as fill:
        try:
            while sum(1 for _ in files.rglob("*.png")) <= before:
                time.sleep(0.2)
            yield
        finally:
            fill.terminate()

"""How fast captchas are handed out, compared with minimal servers."""

import shutil
import subprocess
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.speed.figures import Figure
from benchmarks.speed.load import Load, bare_command, has_wrk, medians_of, read_wrk, refilling, run_wrk, running
from benchmarks.speed.pools import ROOT, environment, fill_command, insert_ready
from pool import database

_READY = 1_200_000
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


def measure() -> list[Figure]:
    """Load our server and the other in turn, with 1, 32 and 256 connections; then files; then during a refill."""
    if not has_wrk():
        return []
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        settings = environment(Path(folder)) | {"CAPTCHA_TARGET": "0", "CAPTCHA_LOW_WATER": "0"}
        subprocess.run(fill_command(1), cwd=ROOT, env=settings, check=True)
        (picture,) = Path(settings["CAPTCHA_FILES_DIR"]).rglob("*.png")
        engine = database.connect(settings["CAPTCHA_DATABASE_URL"])
        insert_ready(engine, _READY)
        engine.dispose()
        command = bare_command(Path(folder), _CONSTANT % folder)
        with running(["server"], settings) as (ours, process), running(command, settings) as (bare, _):
            for connections in (1, 32, 256):
                figures += _generating(ours, bare, connections)
            figures.append(Figure("resident memory of a worker", process.memory_info().rss / 2**20, "MB"))
            shutil.copy(picture, Path(folder) / "one.png")
            mine, its = medians_of(
                partial(_load, f"{ours}/{picture.stem}", 32), partial(_load, f"{bare}/files/one.png", 32)
            )
            name = "GET /{id}, 32 connections"
            figures.append(Figure(name, mine.requests, "requests/s", "Starlette's StaticFiles", its.requests))
            url = f"{ours}/generate"
            drawing, quiet = medians_of(partial(_during_a_refill, url, settings), partial(_load, url, 32))
            figures.append(Figure("p99 during a refill, 32 connections", drawing.p99, "ms", "no refill", quiet.p99))
    return figures


def _generating(ours: str, bare: str, connections: int) -> list[Figure]:
    mine, its = medians_of(*(partial(_load, f"{url}/generate", connections) for url in (ours, bare)))
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


def _load(url: str, connections: int) -> Load:
    return read_wrk(run_wrk(url, connections, _SECONDS))


def _during_a_refill(url: str, settings: dict[str, str]) -> Load:
    with refilling(settings):
        return _load(url, 32)

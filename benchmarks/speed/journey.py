"""The journey of a visitor: challenge, picture, answer, and the redeeming of its token, one by one and together."""

import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from itertools import count
from pathlib import Path
from statistics import median
from typing import NamedTuple

import requests
from sqlalchemy import insert, select

from benchmarks.speed.figures import Figure
from benchmarks.speed.load import Load, bare_command, has_wrk, medians_of, read_wrk, refilling, run_wrk, running
from benchmarks.speed.pools import insert_ready, migrate, postgresql
from pool import database
from pool.models import State, captcha, token
from pool.storage.files import FileStore, new_id

_READY = 200_000
_DRAWN = 50_000  # the oldest of them, which have a picture
_ASKED = 60_000  # challenges to be answered, and tokens to be redeemed
_CHUNK = 8_000  # of them, for each load
_PICTURE_BYTES = 9_000
_SECONDS = 1
_ROUNDS = 3
_SECRET = "a-secret-of-sixteen-or-more"  # noqa: S105 - of a server that lives for minutes
_SCRIPT = Path(__file__).with_suffix(".lua")
_BARE = f"""
import fastapi
app = fastapi.FastAPI()
url = "http://127.0.0.1:8000/" + "5f" * 16
generated = {{"code": "7k2h9m", "fileURL": url, "kind": "plain", "prompt": "Type the characters.", "id": "5f" * 16,
              "expires_at": "2030-01-01T12:10:00.123456Z"}}
challenged = generated | {{"audioURL": url + ".wav"}}
del challenged["code"]
verified = {{"success": True, "token": "Zq3v1mXo7Y0a9sLr5bWc2dKe8fTg4hUj6iNkPlQmRno", "reason": None}}
redeemed = {{"success": True, "challenge_ts": "2030-01-01T12:00:00Z", "hostname": "127.0.0.1", "error-codes": []}}
@app.get("/generate")
async def generate():
    return generated
@app.get("/challenge")
async def challenge():
    return challenged
@app.post("/verify")
async def verify(request: fastapi.Request):
    await request.body()
    return verified
@app.post("/siteverify")
async def siteverify(request: fastapi.Request):
    await request.body()
    return redeemed
@app.get("/{{file_id}}")
async def picture(file_id: str):
    return fastapi.Response(bytes({_PICTURE_BYTES}), media_type="image/png")
"""


_WORKED = [
    "uvicorn",
    "benchmarks.speed.worked:application",
    "--http",
    "server.protocol:BoundedProtocol",
    "--ws",
    "none",
]


class _Server(NamedTuple):
    name: str
    url: str
    settings: dict[str, str]
    asked: dict[str, Path | None]
    """files of what to ask each route for"""


def measure() -> list[Figure]:
    """Load our servers on both databases and a bare one in turn, with 32 and 256 connections; then during a refill."""
    if not has_wrk():
        return []
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        fsyncs = Figure("fsyncs of this disk, one after another", _fsyncs(folder), "fsyncs/s")
        server = stack.enter_context(postgresql(folder, "journey"))
        urls = {"SQLite": f"sqlite:///{folder}/pool.db", "PostgreSQL": server.replace("NAME", "journey")}
        ours = [stack.enter_context(_server(*named, folder)) for named in urls.items()]
        url, _ = stack.enter_context(running(bare_command(folder, _BARE), dict(os.environ)))
        servers = [*ours, _Server("bare FastAPI", url, {}, dict.fromkeys(ours[0].asked))]
        # First what asks for the pictures of the oldest captchas.
        figures = [figure for many in (32, 256) for figure in _whole_journeys(servers, many)]
        figures += [figure for one in ours for figure in _during_a_refill(one)]
        figures += [_with_work(one) for one in ours]
        figures += [figure for many in (32, 256) for route in ours[0].asked for figure in _route(servers, route, many)]
        return [fsyncs, *figures]


def _fsyncs(folder: Path) -> float:
    with open(folder / "synced", "wb", buffering=0) as file:
        started = time.perf_counter()
        for done in count(1):
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
            if (seconds := time.perf_counter() - started) > 1:
                return done / seconds
    raise AssertionError


@contextmanager
def _server(name: str, database_url: str, folder: Path) -> Iterator[_Server]:
    """Run a server on a new pool that has captchas, open challenges and tokens."""
    files = folder / f"{name}-files"
    limits = {f"CAPTCHA_{action}_LIMIT": "1000000/second" for action in ("ISSUE", "ANSWER")}
    settings = os.environ | limits | {"CAPTCHA_DATABASE_URL": database_url, "CAPTCHA_FILES_DIR": str(files)}
    settings |= {"CAPTCHA_SITE_SECRET": _SECRET, "CAPTCHA_TARGET": "0", "CAPTCHA_LOW_WATER": "0"}
    settings["CAPTCHA_PIXEL_RATIO"] = "1"  # both routes share the captchas below
    migrate(settings)
    engine = database.connect(database_url)
    insert_ready(engine, _READY)
    now, store = datetime.now(UTC), FileStore(files)
    later = {"expires_at": now + timedelta(hours=1)}
    open_challenge = {"code": "abc234", "state": State.ISSUED, "redeemable": True, "created_at": now, "issued_at": now}
    challenges = [{"id": new_id()} | open_challenge | later for _ in range(_ASKED)]
    tokens = [f"token-{number}" for number in range(_ASKED)]
    digests = [sha256(text.encode()).hexdigest() for text in tokens]
    with database.transaction(engine) as connection:
        oldest = select(captcha.c.id).where(captcha.c.state == State.READY).order_by(captcha.c.created_at)
        drawn = list(connection.scalars(oldest.limit(_DRAWN)))
        connection.execute(insert(captcha), challenges)
        connection.execute(
            insert(token), [{"digest": one, "hostname": "", "solved_at": now} | later for one in digests]
        )
    engine.dispose()
    for file_id in drawn:
        store.write(file_id, bytes(_PICTURE_BYTES))
    with running(["server"], settings) as (url, _):
        shown = [requests.get(f"{url}/challenge", timeout=10).json()["id"] for _ in range(100)]
        lines = {"picture": shown, "verify": [one["id"] for one in challenges], "siteverify": tokens}
        asked: dict[str, Path | None] = {"generate": None, "challenge": None}
        for route, of_route in lines.items():
            asked[route] = folder / f"{name}-{route}"
            (folder / f"{name}-{route}").write_text("\n".join(of_route))
        yield _Server(name, url, settings, asked)


def _route(servers: list[_Server], route: str, connections: int) -> list[Figure]:
    """Load one route of all servers in turn."""
    starts = count(0, _CHUNK)
    files = {server.name: server.asked[route] or servers[0].asked[route] for server in servers}

    def load(server: _Server) -> Load:
        asked = [files[server.name], next(starts) % _ASKED] if files[server.name] else []
        return read_wrk(run_wrk(server.url, connections, _SECONDS, _SCRIPT, route, *asked))

    return _compare(f"{route}, {connections} connections", servers, [partial(load, server) for server in servers])


def _compare(name: str, servers: list[_Server], loads: list[Callable[[], Load]]) -> list[Figure]:
    *ours, bare = medians_of(*loads, rounds=_ROUNDS)
    figures = []
    for server, load in zip(servers, ours, strict=False):
        figures.append(Figure(f"{name}, {server.name}", load.requests, "requests/s", servers[-1].name, bare.requests))
        figures.append(Figure(f"{name}, {server.name}, p99", load.p99, "ms", servers[-1].name, bare.p99))
    return figures


def _whole_journeys(servers: list[_Server], connections: int) -> list[Figure]:
    """Let visitors take two and four steps: the rate is that of requests."""
    figures = []
    for route in ("challenge+verify", "journey"):
        slowest: dict[str, list[float]] = {}

        def load(server: _Server, route: str = route, slowest: dict[str, list[float]] = slowest) -> Load:
            shown = run_wrk(server.url, connections, _SECONDS, _SCRIPT, route)
            for step, p99 in re.findall(r"step (\w+) p99 ([\d.]+) ms", shown):
                slowest.setdefault(f"{server.name}, {step}", []).append(float(p99))
            return read_wrk(shown)

        name = f"{route}, {connections} connections"
        figures += _compare(name, servers, [partial(load, server) for server in servers])
        figures += [Figure(f"{name}, {step}, p99", median(p99s), "ms") for step, p99s in slowest.items()]
    return figures


def _with_work(server: _Server) -> Figure:
    """Load a second server of the same pool, which asks for work; what the browsers do is not counted."""
    with running(_WORKED, server.settings | {"CAPTCHA_WORK": "light"}) as (url, _):
        loads = [partial(run_wrk, one, 32, _SECONDS, _SCRIPT, "journey") for one in (url, server.url)]
        working, usual = medians_of(*(lambda load=load: read_wrk(load()) for load in loads), rounds=_ROUNDS)
    name = f"journey with work, 32 connections, {server.name}"
    return Figure(name, working.requests, "requests/s", "no work", usual.requests)


def _during_a_refill(server: _Server) -> list[Figure]:
    def load() -> Load:
        return read_wrk(run_wrk(server.url, 32, _SECONDS, _SCRIPT, "journey"))

    def drawing() -> Load:
        with refilling(server.settings):
            return load()

    beside, alone = medians_of(drawing, load, rounds=_ROUNDS)
    name = f"journey during a refill, 32 connections, {server.name}"
    return [
        Figure(name, beside.requests, "requests/s", "no refill", alone.requests),
        Figure(f"{name}, p99", beside.p99, "ms", "no refill", alone.p99),
    ]

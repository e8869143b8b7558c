"""A full pool is upgraded while a server of the version before answers visitors: none of its requests fails."""

import subprocess
import sys
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
import requests
from sqlalchemy import text

from pool import database
from pool.models import REVISION
from pool.pool import Pool
from pool.storage.files import FileStore
from tests.conftest import (
    NO_LIMITS,
    PLAIN,
    ROOT,
    Server,
    answers,
    environment,
    run,
    running_server,
    wait_until,
)
from tests.support.crowd import Crowd
from tests.support.load import Load

# SQLite builds an index while others wait: with a million some find the buffer empty.
_ROWS = {"sqlite": 20_000, "postgresql": 1_000_000}
_READY = {
    "sqlite": "INSERT INTO captcha (id, code, kind, difficulty, state, created_at)"
    " WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :rows)"
    " SELECT lower(hex(randomblob(16))), 'abc234', 'plain', 'standard', 'ready',"
    " strftime('%Y-%m-%d %H:%M:%f000', 'now', '+' || n || ' seconds') FROM numbers",
    "postgresql": "INSERT INTO captcha (id, code, kind, difficulty, state, created_at)"
    " SELECT md5(n::text), 'abc234', 'plain', 'standard', 'ready', now() + n * interval '1 ms'"
    " FROM generate_series(1, :rows) AS n",
}


@pytest.fixture(params=sorted({"0009", REVISION}))
def older(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The code of the version before a revision."""
    folder = tmp_path / "older"
    subprocess.run(["git", "clone", "--quiet", "--no-checkout", ROOT, folder], check=True)
    log = ["git", "log", "--diff-filter=A", "--format=%H", "--", f"migrations/versions/{request.param}_*.py"]
    added = subprocess.check_output(log, cwd=folder, text=True).split()
    checkout = ["git", "checkout", "--quiet", *(f"{commit}^" for commit in added[-1:])]
    if not added or subprocess.run(checkout, cwd=folder, capture_output=True, check=False).returncode:
        pytest.skip(f"this clone has not the commit before revision {request.param}")
    return folder


class _Visitor(Crowd):
    """Solves one challenge after another."""

    def __init__(self, server: Server) -> None:
        super().__init__(1)
        self._url = server.url
        self.results: Counter[str] = Counter()
        self.longest = 0.0

    def work(self) -> None:
        while not self.stop.is_set():
            begun = time.monotonic()
            try:
                shown = requests.get(f"{self._url}/challenge", timeout=30)
                shown.raise_for_status()
                given = {"id": shown.json()["id"], "answer": "abc234"}
                answer = requests.post(f"{self._url}/verify", json=given, timeout=30)
                answer.raise_for_status()
                self.results["solved" if answer.json()["success"] else answer.text] += 1
            except requests.RequestException as error:
                self.results[str(error)] += 1
            self.longest = max(self.longest, time.monotonic() - begun)


def test_no_request_fails_while_the_schema_is_upgraded(
    older: Path, backend: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/pool.db"
    if backend == "postgresql":
        url = request.getfixturevalue("database_url")
        engine = database.connect(url)
        with database.transaction(engine) as connection:
            for statement in ("DROP SCHEMA public CASCADE", "CREATE SCHEMA public"):
                connection.execute(text(statement))
        engine.dispose()
    settings = {"DATABASE_URL": url, "FILES_DIR": tmp_path / "files", "TARGET": 0, "LOW_WATER": 0, "DOUBT": "false"}
    settings |= {"PIXEL_RATIO": 1, **NO_LIMITS}
    for command in (["alembic", "upgrade", "head"], ["batch.fill", "--count", "40"]):
        subprocess.run([sys.executable, "-m", *command], cwd=older, env=environment(settings), check=True)
    pool = Pool(database.connect(url, 300), FileStore(tmp_path / "files"), timedelta(minutes=10))
    with database.transaction(pool.engine) as connection:
        connection.execute(text("UPDATE captcha SET code = 'abc234'"))
        connection.execute(text(_READY[backend]), {"rows": _ROWS[backend]})
    with running_server(settings, workers=2, code=older) as server:
        wait_until(lambda: answers(server.url + "/readyz"), "the older server")
        with _Visitor(server) as visitor, Load(server) as load:
            time.sleep(2)
            upgraded = run("gantcha", "migrate", DATABASE_URL=url)
            time.sleep(5)
    assert upgraded.returncode == 0, upgraded.stderr
    assert set(visitor.results) == {"solved"}, visitor.results
    assert not load.lost
    assert Counter(answer.status_code for answer in load.answers) == {200: len(load.ids)}
    assert len(load.ids) == len(set(load.ids)) > 500
    longest = max(answer.elapsed.total_seconds() for answer in load.answers)
    print(f"{len(load.ids)} codes, the slowest after {longest:.2f} s; a visitor waited {visitor.longest:.2f} s at most")
    with running_server(settings) as newer:
        assert newer.get("/generate").ok
    assert 0 < pool.level(PLAIN) < _ROWS[backend]
    pool.engine.dispose()

"""A port that is taken is found before anything else has begun."""

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pool.pool import Pool
from pool.settings import Settings
from tests.conftest import PLAIN, only_line, refusal, run
from tests.support.documents import Reader


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


@pytest.mark.parametrize("workers", [1, 2])
def test_the_server_says_so_before_it_refills(sqlite_settings: dict[str, object], taken: int, workers: int) -> None:
    sqlite_settings |= {"TARGET": 40, "LOW_WATER": 20}
    line = only_line(run("server", "--port", taken, "--workers", workers, **sqlite_settings))
    assert line.startswith(f"error: can't listen on port {taken} of 127.0.0.1: ")
    assert "--port 8080" in line
    pool = Pool.open(Settings(database_url=str(sqlite_settings["DATABASE_URL"])))
    assert pool.level(PLAIN) == 0
    pool.engine.dispose()


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1"])
def test_an_address_of_no_use_is_told(host: str) -> None:
    assert f"of {host}: " in refusal("server", "--check", "--host", host)


def test_make_run_says_so_before_it_migrates(taken: int, tmp_path: Path) -> None:
    with Reader(tmp_path, {}, {}) as reader:
        command = ["make", "run", f"PORT={taken}", "FIRST_FILL=40"]
        finished = subprocess.run(command, cwd=reader.folder, env=reader.variables, capture_output=True, text=True)
        assert finished.stderr.startswith(f"error: can't listen on port {taken} of 127.0.0.1: ")
        assert "alembic" not in finished.stdout
        assert not (reader.folder / "var").exists()

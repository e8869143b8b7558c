"""The units of examples/systemd expose little, and what they take away the programs do without."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from pool import database
from pool.models import State
from pool.pool import Pool
from tests.conftest import PLAIN, ROOT, a_png, answers, drawn, environment, free_port, wait_until
from tests.support.load import ids_in_state
from tests.support.programs import needs

SERVER, REFILL = (ROOT / "examples" / "systemd" / f"{name}.service" for name in ("gantcha@", "gantcha-refill"))

pytestmark = needs("systemd-analyze")


@pytest.fixture
def backend() -> str:
    return "postgresql"


@pytest.mark.parametrize("unit", [SERVER, REFILL], ids=lambda unit: unit.stem)
def test_a_unit_exposes_little(unit: Path) -> None:
    """Of 10; the service that it was without what it takes away had 7.9."""
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=100", "--no-pager", unit]
    shown = subprocess.run(command, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    (exposure,) = re.findall(r"exposure level for \S+: ([\d.]+)", shown.stdout)
    assert float(exposure) < 3


@contextmanager
def confined(
    unit: Path, log: Path, settings: dict[str, object], *words: object, variables: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run one of our modules under what the unit takes away, to the end of the block."""
    command = [sys.executable, "-m", "tests.support.confined", str(unit), sys.executable, "-m", *map(str, words)]
    with (
        open(log, "wb") as file,
        subprocess.Popen(
            command, cwd=ROOT, env=environment(settings) | (variables or {}), stdout=file, stderr=file
        ) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()


@needs("espeak-ng")
def test_the_server_does_without_what_its_unit_takes_away(
    pool: Pool, settings: dict[str, object], tmp_path: Path
) -> None:
    """With PostgreSQL by its socket, files, several workers, and espeak-ng."""
    pool.add(drawn(20), PLAIN)
    port, log = free_port(), tmp_path / "log"
    url = f"http://127.0.0.1:{port}"
    with confined(SERVER, log, settings, "server", "--port", port, "--workers", 2):
        wait_until(lambda: answers(f"{url}/healthz"), "the server")
        challenge = requests.get(f"{url}/challenge", timeout=30).json()
        assert requests.get(challenge["fileURL"], timeout=30).content == a_png()
        sound = requests.get(challenge["audioURL"], timeout=60)
        assert (sound.status_code, sound.headers["content-type"].partition("/")[0]) == (200, "audio")
    assert '"level":"error"' not in log.read_text()


def test_the_refill_does_without_what_its_unit_takes_away(
    database_url: str, settings: dict[str, object], tmp_path: Path, s3_server: str
) -> None:
    """With processes that draw, PostgreSQL by its socket, and a bucket whose host has a name."""
    bucket = {
        "AWS_ENDPOINT_URL": s3_server.replace("127.0.0.1", "localhost"),
        "AWS_ACCESS_KEY_ID": "us",
        "AWS_SECRET_ACCESS_KEY": "no secret",
    }
    store = {"FILES_URL": "s3://captchas/production", "TARGET": 30, "LOW_WATER": 20}
    engine = database.connect(database_url)
    log = tmp_path / "log"
    with confined(REFILL, log, settings | store, "server.refill", variables=bucket) as refill:
        wait_until(lambda: len(ids_in_state(engine, State.READY)) == 30, "the refill")
        refill.terminate()
        assert refill.wait(timeout=60) == 0
    engine.dispose()
    assert '"level":"error"' not in log.read_text()

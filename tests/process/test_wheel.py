"""The package `gantcha`, installed from a wheel, beside programs whose modules have the names of its parts."""

import json
import re
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.conftest import ROOT, answers, environment, free_port, wait_until

_PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
_SERVICE = "gantcha/_service"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what pip installs, built and unpacked without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    built = [*_PIP, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT]
    subprocess.run(built, check=True, capture_output=True)
    (wheel,) = folder.glob("gantcha-*.whl")
    names = set(ZipFile(wheel).namelist())
    assert {re.sub(r"-.*\.", ".", name.partition("/")[0]) for name in names} == {"gantcha", "gantcha.dist-info"}
    parts = ("server/pages", "migrations", "checkpoints")
    needed = {path.relative_to(ROOT).as_posix() for part in parts for path in (ROOT / part).rglob("*.[!p]*")}
    assert {f"{_SERVICE}/{name}" for name in needed if "__pycache__" not in name} <= names
    subprocess.run([*_PIP, "install", "--no-deps", "--target", folder / "installed", wheel], check=True)
    return folder / "installed"


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """Somebody's program, none of whose modules is ours to import."""
    folder = tmp_path / "theirs"
    for name in ("batch.py", "pool.py", "server/__init__.py", "server/app.py", "migrations/env.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"raise SystemExit('{name} is theirs')\n")
    return folder


def _environment(installed: Path, **variables: str) -> dict[str, str]:
    return environment({}) | {"PYTHONPATH": str(installed)} | variables


def _run(installed: Path, folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    variables = _environment(installed)
    return subprocess.run(words, cwd=folder, env=variables, capture_output=True, text=True, timeout=120)  # type: ignore[arg-type] # as shown


def test_the_commands_run_beside_modules_of_their_names(installed: Path, theirs: Path) -> None:
    """By either way to call them."""
    program, module = [installed / "bin" / "gantcha"], [sys.executable, "-m", "gantcha"]
    for started, words, said in (
        (module, "migrate", ""),
        (program, "fill --count 5", "5 captchas added"),
        (module, "serve --check", ""),
        (program, "--help", "Draw captchas into the pool"),
    ):
        finished = _run(installed, theirs, *started, *words.split())
        assert finished.returncode == 0, finished.stderr
        assert said in finished.stdout
    assert "No such command" in _run(installed, theirs, *program, "feel").stderr


def test_two_workers_serve_and_refill(installed: Path, theirs: Path) -> None:
    port = free_port()
    variables = _environment(installed, CAPTCHA_TARGET="40", CAPTCHA_LOW_WATER="20", CAPTCHA_DOUBT="false")
    program = [installed / "bin" / "gantcha"]
    assert _run(installed, theirs, *program, "migrate").returncode == 0
    command = [*program, "serve", "--port", str(port), "--workers", "2"]
    with open(theirs / "log", "wb") as log:
        server = subprocess.Popen(command, cwd=theirs, env=variables, stdout=log, stderr=log)
    try:
        wait_until(lambda: server.poll() is not None or answers(f"http://127.0.0.1:{port}/readyz"), "a refill")
    finally:
        server.terminate()
        server.wait()
    assert json.loads((theirs / "log").read_text().splitlines()[0])
    assert "is theirs" not in (theirs / "log").read_text()


def test_the_library_is_imported_alone(installed: Path, theirs: Path) -> None:
    """Whatever the variables of the program are called."""
    code = f"""
import sys, gantcha
assert gantcha.__file__.startswith({str(installed)!r})
assert len(gantcha.draw("ab12", seed=1).png) > 1000
loaded = {{name.partition(".")[0] for name in sys.modules}}
assert not loaded & {{"batch", "pool", "server", "pydantic", "sqlalchemy", "fastapi", "typer"}}, loaded
"""
    variables = _environment(installed, CAPTCHA_SECRET_KEY="theirs", CAPTCHA_KINDS="theirs")
    subprocess.run([sys.executable, "-c", code], cwd=theirs, env=variables, check=True)


def test_a_server_of_ones_own_runs_the_application(installed: Path, theirs: Path, tmp_path: Path) -> None:
    """Beside foreign files; and a foreign module that is loaded already is told of."""
    code = "from gantcha.asgi import BoundedProtocol, application; print(application.title)"
    finished = _run(installed, tmp_path, sys.executable, "-c", code)
    assert finished.stdout.strip() == "Gantcha", finished.stderr
    assert _run(installed, theirs, sys.executable, "-c", code).stdout.strip() == "Gantcha"
    (theirs / "pool.py").write_text("")
    refused = _run(installed, theirs, sys.executable, "-c", f"import pool; {code}")
    assert "a module 'pool' of its own" in refused.stderr.splitlines()[-1]

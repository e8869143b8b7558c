"""The wheel: one name in site-packages, and all of it works in a folder that has our names for things of its own."""

import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.conftest import ROOT, answers, environment, free_port, only_line, wait_until

_FOREIGN = {"batch.py": "", "pool.py": "", "server/__init__.py": "", "migrations/env.py": "", "alembic.ini": ""}
_DRAW = """
import cv2
threads = cv2.getNumThreads()
import gantcha
from itertools import islice
assert gantcha.draw("ab12").picture.shape == (120, 200)
assert len(list(islice(gantcha.samples(seed=1), 3))) == 3
assert cv2.getNumThreads() == threads > 1
import sys
loaded = {name.partition(".")[0] for name in sys.modules}
assert not loaded & {"batch", "pool", "server", "pydantic", "sqlalchemy", "fastapi", "typer"}, loaded
print(gantcha.__file__)
"""
_SPAWN = """
import multiprocessing
from itertools import islice

def first(worker):
    import gantcha
    return [captcha.index for captcha in islice(gantcha.samples(seed=1, worker=worker, workers=2), 2)]

if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(2) as processes:
        print(processes.map(first, [0, 1]))
"""
_ENGINE = {"cv2", "flatbuffers", "gantcha", "google", "isal", "numpy", "onnxruntime", "packaging"}
"""Modules that `pip install gantcha` brings, with what they bring."""
_POSIX = ["fcntl", "grp", "posix", "pwd", "resource", "syslog", "termios"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    built = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT]
    subprocess.run(built, check=True, capture_output=True)
    (wheel,) = folder.glob("gantcha-*.whl")
    return wheel


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the wheel, and with the packages of this one."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    with ZipFile(wheel) as packed:
        packed.extractall(packages)
    (packages / "packages.pth").write_text(sysconfig.get_paths()["purelib"])
    return folder / "bin" / "python"


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A folder whose modules and migrations are not ours, and fail."""
    for name in _FOREIGN:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("raise RuntimeError('this is not yours')\n")
    return tmp_path


@pytest.fixture
def run_there(python: Path, theirs: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*words: object, **settings: object) -> subprocess.CompletedProcess[str]:
        variables = environment({"FOO": 1, "SECRET_KEY": "another program's"} | settings)
        command = [python, *map(str, words)]
        return subprocess.run(command, cwd=theirs, env=variables, capture_output=True, text=True, timeout=120)

    return run


def test_a_wheel_has_one_name_and_all_files(wheel: Path) -> None:
    names = ZipFile(wheel).namelist()
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"gantcha"}
    inside = {name.removeprefix("gantcha/_service/") for name in names}
    needed = [*(ROOT / "server" / "pages").rglob("*.*"), *(ROOT / "migrations").rglob("*.py")]
    needed += (ROOT / "checkpoints").glob("*.onnx")
    assert {path.relative_to(ROOT).as_posix() for path in needed} <= inside
    assert {"checkpoints/manifest.json", "gantcha/py.typed"} <= inside
    assert not any(
        name.startswith(("tests/", "benchmarks/")) or name.endswith((".pyc", ".png.part")) for name in inside
    )


def test_an_editable_installation_has_no_copy_of_the_service(tmp_path: Path) -> None:
    build = f"from hatchling.build import build_editable; build_editable({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=ROOT, check=True)
    (wheel,) = tmp_path.glob("gantcha-*.whl")
    assert not any("_service" in name for name in ZipFile(wheel).namelist())


def test_the_library_draws_beside_foreign_modules(run_there: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    drawn = run_there("-c", _DRAW, KINDS="theirs")
    assert drawn.returncode == 0, drawn.stderr
    assert "site-packages" in drawn.stdout


def test_spawned_workers_draw_too(run_there: Callable[..., subprocess.CompletedProcess[str]], theirs: Path) -> None:
    (theirs / "train.py").write_text(_SPAWN)
    spawned = run_there("train.py")
    assert (spawned.returncode, spawned.stdout) == (0, "[[0, 1], [125, 126]]\n"), spawned.stderr


def test_commands_work_beside_foreign_modules(
    run_there: Callable[..., subprocess.CompletedProcess[str]], theirs: Path
) -> None:
    for words, said in (
        (("migrate",), ""),
        (("fill", "--count", 130), "130 captchas added"),
        (("fill", "--count", 5, "--dataset", "set", "--jobs", 1), "5 drawn"),
        (("preview", "set"), "5 captchas of set"),
        (("status",), f"plain (standard){130:>21}"),
        (("sweep",), "0 expired captchas"),
        (("serve", "--check"), ""),
        (("--help",), "Draw captchas into the pool"),
        (("--version",), "gantcha 0."),
    ):
        finished = run_there("-m", "gantcha", *words)
        assert finished.returncode == 0, finished.stderr
        assert said in finished.stdout
    assert (theirs / "var" / "pool.db").exists()
    refused = run_there("-m", "gantcha", "feel")
    assert refused.returncode == 2 and "No such command 'feel'" in refused.stderr
    assert "CAPTCHA_FOO, CAPTCHA_SECRET_KEY" in run_there("-m", "gantcha", "fill", "--count", 1).stderr
    assert "did you mean CAPTCHA_API_KEY?" in only_line(run_there("-m", "gantcha", "status", API_KEYS=1))


@pytest.mark.parametrize(
    "words",
    [
        ("-m", "gantcha", "serve", "--workers", "2"),
        ("-m", "uvicorn", "gantcha.asgi:application", "--http", "gantcha.asgi:BoundedProtocol", "--ws", "none"),
    ],
)
def test_a_server_fills_and_serves_beside_foreign_modules(
    words: tuple[str, ...], python: Path, run_there: Callable[..., subprocess.CompletedProcess[str]], theirs: Path
) -> None:
    assert run_there("-m", "gantcha", "migrate").returncode == 0
    settings = {"LOW_WATER": 10, "TARGET": 20, "DOUBT": "false", "FOO": 1}
    port = free_port()
    with open(theirs / "log", "w") as log:
        command = [python, *words, "--port", str(port)]
        process = subprocess.Popen(command, cwd=theirs, env=environment(settings), stdout=log, stderr=log)
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/readyz"), "the first refill")
    finally:
        process.terminate()
        assert process.wait(timeout=30) in (0, -15), (theirs / "log").read_text()
    logged = (theirs / "log").read_text()
    assert "limits neither the size" not in logged and "Traceback" not in logged


def test_a_foreign_module_that_is_imported_already_is_named(
    run_there: Callable[..., subprocess.CompletedProcess[str]], theirs: Path
) -> None:
    (theirs / "server" / "__init__.py").write_text("")
    refused = run_there("-c", "import server; from gantcha.asgi import application")
    assert "this program has a module 'server' of its own" in refused.stderr.splitlines()[-1]


def test_the_engine_alone_draws_and_says_what_its_commands_need(
    run_there: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """With nothing but the packages of the engine, and without the modules that only POSIX has."""
    alone = f"""
import sys, importlib.metadata, os, multiprocessing, subprocess
for name in importlib.metadata.packages_distributions():
    if name not in {_ENGINE}:
        sys.modules[name] = None
sys.modules |= dict.fromkeys({_POSIX})
import gantcha
gantcha.draw("ab12")
sys.argv = ["gantcha", "fill"]
from gantcha.__main__ import main
main()
"""
    assert only_line(run_there("-c", alone)) == "error: the commands need typer: pip install 'gantcha[service]'"


@pytest.mark.parametrize(
    ("imported", "absent"),
    [
        ("gantcha.alphabet, gantcha.characters, gantcha.drawing.look", ["cv2", "onnxruntime", "isal", "tensorflow"]),
        ("server.__main__, server.app", ["cv2", "onnxruntime", "isal", "numpy", "tensorflow"]),
    ],
)
def test_what_needs_no_drawing_imports_none_of_it(imported: str, absent: list[str]) -> None:
    code = f"import sys, {imported}; print([name for name in {absent} if name in sys.modules])"
    finished = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert finished.stdout == "[]\n"

"""Our modules as programs: real processes, most of them forked from one that has imported what all of them need.

Importing takes a program longer than most tests let it run.
"""

import multiprocessing
import os
import runpy
import subprocess
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[2]
_LONGEST_SECONDS = 600
_FORKING = multiprocessing.get_context("forkserver")
_FORKING.set_forkserver_preload(
    [
        "alembic.config",
        "batch.datasets.request",
        "batch.fill.to_pool",
        "pool.counters",
        "server.app",
        "server.refill",
        "sqlalchemy.dialects.postgresql.psycopg",
        "uvicorn",
    ]
)


def environment(settings: dict[str, object]) -> dict[str, str]:
    return os.environ | {f"CAPTCHA_{name}": str(value) for name, value in settings.items()}


class Program:
    """What tests need of `subprocess.Popen`."""

    def __init__(self, process: BaseProcess) -> None:
        self._process, self.pid = process, process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0)
        return self._process.exitcode


def start(module: str, *words: object, output: Path, errors: Path | None = None, **settings: object) -> Program:
    """Start `python -m module words`, with these settings; it writes to the file, or its errors to another."""
    arguments = (module, list(map(str, words)), environment(settings), output, errors or output)
    process = _FORKING.Process(target=_become, args=arguments, name=module)
    process.start()
    return Program(process)


def run(*command: object, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run one of our modules to its end: `run("batch.fill", "--count", 3, DATABASE_URL=...)`."""
    module, *words = map(str, command)
    with TemporaryDirectory() as folder:
        output, errors = Path(folder) / "output", Path(folder) / "errors"
        program = start(module, *words, output=output, errors=errors, **settings)
        try:
            code = program.wait(_LONGEST_SECONDS)
        finally:
            program.kill()
        return subprocess.CompletedProcess([module, *words], code, output.read_text(), errors.read_text())


def _become(module: str, words: list[str], variables: dict[str, str], output: Path, errors: Path) -> None:
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(variables)
    for number, path in ((1, output), (2, errors)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    sys.argv = [module, *words]
    runpy.run_module(module, run_name="__main__", alter_sys=True)

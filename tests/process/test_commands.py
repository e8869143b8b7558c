"""Commands where less is installed than developers have: they show `--help`, and say in a line what is missing."""

import inspect
import os
import re
import subprocess
import sys
from functools import cache
from importlib import import_module, metadata
from pathlib import Path

import pytest

from pool.settings import foreign_variables, load_settings
from tests.conftest import ROOT, only_line, refusal

COMMANDS = [
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")
    for room in ("pool", "batch", "server", "benchmarks")
    for file in sorted((ROOT / room).rglob("*.py"))
    if "typer.run(" in file.read_text()
]
_BARE = """
import runpy, sys
sys.modules |= dict.fromkeys({absent})
sys.argv = {words}
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def _normal(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


@cache
def _absent() -> list[str]:
    """What would not be there, had only requirements-batch.txt been installed."""
    files = ("requirements.txt", "requirements-batch.txt")
    pinned = re.findall(r"^([\w.-]+)==", "".join((ROOT / file).read_text() for file in files), re.MULTILINE)
    installed = {_normal(name) for name in pinned}
    packages = metadata.packages_distributions()
    return [module for module, owners in packages.items() if not installed & {_normal(owner) for owner in owners}]


def _run_bare(*words: str) -> subprocess.CompletedProcess[str]:
    program = _BARE.format(absent=_absent(), words=list(words))
    return subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_needs_no_more_than_drawing(command: str) -> None:
    finished = _run_bare(command, "--help")
    assert (finished.returncode, finished.stderr) == (0, "")
    assert "Example" in finished.stdout


@pytest.mark.parametrize(
    "command",
    [
        "batch.train --data nowhere",
        "batch.evaluate --data nowhere",
        "batch.reference_set --out nowhere",
        "benchmarks.strength",
        "benchmarks.looks.readability",
        "benchmarks.looks.frontier",
    ],
)
def test_training_and_measuring_without_tensorflow_say_what_to_install(command: str) -> None:
    line = only_line(_run_bare(*command.split()))
    assert line.startswith("error: TensorFlow is missing")
    assert line.endswith("pip install -r requirements-train.txt")


@pytest.mark.parametrize("only", [[], ["--only", "serve"]])
def test_benchmarks_without_the_packages_of_developers_say_what_to_install(only: list[str]) -> None:
    line = only_line(_run_bare("benchmarks.speed", *only))
    assert re.fullmatch(r"error: \w+ is missing, and .*: pip install -r requirements-dev.txt", line)


def test_a_run_of_the_tests_ends_with_what_was_skipped_and_how_to_get_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/process/test_examples.py", "-k", "php"]
    finished = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"PATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert finished.returncode == 0, finished.stdout
    said, counts = finished.stdout.splitlines()[-2:]
    assert said == "Skipped tests: 1; `apt-get install php-cli` runs those that need a program"
    assert "1 skipped" in counts


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_writes_to_what_git_tracks_unless_asked(command: str) -> None:
    module = import_module(command if (ROOT / f"{command.replace('.', '/')}.py").exists() else f"{command}.__main__")
    defaults = {name: parameter.default for name, parameter in inspect.signature(module.main).parameters.items()}
    assert not defaults.get("record")
    for name in ("out", "sheet", "dataset"):
        place = defaults.get(name)
        if isinstance(place, Path):
            assert subprocess.run(["git", "check-ignore", "--quiet", place], cwd=ROOT).returncode == 0, place


def test_a_name_that_is_near_a_setting_s_is_refused_and_others_are_let_be(monkeypatch: pytest.MonkeyPatch) -> None:
    line = refusal("pool.status", API_KEYS=1)
    assert line == "error: CAPTCHA_API_KEYS is not a setting: did you mean CAPTCHA_API_KEY?"
    for name in ("FOO", "PORT"):
        monkeypatch.setenv(f"CAPTCHA_{name}", "1")
    assert foreign_variables() == ["CAPTCHA_FOO", "CAPTCHA_PORT"]
    load_settings()

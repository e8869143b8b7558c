"""Commands where less is installed than developers have: they show `--help`, and say in a line what is missing."""

import inspect
import json
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
    if "\n    run(main)\n" in file.read_text()
]
_WITHOUT_TENSORFLOW = [
    "batch.train --data nowhere",
    "batch.evaluate --data nowhere",
    "batch.reference_set --out nowhere",
    "benchmarks.strength",
    "benchmarks.strength.sound",
    "benchmarks.looks.readability",
    "benchmarks.looks.frontier",
]
_WITHOUT_PACKAGES_OF_DEVELOPERS = ["benchmarks.speed", "benchmarks.speed --only serve"]
_BARE = """
import json, os, runpy, sys
sys.modules |= dict.fromkeys({absent})
import typer, pool.settings
codes = []
for number, words in enumerate({commands}):
    if not os.fork():
        for stream in (1, 2):
            os.dup2(os.open(f"{folder}/{{number}}.{{stream}}", os.O_WRONLY | os.O_CREAT), stream)
        sys.argv = words
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        sys.exit()
    codes.append(os.waitstatus_to_exitcode(os.wait()[1]))
print(json.dumps(codes))
"""
"""Runs commands, each in a process of its own that has imported what all of them need."""


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


Bare = dict[str, subprocess.CompletedProcess[str]]
"""What each command line came to."""


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Bare:
    """Run all the commands of this file."""
    folder = tmp_path_factory.mktemp("bare")
    lines = [f"{command} --help" for command in COMMANDS] + _WITHOUT_TENSORFLOW + _WITHOUT_PACKAGES_OF_DEVELOPERS
    commands = [line.split() for line in lines]
    program = _BARE.format(absent=_absent(), commands=commands, folder=folder)
    codes = json.loads(subprocess.check_output([sys.executable, "-c", program], cwd=ROOT, timeout=600))
    said = ([(folder / f"{number}.{stream}").read_text() for stream in (1, 2)] for number in range(len(lines)))
    finished = map(subprocess.CompletedProcess, commands, codes, *zip(*said, strict=True))
    return dict(zip(lines, finished, strict=True))


@pytest.mark.parametrize("command", COMMANDS)
def test_help_needs_no_more_than_drawing(command: str, bare: Bare) -> None:
    finished = bare[f"{command} --help"]
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout.startswith(f"Usage: python -m {command} ")


@pytest.mark.parametrize("command", _WITHOUT_TENSORFLOW)
def test_training_and_measuring_without_tensorflow_say_what_to_install(command: str, bare: Bare) -> None:
    line = only_line(bare[command])
    assert line.startswith("error: TensorFlow is missing")
    assert line.endswith("pip install -r requirements-train.txt")


@pytest.mark.parametrize("command", _WITHOUT_PACKAGES_OF_DEVELOPERS)
def test_benchmarks_without_the_packages_of_developers_say_what_to_install(command: str, bare: Bare) -> None:
    line = only_line(bare[command])
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

"""The rooms import one way, only training and measuring load TensorFlow, and `make lint` has nothing to say."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.mark.parametrize("check", ["ruff format --check .", "ruff check .", "lint-imports --no-cache"])
def test_lint_has_nothing_to_say(check: str) -> None:
    program, *options = check.split()
    finished = subprocess.run(
        [Path(sys.executable).parent / program, *options], cwd=ROOT, capture_output=True, text=True
    )
    assert finished.returncode == 0, finished.stdout


def _passes(code: str) -> bool:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_the_server_needs_nothing_that_draws() -> None:
    absent = dict.fromkeys(("tensorflow", "keras", "batch", "cv2", "onnxruntime", "isal"))
    assert _passes(f"import sys; sys.modules |= {absent}; import server.app")


def test_the_alphabet_is_imported_without_what_draws() -> None:
    absent = dict.fromkeys(("cv2", "onnxruntime", "isal", "pydantic"))
    assert _passes(f"import sys; sys.modules |= {absent}; import gantcha.alphabet, gantcha.characters, gantcha.errors")

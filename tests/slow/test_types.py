"""`make lint` checks types too, which takes the longest of it."""

import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT


def test_mypy_has_nothing_to_say() -> None:
    finished = subprocess.run([Path(sys.executable).parent / "mypy"], cwd=ROOT, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stdout

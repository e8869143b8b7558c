"""The rooms import one way, and the serving side never loads TensorFlow."""

import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT


def test_import_contracts_hold() -> None:
    finished = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert finished.returncode == 0, finished.stdout


def test_the_server_runs_without_tensorflow_or_the_batch() -> None:
    absent = dict.fromkeys(("tensorflow", "keras", "batch"))
    code = f"import sys; sys.modules |= {absent}; import server.app"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0

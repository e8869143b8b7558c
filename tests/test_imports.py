"""The rooms import one way, and only training and measuring load TensorFlow."""

import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT, only_line


def test_import_contracts_hold() -> None:
    finished = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert finished.returncode == 0, finished.stdout


def test_the_server_runs_without_tensorflow_or_the_batch() -> None:
    absent = dict.fromkeys(("tensorflow", "keras", "batch"))
    code = f"import sys; sys.modules |= {absent}; import server.app"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_training_without_tensorflow_says_what_to_install() -> None:
    code = "import sys; sys.modules |= dict.fromkeys(('keras', 'tensorflow')); import batch.train"
    finished = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert only_line(finished).startswith("error: TensorFlow is missing")
    assert "pip install -r requirements-train.txt" in finished.stderr

"""The trainings of `examples/`, in small."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, run
from tests.support.documents import documented


def test_a_recogniser_is_trained_from_shards(tmp_path: Path) -> None:
    """A few captchas teach it nothing; what thousands teach it is in the documentation."""
    places: dict[str, object] = {"22000": 300}
    drawing = documented("docs/datasets.md", "--dataset easy")
    at = drawing.index("--dataset") + 1
    assert (
        run(
            *(places.get(word, word) for word in drawing[:at]), tmp_path / "set", *drawing[at + 1 :], "--length", "5-6"
        ).returncode
        == 0
    )
    module, dataset = documented("docs/datasets.md", "python -m examples.train_recogniser")
    assert dataset == "easy"
    command = [sys.executable, "-W", "ignore", "-m", module, tmp_path / "set", "--steps", "2"]
    command += ["--out", tmp_path / "solver.keras"]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    assert re.search(r"reads \d+\.\d% of \d+ unseen codes", finished.stdout)
    assert (tmp_path / "solver.keras").exists()


def test_a_reader_is_trained_in_pytorch_on_a_stream(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed (pip install torch)")
    options = ["--steps", "2", "--workers", "1", "--out", tmp_path / "reader.pt"]
    command = [sys.executable, "-m", "examples.train_ctc", *options]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    assert re.search(r"reader.pt reads \d+\.\d% of 512 unseen codes", finished.stdout)

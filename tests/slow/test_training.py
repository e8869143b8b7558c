"""A training of some classes from end to end: killed, resumed, refused."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from tests.conftest import ROOT, only_line, run, wait_until
from tests.support import emnist_files
from tests.support.documents import documented


def _train(data: Path, folder: Path, *options: object) -> tuple[str, ...]:
    places = {"path/to/emnist": data, "trained": folder / "out"}
    words = [places.get(word, word) for word in documented("docs/training.md", "python -m batch.train")]
    return tuple(
        map(
            str,
            (
                *words,
                "--pretraining-steps",
                4,
                "--refine-steps",
                4,
                "--legible-steps",
                4,
                "--classifier-steps",
                4,
                *options,
            ),
        )
    )


def test_a_killed_training_goes_on_where_it_was(tmp_path: Path) -> None:
    """Killed in both its classes; what is damaged meanwhile is mended."""
    data = emnist_files.write_letters(tmp_path / "letters", 64)
    out, steps = tmp_path / "out", ("--steps", 140, "--classes", "00-upper-a,01-lower-a", "--jobs", 2)
    pretraining, *states = (out / ".training" / f"{name}.npz" for name in ("pretraining", "00-upper-a", "01-lower-a"))
    command = [sys.executable, "-m", *_train(data, tmp_path, *steps)]
    silent = subprocess.DEVNULL
    with subprocess.Popen(command, cwd=ROOT, start_new_session=True, stdout=silent, stderr=silent) as process:
        try:
            wait_until(lambda: all(state.exists() for state in states), "the first saves", seconds=400)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    for state in states:
        with np.load(state) as saved:
            assert saved["step"] in (50, 100)
    pretrained = pretraining.stat().st_mtime_ns
    (out / "legibility-filter.onnx").write_bytes(b"")

    finished = run(*_train(data, tmp_path, "--resume", *steps))
    assert "2 classes trained" in finished.stdout, finished.stderr
    assert pretraining.stat().st_mtime_ns == pretrained
    assert not any(state.exists() for state in states)
    for journal in (pretraining, *states):  # of all steps, each once, though some were gone twice
        _, *rows = (line.split(",") for line in journal.with_suffix(".csv").read_text().splitlines())
        assert [int(row[0]) for row in rows] == (list(range(10, 141, 10)) if journal in states else [4])
        assert all(0 < float(loss) < 20 for row in rows for loss in row[1:])
        with Image.open(journal.with_suffix(".png")) as sheet:
            assert sheet.size == ((20 * 28, 3 * 28) if journal in states else (20 * 28, 28))
    assert "all classes together 4/4" in finished.stderr
    manifest = json.loads((out / "manifest.json").read_text())
    assert set(manifest["classes"]) == {"00-upper-a", "01-lower-a"}
    assert manifest["architecture"] == {"latent_size": 64, "style_count": 24, "wide": 32, "narrow": 16}
    assert manifest["data"]["sha256"]
    for entry in (*manifest["classes"].values(), manifest["legibility_filter"]):
        assert hashlib.sha256((out / entry["file"]).read_bytes()).hexdigest() == entry["sha256"]
    assert {(entry["steps"], entry["images"]) for entry in manifest["classes"].values()} == {(140, 58)}

    other = run(*_train(data, tmp_path, "--resume", "--seed", 2, *steps))
    assert "give --out another folder" in only_line(other)

"""The reference set: one command writes captchas of three difficulties, measures a baseline, and says so."""

import json
import tarfile
from pathlib import Path

import numpy as np

from batch.baseline import Baseline, downsample
from benchmarks.strength.untrained import rate
from tests.conftest import invoke, run
from tests.support.documents import documented


def test_the_solver_learns_to_read() -> None:
    """Codes of two characters told by the brightness of their place."""
    rng = np.random.default_rng(1)
    codes = ["".join(rng.choice(list("ab"), 4)) for _ in range(300)]
    pictures = np.array([np.repeat([255 * (c == "a") for c in code], 20) for code in codes])[:, None].repeat(40, 1)
    downsampled = downsample(pictures.astype(np.uint8))
    assert downsampled.shape == (300, 20, 40)
    solver, steps = Baseline("ba", seed=1), []
    solver.train(downsampled[:200], codes[:200], steps.append, 80)
    assert sum(steps) == 80
    assert rate(codes[200:], solver.solve(downsampled[200:])).characters > 0.85  # 0.5 is chance


def test_one_command_writes_and_measures_it(tmp_path: Path) -> None:
    place = tmp_path / "set"
    words = [
        place if word == "reference" else word
        for word in documented("docs/datasets.md", "python -m batch.reference_set")
    ]
    small = ("--count", 600, "--taught", 100, "--steps", 2, "--jobs", 1)
    finished = run(*words, *small)
    assert finished.returncode == 0, finished.stderr
    assert "30 val, 30 test: 600 drawn" in finished.stdout
    card = (place / "README.md").read_text()
    for difficulty in ("easy", "standard", "hard"):
        assert f"\n{difficulty}: " in finished.stdout
        assert f"\n| {difficulty} | " in card.partition("## A baseline")[2]
    with tarfile.open(next(place.glob("test-*.tar"))) as shard:
        names = shard.getnames()
    assert len([name for name in names if name.endswith(".masks.png")]) == len(names) / 3
    measures = json.loads((place / ".gantcha" / "measures.json").read_text())
    assert sum(row["captchas"] for row in measures["by_difficulty"].values()) == 30
    verified = invoke("batch.fill", "--dataset", place, "--verify")
    assert "600 captchas, all as they were written" in verified.stdout
    resumed = invoke("batch.fill", "--dataset", place, "--resume")
    assert resumed.exit_code == 0 and (place / "README.md").read_text() == card

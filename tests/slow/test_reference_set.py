"""The reference set: one command writes captchas of three difficulties, measures a baseline, and says so."""

import json
import tarfile
from pathlib import Path

from tests.conftest import invoke, run
from tests.support.documents import documented


def test_one_command_writes_and_measures_it(tmp_path: Path) -> None:
    place = tmp_path / "set"
    words = [
        place if word == "reference" else word
        for word in documented("docs/datasets.md", "python -m batch.reference_set")
    ]
    small = ("--count", 600, "--taught", 100, "--seconds", 2, "--jobs", 1)
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

"""`python -m batch.evaluate` reports the measures and records them."""

import json
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from gantcha.alphabet import BYMERGE
from gantcha.glyphs.checkpoints import Checkpoints
from gantcha.home import CHECKPOINTS
from tests.conftest import run
from tests.support import emnist_files
from tests.support.documents import documented

RNG = np.random.default_rng(1)


def test_evaluate_measures_glyphs_and_records_what_it_found(tmp_path: Path) -> None:
    measured = ("10-upper-a", "28-upper-s", "34-upper-y", "46-lower-t")
    for split, many, few in (("train", 200, 10), ("test", 60, 6)):
        counts = [many if c.name in measured else few for c in BYMERGE]
        labels = np.repeat(np.arange(47, dtype=np.uint8), counts)
        emnist_files.write(tmp_path, emnist_files.dots(labels, RNG), labels, split)
    checkpoints = shutil.copytree(CHECKPOINTS, tmp_path / "checkpoints")
    places: dict[str, object] = {"path/to/emnist": tmp_path, "trained": checkpoints}

    def typed(page: str, command: str, *options: object) -> list[object]:
        words = [places.get(word, word) for word in documented(page, command)]
        return [*words, *options, "--cache", tmp_path / "cache"]

    before = (checkpoints / "manifest.json").read_bytes()
    options = ("--classes", ",".join(measured), "--per-class", 200, "--repeats", 2, "--jobs", 1)
    finished = run(*typed("docs/training.md", "python -m batch.evaluate", *options))
    assert finished.returncode == 0, finished.stderr
    for row in ("46-lower-t", "in captchas, ratio to real", "real, filtered, ratio to real"):
        assert row in finished.stdout
    assert (checkpoints / "manifest.json").read_bytes() == before  # which says what is needed to draw, and no more
    recorded = json.loads((checkpoints / "evaluation.json").read_text())
    assert recorded["by_class"].keys() == set(measured)
    assert all("legibility_lookalikes" in row for row in recorded["by_class"].values())
    assert recorded["generators"] == Checkpoints(checkpoints).digest()
    for kind in ("in_captchas", "unfiltered"):
        found, errors = (recorded[key] for key in (kind, f"{kind}_errors"))
        assert 0 < found["legibility"] < 1
        assert found["two_sample"] > 0.9  # glyphs are not the dots of this data
        assert found["accuracy_score_to_real"] < 0.5  # and teach nothing about them
        assert found["worst_frechet_to_real"] > found["frechet_to_real"] > 1
        assert found["kernel"] > found["kernel_real"]
        assert 0 < errors["frechet"] < found["frechet"] / 2
    filtered, generated = (recorded[kind] for kind in ("real_filtered", "in_captchas"))
    # Real ones are dots, whichever of them are chosen.
    assert 0.5 < filtered["frechet_to_real"] < generated["frechet_to_real"] / 2
    assert filtered["recall_to_real"] > generated["recall_to_real"] + 0.2
    assert filtered["specks"] == 1  # which is what dots are
    with Image.open(checkpoints / "evaluation.png") as picture:
        assert picture.size == ((16 + 1 + 16) * 28 * 2, len(measured) * 28 * 2)
    assert len(list((tmp_path / "cache").glob("reference-classifier-*.weights.h5"))) == 1

"""Generators for an alphabet of one's own are trained on a folder of images."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from gantcha.alphabet import BYMERGE
from gantcha.glyphs.sampler import load_sampler
from gantcha.home import CHECKPOINTS
from gantcha.trained import drawn_characters
from tests.conftest import invoke, run
from tests.support.documents import documented

MEANT = {"N": "Й", "R": "я"}
"""The letters that take the place of EMNIST's symbols."""


def write_letters(folder: Path, count: int) -> None:
    """Write handwriting that the generators draw, renamed to Cyrillic letters, as ink on paper of any size."""
    labels = np.repeat(np.array([BYMERGE.symbols.index(symbol) for symbol in MEANT], np.uint8)[:, None], count, 1)
    glyphs = load_sampler(CHECKPOINTS).draw_legible(labels, np.random.default_rng(1))
    for symbol, images in zip(MEANT.values(), glyphs, strict=True):
        (folder / symbol).mkdir(parents=True)
        for number, image in enumerate(images):
            Image.fromarray(255 - image).resize((60 + number, 70)).save(folder / symbol / f"{number}.png")


def test_a_folder_of_letters_is_learnt_and_drawn(tmp_path: Path) -> None:
    """A step, which leaves noise."""
    write_letters(tmp_path / "data", 30)
    few = [word for name in ("pretraining-", "", "refine-", "classifier-") for word in (f"--{name}steps", 1)]
    places = {"letters": tmp_path / "data", "trained": tmp_path / "own"}
    words = [places.get(word, word) for word in documented("docs/own-alphabet.md", "python -m batch.train", "trained")]
    trained = run(*words, "--jobs", 1, *few)
    assert trained.returncode == 0, trained.stderr
    assert "own holds 2 of 2" in trained.stdout
    assert "% of the glyphs that these draw are legible" in trained.stdout
    assert trained.stderr.splitlines()[-1].startswith("warning: 0% of the glyphs of Й я are legible")
    manifest = json.loads((tmp_path / "own" / "manifest.json").read_bytes())
    assert manifest["symbols"] == "".join(sorted(MEANT.values()))
    assert {entry["images"] for entry in manifest["classes"].values()} == {27}
    assert len(manifest["training"]["copied"]) == len(MEANT)  # few images: all are copied with changes
    assert drawn_characters(tmp_path / "own") == "йя"
    words = ("--count", 3, "--dataset", tmp_path / "set", "--jobs", 1)
    filled = invoke("batch.fill", *words, CHECKPOINTS_DIR=tmp_path / "own")
    assert filled.exit_code == 0 and "train longer" in filled.stderr


def test_a_short_trial_draws_something_legible(tmp_path: Path) -> None:
    """Two minutes of one core: more than noise, of which hardly any glyph is legible."""
    write_letters(tmp_path / "data", 120)
    places = {"letters": tmp_path / "data", "trial": tmp_path / "own"}
    words = [places.get(word, word) for word in documented("docs/own-alphabet.md", "python -m batch.train", "trial")]
    trained = run(*words, "--jobs", 1)
    assert trained.returncode == 0, trained.stderr
    manifest = json.loads((tmp_path / "own" / "manifest.json").read_bytes())
    assert max(entry["legible"] for entry in manifest["classes"].values()) > 0.1

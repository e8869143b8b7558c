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


def test_a_folder_of_letters_is_learnt_and_drawn(tmp_path: Path) -> None:
    """A step on handwriting renamed to Cyrillic letters: ink on paper of any size."""
    labels = np.repeat(np.array([BYMERGE.symbols.index(symbol) for symbol in MEANT], np.uint8)[:, None], 30, 1)
    glyphs = load_sampler(CHECKPOINTS).draw_legible(labels, np.random.default_rng(1))
    for symbol, images in zip(MEANT.values(), glyphs, strict=True):
        (tmp_path / "data" / symbol).mkdir(parents=True)
        for number, image in enumerate(images):
            page = Image.fromarray(255 - image).resize((60 + number, 70))
            page.save(tmp_path / "data" / symbol / f"{number}.png")
    few = [
        word for name in ("pretraining-", "", "refine-", "legible-", "classifier-") for word in (f"--{name}steps", 1)
    ]
    places = {"letters": tmp_path / "data", "trained": tmp_path / "own"}
    words = [places.get(word, word) for word in documented("docs/own-alphabet.md", "python -m batch.train")]
    trained = run(*words, "--jobs", 1, *few)
    assert trained.returncode == 0, trained.stderr
    assert "own holds 2 of 2" in trained.stdout
    manifest = json.loads((tmp_path / "own" / "manifest.json").read_bytes())
    assert manifest["symbols"] == "".join(sorted(MEANT.values()))
    assert {entry["images"] for entry in manifest["classes"].values()} == {27}
    assert len(manifest["training"]["copied"]) == len(MEANT)  # few images: all are copied with changes
    assert drawn_characters(tmp_path / "own") == "йя"
    words = ("--count", 3, "--dataset", tmp_path / "set", "--jobs", 1)
    assert invoke("batch.fill", *words, CHECKPOINTS_DIR=tmp_path / "own").exit_code == 0

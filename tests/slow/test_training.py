"""A training of some classes from end to end: killed, resumed, refused."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from batch.training.export import generator_to_onnx
from batch.training.tensorflow import tf
from gantcha.glyphs.network import Network
from tests.conftest import ROOT, only_line, run, wait_until
from tests.support import emnist_files
from tests.support.documents import documented
from tests.training.test_training import small_gan


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


def _draw(
    fused: dict[str, tf.Tensor], latent: npt.NDArray[np.float32], styles: npt.NDArray[np.int64]
) -> npt.NDArray[np.uint8]:
    return Network(generator_to_onnx(fused)).run(latent=latent, style=styles.astype(np.int64))


def test_training_makes_reals_and_fakes_alike() -> None:
    """After 150 steps the mean image of the fakes is nearer to that of the reals than at the start.

    Steps so few are drawn from too: the average over them holds next to nothing of the start.
    """
    gan = small_gan(150)
    real = gan._sets[0].images.astype(float).mean(0)

    def distance() -> float:
        rng = np.random.default_rng(3)
        latent, styles = rng.standard_normal((500, 64), np.float32), rng.choice(gan._sets[0].styles, 500)
        return float(np.abs(_draw(gan.fused_generator(), latent, styles).astype(float).mean(0) - real).mean())

    before = distance()
    for _ in range(150):
        gan.train_step()
    assert distance() < before / 4


def test_a_training_resumed_ends_where_an_unbroken_one_does(tmp_path: Path) -> None:
    unbroken = small_gan()
    for _ in range(6):
        unbroken.train_step()
    stopped = small_gan()
    for _ in range(3):
        stopped.train_step()
    stopped.save(tmp_path / "state.npz", "recipe")
    resumed = small_gan()
    resumed.restore(tmp_path / "state.npz", "recipe")
    assert resumed.step == 3
    for _ in range(3):
        resumed.train_step()
    for one, other in zip(unbroken.fused_generator().values(), resumed.fused_generator().values(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)

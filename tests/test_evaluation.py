"""The measures tell like from unlike, and the command reports them."""

import json
import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from batch.alphabet import BYMERGE
from batch.evaluation.accuracy_score import accuracy_by_class
from batch.evaluation.latent_scale import widest
from batch.evaluation.metrics import (
    confusions,
    density_and_coverage,
    frechet_distance,
    kernel_distance,
    nearest_distances,
    precision_and_recall,
)
from batch.evaluation.two_sample import TwoSampleTest
from batch.glyphs.specks import specks
from batch.images.labelled import LabelledImages
from pool.settings import DEFAULT_CHECKPOINTS_DIR
from tests import emnist_files
from tests.conftest import invoke, run
from tests.documents import documented

RNG = np.random.default_rng(1)


def test_frechet_distance_of_known_gaussians() -> None:
    one = RNG.standard_normal((20_000, 4)).astype(np.float32)
    other = (2 * RNG.standard_normal((20_000, 4)) + 3).astype(np.float32)
    # Means 3 apart in each of four dimensions, standard deviations 1 and 2.
    assert frechet_distance(one, other) == pytest.approx(4 * (9 + 1), rel=0.03)
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-6)


def test_precision_and_recall_of_known_sets() -> None:
    wide = RNG.uniform(0, 2, (800, 2)).astype(np.float32)
    narrow = RNG.uniform(0, 1, (800, 2)).astype(np.float32)
    precision, recall = precision_and_recall(real=wide, fake=narrow)
    assert precision > 0.95
    assert recall == pytest.approx(0.25, abs=0.06)
    assert precision_and_recall(real=wide, fake=wide + 10) == (0, 0)


def test_density_and_coverage_of_known_sets() -> None:
    wide = RNG.uniform(0, 2, (800, 2)).astype(np.float32)
    narrow = RNG.uniform(0, 1, (800, 2)).astype(np.float32)
    same = RNG.uniform(0, 2, (800, 2)).astype(np.float32)
    assert density_and_coverage(real=wide, fake=same) == pytest.approx((1, 1), abs=0.07)
    density, coverage = density_and_coverage(real=wide, fake=narrow)
    assert density == pytest.approx(1, abs=0.2)  # fakes lie where reals do
    assert coverage == pytest.approx(0.25, abs=0.06)  # but not everywhere
    # An outlier among the reals makes no fakes precise.
    outlier = np.concatenate([wide, [[30, 30]]]).astype(np.float32)
    assert density_and_coverage(real=outlier, fake=wide + 10)[0] < 0.3
    assert precision_and_recall(real=outlier, fake=wide + 10)[0] == 1


def test_kernel_distance_of_known_sets() -> None:
    one, same = (RNG.standard_normal((1000, 4)).astype(np.float32) for _ in range(2))
    assert kernel_distance(one, same) == pytest.approx(0, abs=0.05)
    # For two points a and b it is k(a, a) + k(b, b) - 2 k(a, b), k(x, y) = (x.y / 4 + 1)^3.
    zeros, twos = np.zeros((5, 4), np.float32), np.full((5, 4), 2, np.float32)
    assert kernel_distance(zeros, twos) == pytest.approx(1 + 5**3 - 2 * 1)


def test_the_accuracy_score_tells_what_teaches_from_what_does_not() -> None:
    labels = np.repeat(np.array([0, 6, 24, 42], np.uint8), 200)
    real, shuffled = (LabelledImages(_dots(labels), of, "") for of in (labels, RNG.permutation(labels)))
    assert np.mean(list(accuracy_by_class(real, real).values())) > 0.9
    assert np.mean(list(accuracy_by_class(shuffled, real).values())) < 0.5


def _dots(labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Draw a dot for each label, at a place of its class in a grid of seven by seven: `[N, 28, 28]`."""
    images = RNG.integers(60, size=(len(labels), 28, 28), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[4 + 3 * (label // 7) :][:3, 4 + 3 * (label % 7) :][:, :3] = 255
    return images


def test_nearest_distances_find_copies() -> None:
    images = emnist_files.strokes(30, RNG)
    among = np.concatenate([emnist_files.strokes(30, RNG), images[:1]])
    distances = nearest_distances(images, among)
    assert distances[0] == pytest.approx(0, abs=1e-2)
    assert (distances[1:] > 0.1).mean() > 0.8
    expected = np.sqrt(((images[5] / 255 - among / 255) ** 2).sum((1, 2))).min()
    assert distances[5] == pytest.approx(expected, abs=1e-2)


def test_specks_are_small_and_apart() -> None:
    images = np.zeros((5, 28, 28), np.uint8)
    images[:, 4:24, 12:15] = 255  # a stroke
    images[1, 6, 20:22] = 255
    images[2, 2:3, 14:16] = 255  # joined to the stroke at a corner of its end
    images[2, 3, 15] = 255
    images[3, 4:8, 20:24] = 255  # the dot of an i
    images[4, 6, 20:22] = 40  # hardly to be seen
    assert specks(images).tolist() == [False, True, False, False, False]
    assert not specks(np.zeros((1, 28, 28), np.uint8)).any()


def test_confusions_add_up_both_ways() -> None:
    truth, read = np.array([1, 1, 1, 1, 2, 2, 3]), np.array([1, 1, 1, 2, 1, 2, 3])
    assert confusions(truth, read) == {(1, 2): 0.25 + 0.5, (1, 3): 0, (2, 3): 0}


def test_the_two_sample_test_tells_unlike_sets_apart_and_like_ones_not() -> None:
    test = TwoSampleTest()
    strokes, same = emnist_files.strokes(240, RNG), emnist_files.strokes(240, RNG)
    noisy = np.clip(strokes.astype(int) + RNG.integers(0, 60, strokes.shape), 0, 255).astype(np.uint8)
    assert test.accuracy(strokes, noisy, RNG) > 0.95
    assert test.accuracy(strokes, same, RNG) == pytest.approx(0.5, abs=0.12)


def test_evaluate_measures_glyphs_and_records_what_it_found(tmp_path: Path) -> None:
    measured = ("10-upper-a", "28-upper-s", "34-upper-y", "46-lower-t")
    for split, many, few in (("train", 200, 10), ("test", 60, 6)):
        counts = [many if c.name in measured else few for c in BYMERGE]
        labels = np.repeat(np.arange(47, dtype=np.uint8), counts)
        emnist_files.write(tmp_path, _dots(labels), labels, split)
    checkpoints = shutil.copytree(DEFAULT_CHECKPOINTS_DIR, tmp_path / "checkpoints")
    places: dict[str, object] = {"path/to/emnist": tmp_path, "trained": checkpoints}

    def typed(page: str, command: str, *options: object) -> list[object]:
        words = [places.get(word, word) for word in documented(page, command)]
        return [*words, *options, "--cache", tmp_path / "cache"]

    spread = typed("docs/training.md", "python -m batch.spread", "--per-class", 20)
    before = (checkpoints / "manifest.json").read_bytes()
    told = invoke(*(word for word in spread if word != "--record"))
    assert told.exit_code == 0, told.stderr
    assert (checkpoints / "manifest.json").read_bytes() == before

    options = ("--classes", ",".join(measured), "--per-class", 200, "--repeats", 2, "--jobs", 1)
    finished = run(*typed("docs/training.md", "python -m batch.evaluate", *options))
    assert finished.returncode == 0, finished.stderr
    for row in ("46-lower-t", "in captchas, ratio to real", "real, filtered, ratio to real"):
        assert row in finished.stdout
    manifest = json.loads((checkpoints / "manifest.json").read_text())
    unlike = {name for name, entry in manifest["classes"].items() if entry != json.loads(before)["classes"][name]}
    assert unlike == set(measured)
    assert all("legibility_lookalikes" in manifest["classes"][name]["metrics"] for name in measured)
    for kind in ("in_captchas", "unfiltered"):
        found, errors = (manifest["evaluation"][key] for key in (kind, f"{kind}_errors"))
        assert 0 < found["legibility"] < 1
        assert found["two_sample"] > 0.9  # glyphs are not the dots of this data
        assert found["accuracy_score_to_real"] < 0.5  # and teach nothing about them
        assert found["worst_frechet_to_real"] > found["frechet_to_real"] > 1
        assert found["kernel"] > found["kernel_real"]
        assert 0 < errors["frechet"] < found["frechet"] / 2
    filtered, generated = (manifest["evaluation"][kind] for kind in ("real_filtered", "in_captchas"))
    # Real ones are dots, whichever of them are chosen.
    assert 0.5 < filtered["frechet_to_real"] < generated["frechet_to_real"] / 2
    assert filtered["recall_to_real"] > generated["recall_to_real"] + 0.2
    assert filtered["specks"] == 0
    with Image.open(checkpoints / "evaluation.png") as picture:
        assert picture.size == ((16 + 1 + 16) * 28 * 2, len(measured) * 28 * 2)
    assert len(list((tmp_path / "cache").glob("reference-classifier-*.weights.h5"))) == 1

    told = invoke(*spread)
    assert told.exit_code == 0, told.stderr
    chosen = json.loads((checkpoints / "manifest.json").read_text())
    assert "evaluation" not in chosen
    assert {entry["latent_scale"] for entry in chosen["classes"].values()} <= {1.0, 1.1, 1.2, 1.3, 1.4, 1.5}
    assert sum(line.count("-") for line in told.stdout.splitlines()) >= 47  # every class is named beside its scale


def test_the_widest_scale_that_costs_little_is_chosen() -> None:
    legible = [0.99] * 6
    assert widest([1.5, 1.1, 1.0, 1.1, 1.3, 2], legible) == 1.3
    assert widest([1.0, 1.1, 1.3, 1.6, 2, 3], legible) == 1.1
    assert widest([1.5, 1.1, 1.0, 1.1, 1.1, 1.1], [0.99, 0.98, 0.97, 0.95, 0.94, 0.9]) == 1.2
    assert widest([5, 4, 3, 2, 1, 0.5], [0.99, 0.9, 0.8, 0.7, 0.6, 0.5]) == 1.0

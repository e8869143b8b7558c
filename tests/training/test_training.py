"""Training on a few dozen images a class: not to draw well, but to save, resume and describe what it did."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from batch import captcha
from batch.evaluation.metrics import frechet_distance
from batch.training.export import fuse_batch_norm, generator_to_onnx
from batch.training.filter import filter_to_onnx, make_filter_model
from batch.training.gan import Gan, RecipeError, TrainingSet
from batch.training.networks import as_input
from batch.training.recipe import (
    Architecture,
    TrainingSettings,
    usual_classifier_steps,
    usual_pretraining_steps,
)
from batch.training.refine import FrechetLoss
from batch.training.styles import cluster_styles
from batch.training.tensorflow import tf
from gantcha.glyphs.checkpoints import Checkpoints
from gantcha.glyphs.network import Network
from gantcha.home import CHECKPOINTS
from tests.conftest import ROOT, invoke, refusal
from tests.support import emnist_files


def small_gan(steps: int = 6) -> Gan:
    images = emnist_files.strokes(80, np.random.default_rng(1))
    training_set = TrainingSet.of(images, Architecture.style_count, seed=1)
    return Gan([training_set], Architecture(), TrainingSettings(), steps=steps, rate=1e-3)


def test_a_state_of_another_recipe_is_refused(tmp_path: Path) -> None:
    gan = small_gan()
    gan.save(tmp_path / "state.npz", "this")
    with pytest.raises(RecipeError, match="other settings"):
        gan.restore(tmp_path / "state.npz", "that")
    (tmp_path / "state.npz").write_bytes(b"PK no zip")
    with pytest.raises(RecipeError, match="damaged"):
        gan.restore(tmp_path / "state.npz", "this")


def test_the_fused_generator_draws_what_the_trained_one_does() -> None:
    gan = small_gan()
    for _ in range(6):
        gan.train_step()
    rng = np.random.default_rng(2)
    latent, styles = rng.standard_normal((500, 64), np.float32), rng.integers(Architecture.style_count, size=500)
    trained = np.rint(np.asarray(gan.ema_generator([latent, styles]))[..., 0] * 127.5 + 127.5)
    fused = fuse_batch_norm(gan.ema_generator, tf.constant(latent), tf.constant(styles))
    assert np.abs(trained - _draw(fused, latent, styles)).max() <= 1


def _draw(
    fused: dict[str, tf.Tensor], latent: npt.NDArray[np.float32], styles: npt.NDArray[np.int64]
) -> npt.NDArray[np.uint8]:
    return Network(generator_to_onnx(fused)).run(latent=latent, style=styles.astype(np.int64))


def test_the_fused_filter_classifies_as_the_trained_one_does() -> None:
    rng = np.random.default_rng(1)
    model = make_filter_model(47)
    for weight in model.weights:  # no norm is to be an identity, and no bias nothing
        weight.assign(
            rng.uniform(0.1, 0.5, weight.shape) if "norm" in weight.path else rng.normal(0, 0.2, weight.shape)
        )
    glyphs = rng.integers(256, size=(150, 28, 28), dtype=np.uint8)
    trained = tf.nn.softmax(model(as_input(glyphs))).numpy()
    assert len(np.unique(trained.argmax(1))) > 5
    assert np.abs(trained - Network(filter_to_onnx(model)).run(glyphs=glyphs)).max() < 1e-4


def test_refining_brings_features_near_those_of_real_glyphs() -> None:
    """The slopes of the loss lead to the mean and the covariance of the real features, and vanish there."""
    rng = np.random.default_rng(1)
    real = (rng.standard_normal((4000, 6)) @ rng.normal(size=(6, 6)) + 3).astype(np.float32)
    counted = np.repeat([0, 1 / 4000], [500, 4000])  # the first do not pass the filter
    loss = FrechetLoss(np.concatenate([real[:500] + 9, real]), counted)
    points = rng.standard_normal((1200, 6)).astype(np.float32)
    shares = np.repeat(np.float32([1 / 1000, 0]), [1000, 200])  # the last do not pass it
    before, last = frechet_distance(real, points[:1000]), points[1000:].copy()
    slopes = []
    for _ in range(600):
        slopes.append(loss.slope(points, shares))
        points = points - np.float32(200) * slopes[-1]
    assert frechet_distance(real, points[:1000]) < before / 100
    assert np.abs(slopes[-1]).mean() < np.abs(slopes[0]).mean() / 10
    assert np.array_equal(points[1000:], last)


def test_features_that_do_not_vary_have_a_slope() -> None:
    loss = FrechetLoss(np.zeros((64, 8), np.float32), np.full(64, 1 / 64))
    assert np.isfinite(loss.slope(np.ones((96, 8), np.float32), np.full(96, 1 / 96, np.float32))).all()


def test_styles_are_told_apart() -> None:
    """Bars in two corners fall into two clusters."""
    images = np.zeros((40, 28, 28), np.uint8)
    images[:25, 4:20, 4:8] = 255
    images[25:, 20:24, 8:24] = 255
    assignment = cluster_styles(images, 2, seed=1)
    assert len(set(assignment[:25])) == len(set(assignment[25:])) == 1
    assert assignment[0] != assignment[-1]


def test_copies_of_scarce_images_differ_but_fill_the_same_box() -> None:
    images = emnist_files.strokes(40, np.random.default_rng(1))
    one = TrainingSet.of(images, 4, seed=1)
    many = one.with_copies(3, seed=1)
    assert len(many.images) == 4 * 40
    np.testing.assert_array_equal(many.styles.reshape(4, 40), [one.styles] * 4)
    np.testing.assert_array_equal(many.images[:40], images)
    copies = many.images[40:].reshape(3, 40, 28, 28)
    for copy in copies:
        assert np.abs(copy.astype(float) - images).mean((1, 2)).min() > 0.2
        for axis in (1, 2):
            np.testing.assert_allclose(_extents(copy, axis), _extents(images, axis), atol=1)
    assert (copies[0] != copies[1]).any((1, 2)).all()


def _extents(images: npt.NDArray[np.uint8], axis: int) -> list[tuple[int, int]]:
    inked = [np.flatnonzero(profile > 40) for profile in images.max(axis)]
    return [(places[0], places[-1]) for places in inked]


def test_fewer_classes_are_trained_for_fewer_steps() -> None:
    """All of EMNIST's as the generators that come with the project were."""
    shipped = Checkpoints(CHECKPOINTS).manifest()
    assert usual_pretraining_steps(47) == shipped["training"]["pretraining_steps"]
    assert usual_classifier_steps(47) == TrainingSettings.classifier_steps
    assert usual_pretraining_steps(3) < usual_pretraining_steps(47) / 4
    assert usual_classifier_steps(3) < usual_classifier_steps(47) / 3


def test_unknown_classes_and_unwritable_folders_are_said(tmp_path: Path) -> None:
    data = emnist_files.write_letters(tmp_path, 4)
    finished = invoke("batch.train", "--data", data, "--classes", "10-upper-z")
    assert finished.exit_code == 2
    assert "10-upper-z" in finished.stderr
    assert "can't write" in refusal("batch.train", "--data", data, "--out", "/proc/checkpoints")


def test_training_without_data_fails_with_one_line(tmp_path: Path) -> None:
    line = refusal("batch.train", "--data", tmp_path, "--out", tmp_path / "out")
    assert line.startswith("error: ") and "emnist-bymerge-train-images-idx3-ubyte.gz is missing" in line


def test_the_original_names_are_in_one_place() -> None:
    """Those of drawing need no TensorFlow."""
    names = "add_noise, concat_pics, generate_captcha, save_pic"
    code = f"import sys; from batch.captcha import {names}; assert 'keras' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
    for name in ("discriminator_loss", "generator_loss", "make_discriminator_model", "make_generator_model"):
        assert callable(getattr(captcha, name))

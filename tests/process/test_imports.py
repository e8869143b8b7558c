"""The rooms import one way, only training and measuring load TensorFlow, and `make lint` has nothing to say."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.mark.parametrize("check", ["ruff format --check .", "ruff check .", "lint-imports --no-cache"])
def test_lint_has_nothing_to_say(check: str) -> None:
    program, *options = check.split()
    finished = subprocess.run(
        [Path(sys.executable).parent / program, *options], cwd=ROOT, capture_output=True, text=True
    )
    assert finished.returncode == 0, finished.stdout


def _passes(code: str) -> bool:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_the_server_needs_nothing_that_draws() -> None:
    absent = dict.fromkeys(("tensorflow", "keras", "batch", "cv2", "onnxruntime", "isal"))
    assert _passes(f"import sys; sys.modules |= {absent}; from server.app import application")


def test_the_alphabet_is_imported_without_what_draws() -> None:
    absent = dict.fromkeys(("cv2", "onnxruntime", "isal", "pydantic"))
    assert _passes(f"import sys; sys.modules |= {absent}; import gantcha.alphabet, gantcha.characters, gantcha.errors")


def test_the_import_of_the_server_reads_no_settings_and_opens_no_pool(tmp_path: Path) -> None:
    code = "import server.app; from server.app import create_app; assert not hasattr(server.app, 'another')"
    of_bad_settings = os.environ | {"CAPTCHA_TARGET": "many", "PYTHONPATH": str(ROOT)}
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=of_bad_settings).returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_the_original_names_are_in_one_place() -> None:
    drawing = "add_noise, concat_pics, generate_captcha, save_pic"
    training = "discriminator_loss, generator_loss, make_discriminator_model, make_generator_model"
    code = f"import sys; from batch.captcha import {drawing}; assert 'keras' not in sys.modules"
    code += f"; from batch.captcha import {training}"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0

"""Attacks read what can be read, and the figures about them are right."""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageDraw, ImageFont

from batch.drawing.render import vary_weight
from batch.drawing.style import RenderStyle
from batch.drawing.text_lines import bend_lines, concat_pics
from batch.evaluation.attacks import rate
from batch.evaluation.characters import cut_out
from batch.evaluation.metrics import wilson_interval
from batch.evaluation.ocr import Pictures, read_with_ddddocr, read_with_tesseract
from batch.evaluation.solver import CnnSolver, downsample
from batch.glyphs.checkpoints import Checkpoints
from batch.glyphs.sampler import Sampler
from pool.settings import DEFAULT_CHECKPOINTS_DIR
from tests.conftest import only_line, run
from tests.documents import documented
from tests.programs import needs

ALPHABET = "23479acefhk"
CODES = ["".join(code) for code in np.random.default_rng(1).choice(list(ALPHABET), (20, 6))]


def _printed(codes: list[str]) -> Pictures:
    """Captchas that any reader should read: printed without distortion."""
    pages = [Image.new("L", (240, 80), 255) for _ in codes]
    for code, page in zip(codes, pages, strict=True):
        ImageDraw.Draw(page).text((20, 15), code, font=ImageFont.load_default(44), fill=0)
    return np.stack([np.asarray(page) for page in pages])


def test_wilson_interval_of_known_shares() -> None:
    # Newcombe 1998, table I: 81 of 263 and 0 of 20.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)
    assert wilson_interval(20, 20) == pytest.approx((0.8389, 1), abs=5e-5)


def test_rates_count_whole_codes_and_characters_in_their_place() -> None:
    found = rate(["ab3", "ab3", "ab3", "ab3"], ["AB3", "ab", "xb3x", ""])
    assert found.codes == 0.25
    assert found.characters == pytest.approx((3 + 2 + 2) / 12)


def test_ddddocr_reads_plain_print() -> None:
    assert rate(CODES, read_with_ddddocr(_printed(CODES))).characters > 0.8


@needs("tesseract")
@pytest.mark.parametrize("mode", ["line", "word"])
def test_tesseract_reads_plain_print(mode: str) -> None:
    assert rate(CODES, read_with_tesseract(_printed(CODES), mode, ALPHABET)).characters > 0.7


def test_the_solver_learns_to_read() -> None:
    """Codes of two characters told by the brightness of their place."""
    rng = np.random.default_rng(1)
    codes = ["".join(rng.choice(list("ab"), 4)) for _ in range(300)]
    pictures = np.array([np.repeat([255 * (c == "a") for c in code], 20) for code in codes])[:, None].repeat(40, 1)
    downsampled = downsample(pictures.astype(np.uint8))
    assert downsampled.shape == (300, 20, 40)
    solver, steps = CnnSolver("ba", seed=1), []
    solver.train(downsampled[:200], codes[:200], steps.append, 150)
    assert sum(steps) == 150
    assert rate(codes[200:], solver.solve(downsampled[200:])).characters > 0.85  # 0.5 is chance


@pytest.mark.parametrize("ratio", [1, 2])
def test_glyphs_are_cut_out_where_they_are(ratio: int) -> None:
    """Also out of lines that were bent and pressed together."""
    rng = np.random.default_rng(1)
    glyphs = Sampler(Checkpoints(DEFAULT_CHECKPOINTS_DIR)).draw(rng.integers(47, size=(10, 6), dtype=np.uint8), rng)
    style = RenderStyle(
        pixel_ratio=ratio,
        size=(0.9, 0.9),
        slant=0,
        enlargement=(2.0, 2.0),
        turn=0,
        shear=0,
        rise=4.0,
        gap=(4.0, 4.0),
        lightness=(0.4, 0.4),
    )
    lines = bend_lines(concat_pics(glyphs, rng, style), rng, style)
    cut = cut_out(lines, vary_weight(lines.strokes, rng, style), 1.8 * ratio)

    def centred(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        columns = [np.flatnonzero(image.max(0) > 96) for image in images]
        shifts = [14 - (inked[0] + inked[-1] + 1) // 2 for inked in columns]
        return np.stack([np.roll(image, shift, 1) for image, shift in zip(images, shifts, strict=True)]).astype(float)

    own, other = centred(glyphs.reshape(-1, 28, 28)), centred(cut.reshape(-1, 28, 28))
    distances = ((own[:, None] - other) ** 2).sum((2, 3))
    assert (distances.argmin(1) == np.arange(60)).mean() > 0.85


def test_strength_compares_both_kinds_and_writes_what_it_found(tmp_path: Path) -> None:
    words = ("--samples", 40, "--attacked", 10, "--steps", 3, "--difficulty", "easy", "--out", tmp_path)
    finished = run(*documented("docs/threat-model.md", "python -m batch.strength"), *words)
    assert finished.returncode == 0, finished.stderr
    assert "ddddocr" in finished.stdout and "cnn-40" in finished.stdout
    report = json.loads((tmp_path / "strength-easy.json").read_text())
    assert set(report["success"]) == {"gantcha", "captcha"}
    for row in report["success"].values():
        assert {"ddddocr", "cnn-4", "cnn-12", "cnn-40"} <= set(row)
        assert all(success["low"] <= success["codes"] <= success["high"] for success in row.values())
    with Image.open(tmp_path / "strength-easy.png") as plot:
        assert plot.width > 600
    assert "can't write to" in only_line(run("batch.strength", "--out", tmp_path / "nowhere"))


def test_readability_draws_a_sheet_with_answers_beside(tmp_path: Path) -> None:
    words = documented("docs/threat-model.md", "python -m batch.readability --sheet")
    finished = run(*words[:-1], tmp_path / words[-1])
    assert finished.returncode == 0, finished.stderr
    assert len(json.loads((tmp_path / "sheet.json").read_text())["answers"]) == 40
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (4 * 264, 10 * 104)

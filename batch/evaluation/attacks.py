"""Attacks on captchas, ours and those of the PyPI package `captcha`."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from rich.progress import Progress

from batch.drawing.captchas import draw_pictures
from batch.drawing.png import to_grey
from batch.drawing.style import RenderStyle
from batch.evaluation.metrics import wilson_interval
from batch.evaluation.ocr import Pictures, has_tesseract, read_with_ddddocr, read_with_tesseract
from batch.evaluation.solver import CnnSolver, downsample
from batch.glyphs.sampler import Sampler

_CHUNK = 500


class Success(NamedTuple):
    """The result of an attack."""

    codes: float
    """Share of codes read whole."""
    low: float
    high: float
    """95 % interval of `codes`."""
    characters: float
    """Share of characters read in their place."""


def rate(codes: Sequence[str], answers: Sequence[str]) -> Success:
    """Compare answers with codes, without case."""
    pairs = [(code, answer.lower()) for code, answer in zip(codes, answers, strict=True)]
    whole = sum(code == answer for code, answer in pairs)
    in_place = sum(one == other for pair in pairs for one, other in zip(*pair, strict=False))
    low, high = wilson_interval(whole, len(pairs))
    return Success(whole / len(pairs), low, high, in_place / sum(map(len, codes)))


def draw_ours(codes: list[str], sampler: Sampler, style: RenderStyle, report: Callable[[int], Any]) -> Pictures:
    """Draw our captchas for these codes: grey `[N, H, W]`."""
    rng, parts = np.random.default_rng(), []
    for start in range(0, len(codes), _CHUNK):
        parts.append(to_grey(draw_pictures(codes[start : start + _CHUNK], sampler, style, rng)))
        report(len(parts[-1]))
    return np.concatenate(parts)


def draw_theirs(codes: list[str], style: RenderStyle, report: Callable[[int], Any]) -> Pictures:
    """Draw the PyPI package's captchas for these codes, at our size: grey `[N, H, W]`."""
    from captcha.image import ImageCaptcha  # noqa: PLC0415 - only developers have it

    generator = ImageCaptcha(width=style.width(len(codes[0])), height=style.height)
    pictures = []
    for code in codes:
        pictures.append(np.asarray(generator.generate_image(code).convert("L")))
        report(1)
    return np.stack(pictures)


def attack(
    name: str,
    pictures: Pictures,
    codes: list[str],
    alphabet: str,
    samples: Sequence[int],
    attacked: int,
    steps: int,
    progress: Progress,
) -> dict[str, Success]:
    """Run all attacks on captchas of one kind: the first are attacked, the CNN solver learns from the rest."""
    victims, truth = pictures[:attacked], codes[:attacked]
    ocr: dict[str, Callable[[], list[str]]] = {"ddddocr": partial(read_with_ddddocr, victims)}
    if has_tesseract():
        for mode in ("line", "word"):
            ocr[f"tesseract-{mode}"] = partial(read_with_tesseract, victims, mode, alphabet)
    results = {}
    for program, read in ocr.items():
        task = progress.add_task(f"{name}: {program}", total=None)
        results[program] = rate(truth, read())
        progress.update(task, total=1, completed=1)
    downsampled = downsample(pictures)
    for count in samples:
        task = progress.add_task(f"{name}: CNN, {count} labelled", total=steps)
        solver, learnt = CnnSolver(alphabet, seed=1), slice(attacked, attacked + count)
        solver.train(downsampled[learnt], codes[learnt], partial(progress.advance, task), steps)
        results[f"cnn-{count}"] = rate(truth, solver.solve(downsampled[:attacked]))
    return results


def plot(file: BinaryIO, results: dict[str, dict[str, Success]], counts: Sequence[int]) -> None:
    """Draw success of the CNN against the number of labelled captchas."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - only developers have it

    figure = Figure((7, 4), layout="constrained")
    axes = figure.subplots()
    for name, row in results.items():
        found = [row[f"cnn-{count}"] for count in counts]
        middles = np.array([success.codes for success in found])
        reach = np.abs(np.array([(success.low, success.high) for success in found]).T - middles)
        axes.errorbar(counts, 100 * middles, 100 * reach, marker="o", capsize=3, label=name)
    axes.set(xscale="log", xlabel="labelled captchas to learn from", ylabel="codes read whole, %", ylim=(0, 100))
    axes.set_xticks(counts, [f"{count:,}" for count in counts])
    axes.legend()
    figure.savefig(file, format="png", dpi=120)

"""Attack captchas, ours and those of the PyPI package `captcha`: `python -m batch.strength`."""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any, BinaryIO, NamedTuple

import numpy as np
import typer
from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from batch.alphabet import draw_codes
from batch.attackers import Pictures, has_tesseract, read_with_ddddocr, read_with_tesseract, require_extras
from batch.captcha import choose_look
from batch.checkpoints import Checkpoints
from batch.drawing import draw_pictures
from batch.encode import to_grey
from batch.look import HEIGHT, PITCH
from batch.metrics import wilson_interval
from batch.progress import progress_bar
from batch.quiet_tensorflow import require_tensorflow
from batch.sample import writing
from batch.sampler import Sampler
from batch.solver import STEPS, Solver, as_attacked
from pool.errors import StorageError, one_line_errors
from pool.settings import Difficulty, Settings, load_settings

_CHUNK = 500
_TABLE_WIDTH = 120  # off a terminal


class Success(NamedTuple):
    """How well an attack did."""

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


def draw_ours(codes: list[str], settings: Settings, report: Callable[[int], Any]) -> Pictures:
    """Draw our captchas for these codes: grey `[N, H, W]`."""
    sampler, look, rng = Sampler(Checkpoints(settings.checkpoints_dir)), choose_look(settings), np.random.default_rng()
    parts = []
    for start in range(0, len(codes), _CHUNK):
        parts.append(to_grey(draw_pictures(codes[start : start + _CHUNK], sampler, look, rng)))
        report(len(parts[-1]))
    return np.concatenate(parts)


def draw_theirs(codes: list[str], report: Callable[[int], Any]) -> Pictures:
    """Draw the PyPI package's captchas for these codes, at our size: grey `[N, H, W]`."""
    from captcha.image import ImageCaptcha  # noqa: PLC0415 - only developers have it

    generator = ImageCaptcha(width=PITCH * len(codes[0]), height=HEIGHT)
    pictures = []
    for code in codes:
        pictures.append(np.asarray(generator.generate_image(code).convert("L")))
        report(1)
    return np.stack(pictures)


def _attack(
    name: str,
    pictures: Pictures,
    codes: list[str],
    alphabet: str,
    samples: Sequence[int],
    attacked: int,
    steps: int,
    progress: Progress,
) -> dict[str, Success]:
    """Run all attacks on captchas of one kind: the first are attacked, a solver may learn from the rest."""
    victims, truth = pictures[:attacked], codes[:attacked]
    readers: dict[str, Callable[[], list[str]]] = {"ddddocr": partial(read_with_ddddocr, victims)}
    if has_tesseract():
        for mode in ("line", "word"):
            readers[f"tesseract-{mode}"] = partial(read_with_tesseract, victims, mode, alphabet)
    results = {}
    for attacker, read in readers.items():
        task = progress.add_task(f"{name}: {attacker}", total=None)
        results[attacker] = rate(truth, read())
        progress.update(task, total=1, completed=1)
    shrunken = as_attacked(pictures)
    for count in samples:
        task = progress.add_task(f"{name}: CNN, {count} labelled", total=steps)
        solver, learnt = Solver(alphabet, seed=1), slice(attacked, attacked + count)
        solver.train(shrunken[learnt], codes[learnt], partial(progress.advance, task), steps)
        results[f"cnn-{count}"] = rate(truth, solver.solve(shrunken[:attacked]))
    return results


def main(
    difficulty: Annotated[Difficulty | None, typer.Option(help="Instead of CAPTCHA_DIFFICULTY.")] = None,
    samples: Annotated[int, typer.Option(min=10, help="Most labelled captchas that the CNN gets.")] = 10_000,
    attacked: Annotated[int, typer.Option(min=10, help="Captchas that each attacker has to read.")] = 1000,
    steps: Annotated[int, typer.Option(min=1, help="Budget of each CNN training, in steps.")] = STEPS,
    out: Annotated[Path | None, typer.Option(help="Write strength-<difficulty>.json and .png to this folder.")] = None,
) -> None:
    """Measure how many captchas machines read: ours, and beside them those of the PyPI package `captcha`.

    Attackers are Tesseract (when installed), the captcha solver ddddocr, and a CNN trained on a tenth, three tenths
    and all of the labelled captchas. Each reads captchas it has not seen.

    \b
    Examples:
        python -m batch.strength
        python -m batch.strength --difficulty hard --samples 3000
        python -m batch.strength --out docs
    """
    started = time.monotonic()
    with one_line_errors():
        require_tensorflow()
        require_extras()
        settings = load_settings(difficulty=difficulty, pixel_ratio=1)  # theirs know of no other ratio
        counts = sorted({samples // 10, samples * 3 // 10, samples})
        codes = draw_codes(attacked + samples, settings.alphabet, settings.length)
        if out and not os.access(out, os.W_OK):
            raise StorageError(f"can't write to {out}: give --out a folder that is there and writable")
        with progress_bar(TimeElapsedColumn(), TimeRemainingColumn()) as progress:
            task = progress.add_task("drawing", total=2 * len(codes))
            kinds = {
                "gantcha": draw_ours(codes, settings, partial(progress.advance, task)),
                "captcha": draw_theirs(codes, partial(progress.advance, task)),
            }
            results = {
                name: _attack(name, pictures, codes, settings.alphabet, counts, attacked, steps, progress)
                for name, pictures in kinds.items()
            }
        report = {
            "look": asdict(choose_look(settings)),
            "alphabet": settings.alphabet,
            "length": settings.length,
            "attacked": attacked,
            "cnn_steps": steps,
            "success": {
                name: {attacker: _rounded(success) for attacker, success in row.items()}
                for name, row in results.items()
            },
        }
        if out:
            with writing(out / f"strength-{settings.difficulty}.json") as file:
                file.write(json.dumps(report, indent=1).encode() + b"\n")
            with writing(out / f"strength-{settings.difficulty}.png") as file:
                _plot(file, results, counts)
    console = Console(width=None if sys.stdout.isatty() else _TABLE_WIDTH)
    console.print(_table(results, attacked))
    if not has_tesseract():
        console.print("Tesseract is not installed and was left out.")
    console.print(f"measured in {time.monotonic() - started:.0f} s")


def _rounded(success: Success) -> dict[str, float]:
    return {name: round(float(value), 4) for name, value in success._asdict().items()}


def _table(results: dict[str, dict[str, Success]], attacked: int) -> Table:
    table = Table("attack", title=f"codes read whole, of {attacked} (95 % interval); characters")
    for name in results:
        table.add_column(name, justify="right")
    for attack in next(iter(results.values())):
        cells = [
            f"{found.codes:.1%} ({found.low:.1%} - {found.high:.1%}); {found.characters:.1%}"
            for found in (row[attack] for row in results.values())
        ]
        table.add_row(attack, *cells)
    return table


def _plot(file: BinaryIO, results: dict[str, dict[str, Success]], counts: Sequence[int]) -> None:
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


if __name__ == "__main__":
    typer.run(main)

"""Attack captchas, ours and those of the PyPI package `captcha`: `python -m batch.strength`."""

import json
import os
import sys
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from batch.alphabet import draw_codes
from batch.drawing.style import choose_style
from batch.evaluation.ocr import has_tesseract, require_extras
from batch.glyphs.checkpoints import Checkpoints
from batch.glyphs.sampler import Sampler
from batch.progress import progress_bar
from batch.sheets import writing
from batch.training.packages import training_packages
from pool.errors import StorageError, one_line_errors
from pool.settings import Difficulty, Kind, load_settings

if TYPE_CHECKING:
    from batch.evaluation.attacks import Success

_TABLE_WIDTH = 120  # off a terminal


def main(
    kind: Annotated[Kind | None, typer.Option(help="Instead of CAPTCHA_KIND.")] = None,
    difficulty: Annotated[Difficulty | None, typer.Option(help="Instead of CAPTCHA_DIFFICULTY.")] = None,
    samples: Annotated[int, typer.Option(min=10, help="Labelled captchas to train the CNN with, at most.")] = 10_000,
    attacked: Annotated[int, typer.Option(min=10, help="Captchas that each attack has to read.")] = 1000,
    steps: Annotated[int, typer.Option(min=1, help="Steps of each CNN training.")] = 1000,
    out: Annotated[Path | None, typer.Option(help="Write strength-<difficulty>.json and .png to this folder.")] = None,
) -> None:
    """Measure how many captchas machines read: ours, and beside them those of the PyPI package `captcha`.

    The attacks are OCR by Tesseract (if installed) and by the captcha solver ddddocr, and a CNN solver trained on a
    tenth, three tenths and all of the labelled captchas. Each reads captchas it has not seen.

    \b
    Examples:
        python -m batch.strength
        python -m batch.strength --difficulty hard --samples 3000
        python -m batch.strength --out docs
    """
    started = time.monotonic()
    with one_line_errors():
        with training_packages():
            from batch.evaluation.attacks import attack, draw_ours, draw_theirs, plot
        require_extras()
        settings = load_settings(kind=kind, difficulty=difficulty, pixel_ratio=1)  # theirs have no other
        sampler, style = Sampler(Checkpoints(settings.checkpoints_dir)), choose_style(settings)
        counts = sorted({samples // 10, samples * 3 // 10, samples})
        codes = draw_codes(attacked + samples, settings.alphabet, settings.length)
        if out and not os.access(out, os.W_OK):
            raise StorageError(f"can't write to {out}: give --out a writable folder")
        with progress_bar(TimeElapsedColumn(), TimeRemainingColumn()) as progress:
            task = progress.add_task("drawing", total=2 * len(codes))
            kinds = {
                "gantcha": draw_ours(codes, sampler, style, partial(progress.advance, task)),
                "captcha": draw_theirs(codes, style, partial(progress.advance, task)),
            }
            results = {
                name: attack(name, pictures, codes, settings.alphabet, counts, attacked, steps, progress)
                for name, pictures in kinds.items()
            }
        report = {
            "style": asdict(style),
            "alphabet": settings.alphabet,
            "length": settings.length,
            "attacked": attacked,
            "cnn_steps": steps,
            "success": {
                name: {attack_name: _rounded(success) for attack_name, success in row.items()}
                for name, row in results.items()
            },
        }
        if out:
            with writing(out / f"strength-{settings.difficulty}.json") as file:
                file.write(json.dumps(report, indent=1).encode() + b"\n")
            with writing(out / f"strength-{settings.difficulty}.png") as file:
                plot(file, results, counts)
    console = Console(width=None if sys.stdout.isatty() else _TABLE_WIDTH)
    console.print(_table(results, attacked))
    if not has_tesseract():
        console.print("Tesseract is not installed and was left out.")
    console.print(f"measured in {time.monotonic() - started:.0f} s")


def _rounded(success: "Success") -> dict[str, float]:
    return {name: round(float(value), 4) for name, value in success._asdict().items()}


def _table(results: "dict[str, dict[str, Success]]", attacked: int) -> Table:
    table = Table("attack", title=f"codes read whole, of {attacked} (95 % interval); characters")
    for name in results:
        table.add_column(name, justify="right")
    for name in next(iter(results.values())):
        cells = [
            f"{found.codes:.1%} ({found.low:.1%} - {found.high:.1%}); {found.characters:.1%}"
            for found in (row[name] for row in results.values())
        ]
        table.add_row(name, *cells)
    return table


if __name__ == "__main__":
    typer.run(main)

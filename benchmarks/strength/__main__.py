"""Attack captchas, ours and those of two PyPI packages: `python -m benchmarks.strength`."""

import json
import os
import sys
import time
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import TimeElapsedColumn, TimeRemainingColumn

from batch.evaluation import CACHE_DIR
from batch.images.source import read_images_of
from batch.packages import training_packages
from batch.progress import progress_bar
from batch.sheets import writing
from benchmarks.strength.ocr import has_tesseract, require_extras
from gantcha.alphabet import draw_codes
from gantcha.captcha import Captcha, draw_captchas
from gantcha.characters import CHARACTERS
from gantcha.drawing.look import USUAL_DECOYS, Difficulty, Kind
from gantcha.errors import GantchaError, StorageError, one_line_errors
from gantcha.glyphs.checkpoints import Checkpoints
from gantcha.glyphs.sampler import Sampler
from gantcha.terminal import run
from pool.settings import load_settings

if TYPE_CHECKING:
    from benchmarks.strength.segmentation import Classify

_TABLE_WIDTH = 120  # off a terminal
_MINUTES = [5.0, 20.0]
_QUICK_ATTACKED, _QUICK_SAMPLES = 160, 300


def main(
    kind: Annotated[Kind | None, typer.Option(help="Instead of CAPTCHA_KIND.")] = None,
    difficulty: Annotated[Difficulty | None, typer.Option(help="Instead of CAPTCHA_DIFFICULTY.")] = None,
    pixel_ratio: Annotated[
        int, typer.Option(min=1, max=2, help="Density of our pictures: 2 as in challenges, 1 as in datasets.")
    ] = 2,
    samples: Annotated[int, typer.Option(min=10, help="Labelled captchas that the detector learns from.")] = 1000,
    attacked: Annotated[int, typer.Option(min=10, help="Captchas that each attack has to read.")] = 1000,
    minutes: Annotated[
        list[float] | None,
        typer.Option(min=0.01, help="Minutes of one core for a CRNN; by default 5 and 20."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer captchas and variants, and no CRNN.")] = False,
    peers: Annotated[bool, typer.Option(help="Attack the captchas of the two packages too.")] = True,
    attacks: Annotated[str, typer.Option(help="Only attacks whose names contain one of these words.")] = "",
    data: Annotated[
        Path | None, typer.Option(help="EMNIST folder: segments are also read by a larger network.")
    ] = None,
    cache: Annotated[Path, typer.Option(help="Folder that keeps the trained reference classifier.")] = CACHE_DIR,
    out: Annotated[
        Path | None, typer.Option(help="Write strength-<kind>-<difficulty>.json and .png to this folder.")
    ] = None,
) -> None:
    """Measure how many captchas machines read: ours, and beside them those of two PyPI packages.

    The packages are `captcha` and `wheezy.captcha`. The figure that counts is that of the best attack. Untrained are
    Tesseract (if installed), the captcha solver ddddocr and RapidOCR; `told` of the alphabet and the length, and with
    the pictures cleaned; and a classifier of handwriting that reads one segment after another. A detector learns from
    1,000 labelled captchas which segments count. The CRNN solver trains anew for each of the `--minutes`, on captchas
    that are drawn meanwhile, ours with the places of their characters. Each attack is chosen on some captchas and
    measured on others that it has not seen.

    At density 2 our pictures are read as they are and halved, and the stronger counts. The CRNN is made for density 1:
    it learns from halved pictures and reads halved ones, which is quicker too. Those of the packages have density 1.

    \b
    Examples:
        python -m benchmarks.strength --quick
        python -m benchmarks.strength --kind crossed-out --quick
        python -m benchmarks.strength --difficulty hard --attacks "told segments"
        python -m benchmarks.strength --pixel-ratio 1 --attacks segments --no-peers
        python -m benchmarks.strength --attacks crnn --minutes 5 --minutes 20 --minutes 60 --no-peers
        python -m benchmarks.strength --data emnist --out docs
    """
    started = time.monotonic()
    if quick:
        attacked, samples = min(attacked, _QUICK_ATTACKED), min(samples, _QUICK_SAMPLES)
    with one_line_errors():
        with training_packages():
            from batch.evaluation.judge import ReferenceClassifier
            from batch.training.tensorflow import use_one_thread
            from benchmarks.strength.report import as_json, as_table, best_attack, plot
            from benchmarks.strength.run import Budget, Target, run_attacks
            from benchmarks.strength.sources import PEERS, draw_ours
        require_extras()
        use_one_thread()  # budgets are minutes of one core
        settings = load_settings(kind=kind, difficulty=difficulty)
        if settings.characters != CHARACTERS:
            raise GantchaError("the attacks read 0-9 and a-z only: CAPTCHA_CHECKPOINTS_DIR has other characters")
        sampler, look = Sampler(Checkpoints(settings.checkpoints_dir)), replace(settings.look, pixel_ratio=pixel_ratio)
        alphabet, length = settings.alphabet, settings.length
        # In less a solver learns nothing, and a row of zeros would look like a result.
        budget = Budget([] if quick else sorted(set(minutes or _MINUTES)), quick)
        codes, lessons = (draw_codes(count, alphabet, length) for count in (attacked, samples))
        if out and not os.access(out, os.W_OK):
            raise StorageError(f"can't write to {out}: give --out a writable folder")

        classifiers: dict[str, Classify] = {"filter": lambda glyphs: sampler.filter.run(glyphs=glyphs)}
        ours = partial(draw_ours, sampler, look)
        pictures = ours(codes)
        size = look.height, look.width(length)  # of theirs, which have single density only

        def show(lessons: list[str]) -> list[Captcha]:
            return list(draw_captchas(lessons, sampler, look, np.random.default_rng(), labelled=True))

        targets = [
            Target("gantcha", codes, pictures, ours, USUAL_DECOYS * bool(look.decoys), show, pixel_ratio),
            *(Target(name, codes, draw(size, codes), partial(draw, size)) for name, draw in PEERS.items() if peers),
        ]
        with progress_bar(TimeElapsedColumn(), TimeRemainingColumn()) as progress:
            if data:
                bar = progress.add_task("reference classifier", total=1)
                train = read_images_of(sampler.classes, data, "train")
                judge = ReferenceClassifier.cached(train, cache, lambda share: progress.advance(bar, share))
                classifiers["reference"] = lambda glyphs: judge.judge(glyphs).probabilities
            results = {
                target.source: run_attacks(target, lessons, alphabet, classifiers, budget, attacks.split(), progress)
                for target in targets
            }
        if not results["gantcha"]:
            raise GantchaError(f"no attack's name contains any of {attacks!r}: leave out --attacks to see them all")
        report = {
            "look": asdict(look),
            "alphabet": alphabet,
            "length": length,
            "attacked": attacked,
            "success": {source: as_json(found) for source, found in results.items()},
        }
        name = f"strength-{settings.kind}-{settings.difficulty}"
        if out:
            with writing(out / f"{name}.json") as file:
                file.write(json.dumps(report, indent=1).encode() + b"\n")
            with writing(out / f"{name}.png") as file:
                plot(file, results, budget.minutes or _MINUTES)
    console = Console(width=None if sys.stdout.isatty() else _TABLE_WIDTH, highlight=False)
    console.print(best_attack(results["gantcha"]))
    console.print(as_table(results))
    if not has_tesseract():
        console.print("Tesseract is not installed and was left out.")
    console.print(f"measured in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    run(main)

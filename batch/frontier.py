"""Search for styles that people read and machines do not: `python -m batch.frontier`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from PIL import Image
from rich.progress import TimeRemainingColumn

from batch.alphabet import draw_codes
from batch.attacks.ocr import require_extras
from batch.drawing.captchas import Labelled, draw_labelled
from batch.drawing.style import USUAL_DECOYS, choose_style
from batch.evaluation import CACHE_DIR
from batch.glyphs.checkpoints import Checkpoints
from batch.glyphs.sampler import Sampler
from batch.packages import training_packages
from batch.progress import progress_bar
from batch.sheets import captcha_sheet, writing
from pool.errors import one_line_errors
from pool.settings import Difficulty, Kind, load_settings

_USUAL_BEST = "ddddocr-told", "rapidocr-told", "segments-filter"  # attacks
_SHOWN = 4  # captchas of each difficulty
_DIFFICULTIES: tuple[Difficulty, ...] = "easy", "standard", "hard"


def main(
    kind: Annotated[Kind | None, typer.Option(help="Instead of CAPTCHA_KIND.")] = None,
    styles: Annotated[int, typer.Option(min=0, help="Styles to try, besides those of the three difficulties.")] = 60,
    captchas: Annotated[int, typer.Option(min=20, help="Captchas of each style.")] = 300,
    cache: Annotated[Path, typer.Option(help="Folder that keeps the trained character reader.")] = CACHE_DIR,
    out: Annotated[
        Path | None, typer.Option(help="Write frontier-<kind>.json and .png, and looks-<kind>.png, to this folder.")
    ] = None,
) -> None:
    """Try random styles: what share of codes does the best attack read, and what share a stand-in for people?

    The first half of the styles is drawn at random, the other half varies those that nothing else beats. The attacks
    are the usual best of `batch.strength`, in few variants. Measure the style that you choose by `batch.strength`, and
    have people read it (`batch.readability --sheet`). A style takes some ten seconds.

    \b
    Examples:
        python -m batch.frontier
        python -m batch.frontier --kind crossed-out --styles 200 --out docs
    """
    with one_line_errors():
        with training_packages():
            from batch.attacks.frontier import Trial, is_unbeaten, plot, try_style
            from batch.attacks.untrained import untrained_attacks
            from batch.evaluation.random_styles import random_style, vary_style
            from batch.evaluation.reader import CharacterReader, decoded
        require_extras()
        settings = load_settings(kind=kind, pixel_ratio=1)
        checkpoints, alphabet, length = Checkpoints(settings.checkpoints_dir), settings.alphabet, settings.length
        sampler, rng = Sampler(checkpoints), np.random.default_rng()
        decoys = alphabet if settings.kind == "crossed-out" else ""
        with progress_bar(TimeRemainingColumn()) as progress:
            bar = progress.add_task("character reader", total=1)
            reader = CharacterReader.cached(
                checkpoints, alphabet, length, cache, lambda share: progress.advance(bar, share)
            )
            usual = untrained_attacks(
                alphabet,
                length,
                {"filter": lambda glyphs: sampler.filter.run(glyphs=glyphs)},
                USUAL_DECOYS * bool(decoys),
                few=True,
            )
            attacks = {name: variants() for name, variants in usual if name in _USUAL_BEST}
            bar = progress.add_task("styles", total=styles + len(_DIFFICULTIES))
            trials: list[Trial] = []
            shown: list[Labelled] = []
            for number in range(styles + len(_DIFFICULTIES)):
                name = str(number)
                if number < len(_DIFFICULTIES):
                    name = _DIFFICULTIES[number]
                    style = choose_style(settings.model_copy(update={"difficulty": name}))
                elif number < styles // 2:
                    style = random_style(decoys, rng)
                else:
                    parents = [trial.style for trial in trials if is_unbeaten(trial, trials)]
                    style = vary_style(parents[rng.integers(len(parents))], rng)
                codes = draw_codes(captchas, alphabet, length)
                drawn = draw_labelled(codes, sampler, style, rng)
                trials.append(try_style(name, style, codes, drawn, reader, attacks))
                if name in _DIFFICULTIES:
                    shown += drawn[:_SHOWN]
                progress.advance(bar)
                if out:
                    _save(out / f"frontier-{settings.kind}.json", trials)
        if out:
            with writing(out / f"frontier-{settings.kind}.png") as file:
                plot(file, trials)
            with writing(out / f"looks-{settings.kind}.png") as file:
                captions = [name for name in _DIFFICULTIES for _ in range(_SHOWN)]
                captcha_sheet([Image.fromarray(decoded(captcha)) for captcha in shown], captions).save(file, "PNG")
    for trial in sorted(trials, key=lambda trial: -trial.read):
        if is_unbeaten(trial, trials) or trial.name in _DIFFICULTIES:
            print(
                f"{trial.name}: {trial.read:.1%} of codes read by the stand-in, {trial.attacked:.1%} by {trial.attack}"
            )


def _save(path: Path, trials: list[Any]) -> None:
    with writing(path) as file:
        rows = [trial._asdict() | {"style": asdict(trial.style)} for trial in trials]
        file.write(json.dumps(rows, indent=1).encode() + b"\n")


if __name__ == "__main__":
    typer.run(main)

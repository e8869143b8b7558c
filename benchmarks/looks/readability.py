"""How well captchas can be read by those they are for: `python -m benchmarks.looks.readability`."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.progress import TimeRemainingColumn

from batch.evaluation import CACHE_DIR
from batch.packages import training_packages
from batch.progress import progress_bar
from batch.sheets import writing
from benchmarks.looks.page import write_page
from gantcha.alphabet import draw_codes
from gantcha.captcha import draw_captchas
from gantcha.drawing.look import Difficulty, Kind, Look
from gantcha.errors import one_line_errors
from gantcha.glyphs.checkpoints import Checkpoints
from gantcha.glyphs.sampler import Sampler
from gantcha.terminal import run
from pool.settings import load_settings

_READ = 1000
_PAIRS = 12
_ON_SHEET = 40


def main(
    sheet: Annotated[
        Path | None, typer.Option(help="Draw 40 captchas to this PNG instead; answers beside it as .json.")
    ] = None,
    kind: Annotated[Kind | None, typer.Option(help="Instead of CAPTCHA_KIND.")] = None,
    difficulty: Annotated[Difficulty | None, typer.Option(help="Instead of CAPTCHA_DIFFICULTY.")] = None,
    pixel_ratio: Annotated[
        int, typer.Option(min=1, max=2, help="Density of the pictures: 2 as in challenges, 1 as in datasets.")
    ] = 2,
    cache: Annotated[Path, typer.Option(help="Folder that keeps the trained character reader.")] = CACHE_DIR,
) -> None:
    """Measure how readable captchas are, by a stand-in for people, or draw a page for people to read.

    The stand-in is a network that is told where each character is. It learns from captchas of random looks first,
    which takes up to half an hour the first time. A page of density 2 has twice the pixels each way: show it at half
    its size on a dense screen, as pages with captchas do.

    \b
    Examples:
        python -m benchmarks.looks.readability --difficulty hard
        python -m benchmarks.looks.readability --kind crossed-out --sheet sheet.png
    """
    with one_line_errors():
        settings = load_settings(kind=kind, difficulty=difficulty)
        look, rng = replace(settings.look, pixel_ratio=pixel_ratio), np.random.default_rng()
        checkpoints, alphabet = Checkpoints(settings.checkpoints_dir), settings.alphabet
        if sheet:
            _draw_sheet(sheet, draw_codes(_ON_SHEET, alphabet, settings.length), Sampler(checkpoints), look, rng)
            return
        with training_packages():
            from batch.evaluation.metrics import confusions
            from benchmarks.looks.character_reader import CharacterReader
        with progress_bar(TimeRemainingColumn()) as progress:
            bar = progress.add_task("character reader", total=1)
            reader = CharacterReader.cached(
                checkpoints, alphabet, settings.length, pixel_ratio, cache, lambda share: progress.advance(bar, share)
            )
        codes = draw_codes(_READ, alphabet, settings.length)
        found = reader.read(list(draw_captchas(codes, Sampler(checkpoints), look, rng, labelled=True)))
        whole = f"{found.codes:.1%} of {_READ} codes, {found.characters:.1%} of their characters"
        print(f"{settings.kind} {settings.difficulty}: the character reader reads {whole}")
        worst = sorted(confusions(found.truth, found.read).items(), key=lambda pair: -pair[1])[:_PAIRS]
        confused = ", ".join(f"{chr(one)}{chr(other)} {share:.1%}" for (one, other), share in worst)
        print(f"most often confused, the shares of both directions added up: {confused}")


def _draw_sheet(sheet: Path, codes: list[str], sampler: Sampler, look: Look, rng: np.random.Generator) -> None:
    captchas = list(draw_captchas(codes, sampler, look, rng))
    write_page(sheet, captchas, [str(number + 1) for number in range(len(codes))])
    answers = sheet.with_suffix(".json")
    with writing(answers) as file:
        file.write(json.dumps({"answers": codes}, indent=1).encode() + b"\n")
    print(f"{sheet}: {len(codes)} captchas; their codes are in {answers}")


if __name__ == "__main__":
    run(main)

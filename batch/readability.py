"""How well captchas can be read by those they are for: `python -m batch.readability`."""

import json
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image
from rich.progress import TimeRemainingColumn

from batch.alphabet import draw_codes
from batch.drawing.captchas import draw_labelled, draw_pictures
from batch.drawing.png import to_grey
from batch.drawing.style import RenderStyle, choose_style
from batch.evaluation import CACHE_DIR
from batch.glyphs.checkpoints import Checkpoints
from batch.glyphs.sampler import Sampler
from batch.packages import training_packages
from batch.progress import progress_bar
from batch.sheets import captcha_sheet, writing
from pool.errors import one_line_errors
from pool.settings import Difficulty, Kind, load_settings

_READ = 1000
_PAIRS = 12
_ON_SHEET = 40


def main(
    sheet: Annotated[
        Path | None, typer.Option(help="Draw 40 captchas to this PNG instead; answers beside it as .json.")
    ] = None,
    kind: Annotated[Kind | None, typer.Option(help="Instead of CAPTCHA_KIND.")] = None,
    difficulty: Annotated[Difficulty | None, typer.Option(help="Instead of CAPTCHA_DIFFICULTY.")] = None,
    cache: Annotated[Path, typer.Option(help="Folder that keeps the trained character reader.")] = CACHE_DIR,
) -> None:
    """Measure how readable captchas are, by a stand-in for people, or draw a page for people to read.

    The stand-in is a network that is told where each character is. It learns from captchas of random styles first,
    which takes up to half an hour the first time.

    \b
    Examples:
        python -m batch.readability --difficulty hard
        python -m batch.readability --kind crossed-out --sheet sheet.png
    """
    with one_line_errors():
        settings = load_settings(kind=kind, difficulty=difficulty, pixel_ratio=1)
        style, rng = choose_style(settings), np.random.default_rng()
        checkpoints, alphabet = Checkpoints(settings.checkpoints_dir), settings.alphabet
        if sheet:
            _draw_sheet(sheet, draw_codes(_ON_SHEET, alphabet, settings.length), Sampler(checkpoints), style, rng)
            return
        with training_packages():
            from batch.evaluation.metrics import confusions
            from batch.evaluation.reader import CharacterReader
        with progress_bar(TimeRemainingColumn()) as progress:
            bar = progress.add_task("character reader", total=1)
            reader = CharacterReader.cached(
                checkpoints, alphabet, settings.length, cache, lambda share: progress.advance(bar, share)
            )
        codes = draw_codes(_READ, alphabet, settings.length)
        found = reader.read(draw_labelled(codes, Sampler(checkpoints), style, rng))
        whole = f"{found.codes:.1%} of {_READ} codes, {found.characters:.1%} of their characters"
        print(f"{settings.kind} {settings.difficulty}: the character reader reads {whole}")
        worst = sorted(confusions(found.truth, found.read).items(), key=lambda pair: -pair[1])[:_PAIRS]
        confused = ", ".join(f"{chr(one)}{chr(other)} {share:.1%}" for (one, other), share in worst)
        print(f"most often confused, the shares of both directions added up: {confused}")


def _draw_sheet(sheet: Path, codes: list[str], sampler: Sampler, style: RenderStyle, rng: np.random.Generator) -> None:
    with writing(sheet) as file:
        pictures = map(Image.fromarray, to_grey(draw_pictures(codes, sampler, style, rng)))
        captcha_sheet(list(pictures), [str(number + 1) for number in range(len(codes))]).save(file, "PNG")
    answers = sheet.with_suffix(".json")
    with writing(answers) as file:
        file.write(json.dumps({"answers": codes}, indent=1).encode() + b"\n")
    print(f"{sheet}: {len(codes)} captchas; their codes are in {answers}")


if __name__ == "__main__":
    typer.run(main)

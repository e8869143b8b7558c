"""How well captchas can be read by those they are for: `python -m batch.readability`."""

import json
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image
from rich.progress import TimeRemainingColumn

from batch.alphabet import draw_codes
from batch.drawing.captchas import draw_pictures
from batch.drawing.png import to_grey
from batch.drawing.style import choose_style
from batch.emnist import read_emnist
from batch.evaluation import CACHE_DIR
from batch.glyphs.checkpoints import Checkpoints
from batch.glyphs.sampler import Sampler
from batch.progress import progress_bar
from batch.sheets import captcha_sheet, writing
from batch.training.packages import training_packages
from pool.errors import one_line_errors
from pool.settings import Difficulty, Kind, load_settings

_READ = 1000
_PAIRS = 12
_ON_SHEET = 40


def main(
    data: Annotated[Path | None, typer.Option(help="EMNIST folder: measure with the reference classifier.")] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="Draw 40 captchas to this PNG; answers beside it as .json.")
    ] = None,
    kind: Annotated[Kind | None, typer.Option(help="Instead of CAPTCHA_KIND.")] = None,
    difficulty: Annotated[Difficulty | None, typer.Option(help="Instead of CAPTCHA_DIFFICULTY.")] = None,
    cache: Annotated[Path, typer.Option(help="Folder that keeps the trained reference classifier.")] = CACHE_DIR,
) -> None:
    """Measure how readable captchas are, by a classifier of glyphs or by eye.

    The classifier is told where each glyph is, and sees the lines before strokes cross them and noise covers them.

    \b
    Examples:
        python -m batch.readability --data emnist
        CAPTCHA_ALPHABET=0123456789abcdefghijklmnopqrstuvwxyz python -m batch.readability --data emnist
        python -m batch.readability --kind crossed-out --sheet sheet.png
    """
    if data is None and sheet is None:
        raise typer.BadParameter("give --data, --sheet or both")
    with one_line_errors():
        if data:
            with training_packages():
                from batch.evaluation.characters import read_characters
                from batch.evaluation.judge import ReferenceClassifier
                from batch.evaluation.metrics import confusions
        settings = load_settings(kind=kind, difficulty=difficulty)
        style, rng = choose_style(settings), np.random.default_rng()
        sampler = Sampler(Checkpoints(settings.checkpoints_dir))
        if data:
            train = read_emnist(data, "train")
            with progress_bar(TimeRemainingColumn()) as progress:
                bar = progress.add_task("reference classifier", total=1)
                judge = ReferenceClassifier.cached(train, cache, lambda share: progress.advance(bar, share))
            codes = draw_codes(_READ, settings.alphabet, settings.length)
            truth, read = read_characters(codes, sampler, judge, style, rng)
            share = (truth == read).mean()
            print(f"{settings.difficulty}: the reference classifier reads {share:.1%} of {truth.size} characters")
            worst = sorted(confusions(truth, read).items(), key=lambda pair: -pair[1])[:_PAIRS]
            confused = ", ".join(f"{chr(one)}{chr(other)} {share:.1%}" for (one, other), share in worst)
            print(f"most often confused, the shares of both directions added up: {confused}")
        if sheet:
            codes = draw_codes(_ON_SHEET, settings.alphabet, settings.length)
            with writing(sheet) as file:
                pictures = map(Image.fromarray, to_grey(draw_pictures(codes, sampler, style, rng)))
                captcha_sheet(list(pictures), [str(number + 1) for number in range(len(codes))]).save(file, "PNG")
            answers = sheet.with_suffix(".json")
            with writing(answers) as file:
                file.write(json.dumps({"answers": codes}, indent=1).encode() + b"\n")
            print(f"{sheet}: {len(codes)} captchas; their codes are in {answers}")


if __name__ == "__main__":
    typer.run(main)

"""How well captchas can be read by those they are for: `python -m batch.readability`."""

import json
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import numpy.typing as npt
import typer
from PIL import Image, ImageDraw
from rich.progress import TimeRemainingColumn

from batch.alphabet import CHARACTER_OF_CLASS, choose_classes, draw_codes
from batch.captcha import choose_look
from batch.checkpoints import Checkpoints
from batch.drawing import draw_pictures
from batch.emnist import SIDE, read_emnist
from batch.encode import to_grey
from batch.evaluate import CACHE
from batch.lines import Lines, bend_lines, concat_pics
from batch.metrics import confusions
from batch.progress import progress_bar
from batch.quiet_tensorflow import require_tensorflow
from batch.recogniser import Recogniser
from batch.render import vary_weight
from batch.sample import writing
from batch.sampler import Sampler
from pool.errors import one_line_errors
from pool.settings import Difficulty, load_settings

_READ = 1000
_PAIRS = 12
_SHEET_ROWS, _SHEET_COLUMNS = 10, 4
_GAP = 24  # pixels between the captchas of a sheet, for their numbers


def cut_out(lines: Lines, inked: npt.NDArray[np.float32], enlargement: float) -> npt.NDArray[np.uint8]:
    """Cut glyphs `[N, L, 28, 28]` out of inked lines `[N, H, W]` where they are known to be."""
    glyphs = np.zeros((*lines.places.shape[:2], SIDE, SIDE), np.float32)
    side = round(SIDE * enlargement)
    for line, places, cuts in zip(inked, lines.places, glyphs, strict=True):
        padded = cv2.copyMakeBorder(line, side, side, 0, 0, cv2.BORDER_CONSTANT, value=0)
        for (left, right, middle), cut in zip(np.rint(places).astype(int), cuts, strict=True):
            # Of the neighbours only what overlaps may show.
            patch = padded[middle + side - side // 2 :][:side, max(left, 0) : max(right, left + 1)]
            width = min(max(round(patch.shape[1] / enlargement), 1), SIDE)
            start = (SIDE - width) // 2
            cut[:, start : start + width] = cv2.resize(patch, (width, SIDE), interpolation=cv2.INTER_AREA)
    levels: npt.NDArray[np.uint8] = np.rint(glyphs * 255).astype(np.uint8)
    return levels


def main(
    data: Annotated[Path | None, typer.Option(help="EMNIST folder: measure with a recogniser of glyphs.")] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="Draw 40 captchas to this PNG; answers beside it as .json.")
    ] = None,
    difficulty: Annotated[Difficulty | None, typer.Option(help="Instead of CAPTCHA_DIFFICULTY.")] = None,
    cache: Annotated[Path, typer.Option(help="Folder that keeps the trained recogniser.")] = CACHE,
) -> None:
    """Measure how readable captchas are, by a recogniser of glyphs or by eye.

    The recogniser is told where each glyph is, and sees the lines before strokes cross them and noise covers them.

    \b
    Examples:
        python -m batch.readability --data emnist
        CAPTCHA_ALPHABET=0123456789abcdefghijklmnopqrstuvwxyz python -m batch.readability --data emnist
        python -m batch.readability --sheet docs/readability.png
    """
    if data is None and sheet is None:
        raise typer.BadParameter("give --data, --sheet or both")
    with one_line_errors():
        if data:
            require_tensorflow()
        settings = load_settings(difficulty=difficulty)
        look, rng = choose_look(settings), np.random.default_rng()
        sampler = Sampler(Checkpoints(settings.checkpoints_dir))
        if data:
            train = read_emnist(data, "train")
            with progress_bar(TimeRemainingColumn()) as progress:
                bar = progress.add_task("recogniser", total=1)
                recogniser = Recogniser.cached(train, cache, lambda share: progress.advance(bar, share))
            classes = choose_classes(draw_codes(_READ, settings.alphabet, settings.length), rng)
            lines = bend_lines(concat_pics(sampler.draw_legible(classes, rng), rng, look), rng, look)
            glyphs = cut_out(
                lines,
                vary_weight(lines.strokes, rng, look),
                look.pixel_ratio * float(np.mean(look.enlargement) * np.mean(look.size)),
            )
            read = recogniser.judge(glyphs.reshape(-1, SIDE, SIDE)).classes
            truth, taken_for = CHARACTER_OF_CLASS[classes.ravel()], CHARACTER_OF_CLASS[read]
            share = (truth == taken_for).mean()
            print(f"{settings.difficulty}: the recogniser reads {share:.1%} of {truth.size} characters")
            worst = sorted(confusions(truth, taken_for).items(), key=lambda pair: -pair[1])[:_PAIRS]
            told = ", ".join(f"{chr(one)}{chr(other)} {share:.1%}" for (one, other), share in worst)
            print(f"most confused, the shares of either that it takes for the other added up: {told}")
        if sheet:
            codes = draw_codes(_SHEET_ROWS * _SHEET_COLUMNS, settings.alphabet, settings.length)
            with writing(sheet) as file:
                _lay_out(draw_pictures(codes, sampler, look, rng)).save(file, "PNG")
            answers = sheet.with_suffix(".json")
            with writing(answers) as file:
                file.write(json.dumps({"answers": codes}, indent=1).encode() + b"\n")
            print(f"{sheet}: {len(codes)} captchas; their codes are in {answers}")


def _lay_out(pictures: npt.NDArray[np.uint8]) -> Image.Image:
    """Number pictures `[N, H, W]` of grey levels and set them in rows and columns."""
    _, height, width = pictures.shape
    size = (_SHEET_COLUMNS * (width + _GAP), _SHEET_ROWS * (height + _GAP))
    page = Image.new("L", size, 255)
    draw = ImageDraw.Draw(page)
    for number, picture in enumerate(pictures):
        left, top = number % _SHEET_COLUMNS * (width + _GAP), number // _SHEET_COLUMNS * (height + _GAP)
        draw.text((left, top + _GAP // 4), str(number + 1), fill=0)
        page.paste(Image.fromarray(to_grey(picture)), (left, top + _GAP))
    return page


if __name__ == "__main__":
    typer.run(main)

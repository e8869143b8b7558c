"""Look at a dataset: `python -m batch.preview`."""

import io
from itertools import cycle, islice
from pathlib import Path
from typing import Annotated, Any

import typer
from PIL import Image, ImageDraw

from batch.datasets.formats import FORMATS
from batch.datasets.places import open_place
from batch.datasets.plan import DatasetError, Plan
from batch.sheets import captcha_sheet, writing
from gantcha.errors import one_line_errors
from gantcha.terminal import run

_SHOWN = 20
_COLOURS = ("#d62728", "#1f77b4", "#2ca02c", "#9467bd")


def main(
    dataset: Annotated[str, typer.Argument(help="Folder or s3:// URL of a dataset.")],
    out: Annotated[Path, typer.Option(help="PNG to write.")] = Path("preview.png"),
) -> None:
    """Show the first 20 captchas of a dataset, with the boxes of their characters and what they say.

    \b
    Example:
        python -m batch.preview captchas --out boxes.png
    """
    with one_line_errors():
        place = open_place(dataset)
        plan = Plan.load(place)
        if plan is None:
            raise DatasetError(f"{dataset} holds no dataset")
        format_, first = FORMATS[plan.format], next(plan.shards())
        read = list(islice(format_.read(place, format_.path(first)), _SHOWN))
        with writing(out) as file:
            captcha_sheet([_boxed(*one) for one in read], [label["code"] for _, label in read]).save(file, "PNG")
    print(f"{out}: {len(read)} captchas of {dataset} with the boxes of their characters")


def _boxed(png: bytes, label: dict[str, Any]) -> Image.Image:
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    for (left, top, right, bottom), colour in zip(label["boxes"], cycle(_COLOURS)):
        ImageDraw.Draw(picture).rectangle((left, top, right - 1, bottom - 1), outline=colour)
    return picture


if __name__ == "__main__":
    run(main)

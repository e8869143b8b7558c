"""Look at a dataset: `python -m batch.dataset.preview`."""

import io
from itertools import cycle
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image, ImageDraw

from batch.datasets.plan import DatasetError, Plan
from batch.datasets.records import Record, draw_records
from batch.glyphs.checkpoints import Checkpoints
from batch.glyphs.sampler import load_sampler
from batch.sheets import captcha_sheet, writing
from pool.errors import one_line_errors
from pool.settings import load_settings

_SHOWN = 20
_COLOURS = ("#d62728", "#1f77b4", "#2ca02c", "#9467bd")


def main(
    dataset: Annotated[Path, typer.Argument(help="Folder that `python -m batch.fill --dataset` wrote.")],
    out: Annotated[Path, typer.Option(help="PNG to write.")] = Path("preview.png"),
) -> None:
    """Draw the first 20 captchas of a dataset again, with the boxes of their characters and what they say.

    \b
    Example:
        python -m batch.dataset.preview captchas --out boxes.png
    """
    with one_line_errors():
        plan, checkpoints = Plan.load(dataset), load_settings().checkpoints_dir
        if plan is None or plan.codes_sha256:
            raise DatasetError(f"{dataset} holds no dataset of random codes")
        if plan.generators != Checkpoints(checkpoints).digest():
            raise DatasetError(f"{dataset} was drawn by other generators than those of {checkpoints}")
        first = next(plan.shards())
        shown = first._replace(end=min(first.end, _SHOWN))
        records = draw_records(plan, shown, None, load_sampler(checkpoints))
        with writing(out) as file:
            captcha_sheet(list(map(_boxed, records)), [record.code for record in records]).save(file, "PNG")
    print(f"{out}: {len(records)} captchas of {dataset} with the boxes of their characters")


def _boxed(record: Record) -> Image.Image:
    picture = Image.open(io.BytesIO(record.captcha.png)).convert("RGB")
    for box, colour in zip(record.captcha.boxes, cycle(_COLOURS)):
        left, top, right, bottom = box
        ImageDraw.Draw(picture).rectangle((left, top, right - 1, bottom - 1), outline=colour)
    return picture


if __name__ == "__main__":
    typer.run(main)

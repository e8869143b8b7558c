"""Look at a dataset: `python -m batch.dataset.preview`."""

import io
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image, ImageDraw

from batch.datasets.plan import DatasetError, Plan
from batch.datasets.records import Record, draw_records
from batch.drawing.style import HEIGHT, PITCH
from batch.glyphs.checkpoints import Checkpoints
from batch.glyphs.sampler import load_sampler
from batch.sheets import writing
from pool.errors import one_line_errors
from pool.settings import load_settings

_COLUMNS, _ROWS, _GAP = 4, 5, 12
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
        shown = first._replace(end=min(first.end, _COLUMNS * _ROWS))
        records = draw_records(plan, shown, None, load_sampler(checkpoints))
        with writing(out) as file:
            _lay_out(records, plan.style.pixel_ratio).save(file, "PNG")
    print(f"{out}: {len(records)} captchas of {dataset} with the boxes of their characters")


def _lay_out(records: list[Record], ratio: int) -> Image.Image:
    width = (max(PITCH * len(record.code) for record in records) * ratio) + _GAP
    height = HEIGHT * ratio + 2 * _GAP
    page = Image.new("RGB", (_COLUMNS * width, _ROWS * height), "white")
    draw = ImageDraw.Draw(page)
    for number, record in enumerate(records):
        x, y = number % _COLUMNS * width, number // _COLUMNS * height
        page.paste(Image.open(io.BytesIO(record.captcha.png)).convert("RGB"), (x, y + _GAP))
        for place, (left, top, right, bottom) in enumerate(record.captcha.boxes):
            colour = _COLOURS[place % len(_COLOURS)]
            draw.rectangle((x + left, y + _GAP + top, x + right - 1, y + _GAP + bottom - 1), outline=colour)
            draw.text((x + left, y), record.code[place], fill=colour)
    return page


if __name__ == "__main__":
    typer.run(main)

"""Draw glyphs with the trained generators: `python -m batch.sample`."""

import secrets
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from batch.noise import warn_of_noise
from batch.sheets import contact_sheet, writing
from gantcha.alphabet import SIDE
from gantcha.errors import one_line_errors
from gantcha.glyphs.checkpoints import Checkpoints
from gantcha.glyphs.sampler import Sampler
from gantcha.home import CHECKPOINTS
from gantcha.terminal import run


def main(
    per_class: Annotated[int, typer.Option(min=1, help="Glyphs of each class.")] = 200,
    seed: Annotated[int | None, typer.Option(min=0, help="Draw the same glyphs again; random if omitted.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write `images` [N,28,28] and `labels` [N] to this .npz.")] = None,
    sheet: Annotated[Path | None, typer.Option(help="Draw a contact sheet, a row for each class, to this PNG.")] = None,
    unfiltered: Annotated[
        bool, typer.Option("--unfiltered", help="All that the generators draw, not only what captchas contain.")
    ] = False,
    checkpoints: Annotated[
        Path, typer.Option(help="Folder of the trained generators.", envvar="CAPTCHA_CHECKPOINTS_DIR")
    ] = CHECKPOINTS,
) -> None:
    """Draw glyphs of every class as captchas contain them, to look at or to measure.

    While a training goes on, or after one of some --classes, these are the classes that are finished.

    \b
    Examples:
        python -m batch.sample --per-class 200 --seed 1 --out glyphs.npz
        python -m batch.sample --per-class 30 --sheet sheet.png
        python -m batch.sample --per-class 30 --unfiltered --sheet raw.png
        python -m batch.sample --checkpoints trial --per-class 30 --sheet trial.png
    """
    if out is None and sheet is None:
        raise typer.BadParameter("give --out, --sheet or both")
    with one_line_errors():
        rng = np.random.default_rng(secrets.randbits(128) if seed is None else seed)
        sampler = Sampler(Checkpoints(checkpoints))
        drawn = sampler.classes.drawn
        labels = np.repeat(np.array([c.index for c in drawn], np.uint8), per_class)
        images = (sampler.draw if unfiltered else sampler.draw_legible)(labels, rng)
        if out:
            with writing(out) as file:  # given a name, savez would add an .npz of its own
                np.savez_compressed(file, images=images, labels=labels)
        if sheet:
            with writing(sheet) as file:
                contact_sheet(images.reshape(-1, per_class, SIDE, SIDE)).save(file, "PNG")
    for written in filter(None, (out, sheet)):
        print(f"{written}: {len(images)} glyphs, {per_class} of each of {len(drawn)} classes")
    warn_of_noise(Checkpoints(checkpoints), sampler.classes.characters)


if __name__ == "__main__":
    run(main)

"""Draw captchas in bulk, into the pool or as a dataset: `python -m batch.fill`."""

import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from batch.datasets import request
from batch.datasets.formats import FORMATS
from batch.drawing.workers import on_ray, on_this_machine
from batch.fill import to_pool
from pool.errors import one_line_errors
from pool.settings import Difficulty, Kind, load_settings


def _of_dataset(text: str, *names: str, **bounds: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel="Datasets", **bounds)


def main(
    count: Annotated[int | None, typer.Option(min=1, help="Draw exactly so many captchas.")] = None,
    target: Annotated[int | None, typer.Option(min=0, help="Top each stock up to so many ready captchas.")] = None,
    kind: Annotated[Kind | None, typer.Option(help="Instead of CAPTCHA_KIND.")] = None,
    difficulty: Annotated[Difficulty | None, typer.Option(help="Instead of CAPTCHA_DIFFICULTY.")] = None,
    alphabet: Annotated[str | None, typer.Option(help="Instead of CAPTCHA_ALPHABET.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes that draw in parallel.")] = os.cpu_count() or 1,
    engine: Annotated[
        Literal["local", "ray"], typer.Option(help="ray: on the cores of a cluster, instead of --jobs here.")
    ] = "local",
    ray_address: Annotated[str | None, typer.Option(help="Of the cluster; one is started here if omitted.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print errors only, for cron.")] = False,
    dataset: Annotated[Path | None, _of_dataset("Write to this folder, and leave the pool alone.")] = None,
    format_: Annotated[str, _of_dataset(f"One of {', '.join(FORMATS)}.", "--format")] = "imagefolder",
    split: Annotated[str, _of_dataset("Shares of splits, for instance train=0.9,val=0.1.")] = "train=1",
    length: Annotated[str | None, _of_dataset("Characters in a code: 6, or 4-8 for any of these.")] = None,
    codes: Annotated[Path | None, _of_dataset("Draw the codes of this file, one a line, instead of --count.")] = None,
    shard_size: Annotated[
        int | None, _of_dataset("Captchas in a shard; chosen by the count if omitted.", min=1)
    ] = None,
    seed: Annotated[int | None, _of_dataset("Draw the same dataset again; random if omitted.", min=0)] = None,
    resume: Annotated[bool, _of_dataset("Resume a dataset that was begun.", "--resume")] = False,
) -> None:
    """Draw captchas into the pool, or write them as a labelled dataset.

    The CAPTCHA_ settings name the database, the files, the generators and the style. --target fills the stocks of
    CAPTCHA_KIND and CAPTCHA_CHALLENGE_KIND and, with CAPTCHA_DOUBT, a harder one; or with --kind or --difficulty that
    one alone. --count fills one.
    Chunks of a fill and shards of a dataset are written whole or not at all: what is stopped keeps what it has
    finished.

    \b
    Examples:
        python -m batch.fill --count 10000 --difficulty hard
        python -m batch.fill --target 2000 --quiet
        python -m batch.fill --target 2000 --kind crossed-out
        python -m batch.fill --count 10000 --dataset captchas --split train=0.9,val=0.1 --seed 1
        python -m batch.fill --count 10000 --dataset crossed --kind crossed-out
        python -m batch.fill --count 1000000 --dataset shards --format webdataset --length 4-8
        python -m batch.fill --dataset shards --resume
        python -m batch.fill --count 10000000 --dataset shards --format webdataset --engine ray --ray-address auto
        python -m batch.fill --codes codes.txt --dataset mine --format coco
    """
    if dataset and target is not None:
        raise typer.BadParameter("--target applies to the pool, not to a dataset")
    if not dataset and (count is None) == (target is None):
        raise typer.BadParameter("give either --count or --target")
    if not dataset and any((codes, length, seed is not None, shard_size, resume)):
        raise typer.BadParameter("--codes, --length, --seed, --shard-size and --resume need --dataset")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # an orderly end, which releases the lease
    with one_line_errors():
        settings = load_settings(kind=kind, difficulty=difficulty, alphabet=alphabet)
        folder = settings.checkpoints_dir
        chosen = on_ray(ray_address, folder) if engine == "ray" else on_this_machine(jobs, folder)
        if dataset:
            asked = request.Request(format_, count, codes, split, length, shard_size, seed)
            report = request.write(dataset, asked, resume, settings, chosen, quiet)
        elif count is not None:
            report = to_pool.add(count, settings, chosen, quiet)
        else:
            stocks = [settings.stock] if kind or difficulty else settings.stocks
            report = to_pool.top_up(target or 0, settings, stocks, chosen, quiet)
    if not quiet:
        print(report)


if __name__ == "__main__":
    typer.run(main)

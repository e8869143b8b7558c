"""Draw captchas in bulk, into the pool or as a dataset: `python -m batch.fill`."""

import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from batch.workers import CHUNK, already, on_ray, on_this_machine
from gantcha.drawing.look import Difficulty, Kind
from gantcha.errors import one_line_errors
from gantcha.terminal import run
from pool.cores import available_cores

_OF_BOTH = {"count", "alphabet", "kind", "difficulty", "pixel-ratio"}
Format = Literal["imagefolder", "webdataset", "parquet", "coco", "text", "lmdb"]


def _of_dataset(text: str, *names: str, **bounds: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel="Datasets", **bounds)


def main(
    count: Annotated[int | None, typer.Option(min=1, help="Draw exactly so many captchas.")] = None,
    target: Annotated[int | None, typer.Option(min=0, help="Top each stock up to so many ready captchas.")] = None,
    kind: Annotated[Kind | None, typer.Option(help="Instead of CAPTCHA_KIND.")] = None,
    difficulty: Annotated[Difficulty | None, typer.Option(help="Instead of CAPTCHA_DIFFICULTY.")] = None,
    pixel_ratio: Annotated[
        int | None, typer.Option(min=1, max=2, help="2: twice as many pixels each way; 1 if omitted.")
    ] = None,
    alphabet: Annotated[str | None, typer.Option(help="Instead of CAPTCHA_ALPHABET.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes that draw in parallel.")] = available_cores(),
    engine: Annotated[
        Literal["local", "ray"], typer.Option(help="ray: on the cores of a cluster, instead of --jobs here.")
    ] = "local",
    ray_address: Annotated[
        str | None, typer.Option(help="Address of the cluster; one is started here if omitted.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print errors only, for cron.")] = False,
    dataset: Annotated[
        str | None, _of_dataset("Write to this folder or s3://bucket/prefix, and leave the pool alone.")
    ] = None,
    format_: Annotated[Format | None, _of_dataset("imagefolder if omitted.", "--format")] = None,
    split: Annotated[str | None, _of_dataset("Shares of splits, for instance train=0.8,val=0.1,test=0.1.")] = None,
    length: Annotated[str | None, _of_dataset("Characters in a code, up to 16: 6, or 4-8 for any of these.")] = None,
    pattern: Annotated[
        str | None,
        _of_dataset("Pattern of the codes, for instance [a-z]{3}[0-9]{2,4}; instead of --length and --alphabet."),
    ] = None,
    codes: Annotated[Path | None, _of_dataset("Draw the codes of this file, one a line, instead of --count.")] = None,
    disjoint: Annotated[bool | None, _of_dataset("Have no code in two splits.", "--disjoint")] = None,
    mix: Annotated[
        str | None, _of_dataset("Shares of difficulties, themes or kinds: easy=0.3,hard=0.7,light=0.5,dark=0.5.")
    ] = None,
    set_: Annotated[
        list[str] | None, _of_dataset("Change the look: noise=0.1, or contrast=0.5,0.9 for a range.", "--set")
    ] = None,
    masks: Annotated[bool | None, _of_dataset("Write a mask for each character.", "--masks")] = None,
    shard_size: Annotated[
        int | None, _of_dataset("Captchas in a shard; chosen by the count if omitted.", min=1)
    ] = None,
    seed: Annotated[
        int | None,
        _of_dataset("Draw the same dataset again; random if omitted. The same seed repeats captchas.", min=0),
    ] = None,
    resume: Annotated[bool, _of_dataset("Resume a dataset that was begun.", "--resume")] = False,
    extend: Annotated[
        int | None, _of_dataset("Add so many captchas to a finished dataset, the next ones of its seed.", min=1)
    ] = None,
    verify: Annotated[
        bool, _of_dataset("Compare the files with their checksums; with --resume, draw damaged ones.", "--verify")
    ] = False,
) -> None:
    """Draw captchas into the pool, or write them as a labelled dataset.

    The CAPTCHA_ settings name the database, the files, the generators and the look. --target fills the stocks of
    CAPTCHA_KIND unless CAPTCHA_GENERATE is false, of CAPTCHA_CHALLENGE_KIND in CAPTCHA_PIXEL_RATIO, of the sites in
    CAPTCHA_KEYS_FILE and, with CAPTCHA_DOUBT, harder ones; or with --kind, --difficulty or --pixel-ratio one alone.
    --count fills one.
    Chunks of a fill and shards of a dataset are written whole or not at all: what is stopped keeps what it has
    finished. Characters of a dataset are equally likely; codes of the pool are a third to two thirds digits.

    \b
    Examples:
        python -m batch.fill --count 10000 --difficulty hard
        python -m batch.fill --target 2000 --quiet
        python -m batch.fill --target 2000 --kind crossed-out --pixel-ratio 2
        python -m batch.fill --count 10000 --dataset captchas --split train=0.9,val=0.1 --seed 1
        python -m batch.fill --count 10000 --dataset crossed --kind crossed-out
        python -m batch.fill --count 10000 --dataset mixed --mix easy=0.3,standard=0.5,hard=0.2 --masks --disjoint \\
            --split train=0.8,val=0.1,test=0.1 --pattern "[a-z]{3}[0-9]{2,4}" --set noise=0.1
        python -m batch.fill --count 1000000 --dataset shards --format webdataset --length 4-8
        python -m batch.fill --dataset shards --resume
        python -m batch.fill --dataset shards --verify
        python -m batch.fill --dataset shards --extend 500000
        python -m batch.fill --count 10000000 --dataset shards --format webdataset --engine ray --ray-address auto
        python -m batch.fill --codes codes.txt --dataset mine --format coco
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # an orderly end, which releases the lease
    with one_line_errors(), ExitStack() as stack:
        chosen = on_this_machine(jobs)
        if count and not dataset and engine == "local":  # they import what draws while this process imports the rest
            chosen = already(stack.enter_context(chosen(-(-count // CHUNK))))
        from batch.datasets import request
        from batch.fill import to_pool
        from pool.filling.stocks import kept_stocks
        from pool.settings import foreign_variables, load_settings

        asked = request.Request(
            format=format_,
            count=count,
            codes=codes,
            pattern=pattern,
            split=split,
            length=length,
            mix=mix,
            set=tuple(set_) if set_ else None,
            disjoint=disjoint,
            masks=masks,
            shard_size=shard_size,
            seed=seed,
            alphabet=alphabet,
            kind=kind,
            difficulty=difficulty,
            pixel_ratio=pixel_ratio,
        )
        if dataset and target is not None:
            raise typer.BadParameter("--target applies to the pool, not to a dataset")
        of_datasets = [*asked.given(), *["resume"] * resume, *["verify"] * verify, *["extend"] * bool(extend)]
        if not dataset and (needy := [name for name in of_datasets if name not in _OF_BOTH]):
            raise typer.BadParameter(f"--{needy[0]} needs --dataset")
        if extend and (resume or verify):
            raise typer.BadParameter("--extend needs a finished dataset: leave --resume and --verify out")
        if not dataset and (count is None) == (target is None):
            raise typer.BadParameter("give either --count or --target")
        if ray_address and engine != "ray":
            raise typer.BadParameter("--ray-address needs --engine ray")
        settings = load_settings(kind=kind, difficulty=difficulty, alphabet=alphabet)
        if not quiet and (foreign := foreign_variables()):
            print(f"warning: not settings of Gantcha, and ignored: {', '.join(foreign)}", file=sys.stderr)
        folder, stock = settings.checkpoints_dir, settings.stock._replace(pixel_ratio=pixel_ratio or 1)
        if engine == "ray":
            chosen = on_ray(ray_address, folder)
        if dataset:
            report = request.write(
                dataset, asked, settings, chosen, resume=resume, verify=verify, extend=extend, quiet=quiet
            )
        elif count is not None:
            report = to_pool.add(count, settings, stock, chosen, quiet)
        else:
            stocks = [stock] if kind or difficulty or pixel_ratio else kept_stocks(settings).all
            report = to_pool.top_up(target or 0, settings, stocks, chosen, quiet)
    if not quiet:
        print(report)


if __name__ == "__main__":
    run(main)

"""Fill the pool: `python -m batch.fill`."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import numpy as np
import typer
from rich.progress import TimeRemainingColumn

from batch.alphabet import draw_codes
from batch.progress import progress_bar
from pool.errors import one_line_errors
from pool.pool import Pool
from pool.settings import Difficulty, Settings, load_settings

_CHUNK = 500  # captchas drawn, written and committed together: what a kill can cost


def main(
    count: Annotated[int | None, typer.Option(min=1, help="Add exactly so many captchas.")] = None,
    target: Annotated[int | None, typer.Option(min=0, help="Top the pool up to so many ready captchas.")] = None,
    difficulty: Annotated[Difficulty | None, typer.Option(help="Instead of CAPTCHA_DIFFICULTY.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print errors only, for cron.")] = False,
) -> None:
    """Draw captchas into the pool; database, files, generators and alphabet come from the CAPTCHA_ settings.

    Every chunk is committed on its own: a fill that is stopped keeps what it has finished.

    \b
    Examples:
        python -m batch.fill --count 10000 --difficulty hard
        python -m batch.fill --target 2000 --quiet
    """
    if (count is None) == (target is None):
        raise typer.BadParameter("give either --count or --target")
    with one_line_errors():
        settings = load_settings()
        if difficulty:
            settings = settings.model_copy(update={"difficulty": difficulty})
        pool = Pool.open(settings)
        if target is None:
            report = _fill(pool, settings, count or 0, quiet)
        else:
            # Two that top up at once would each add what is missing.
            with pool.files.only_one("filler") as is_only_one:
                if is_only_one:
                    report = _fill(pool, settings, max(0, target - pool.level()), quiet)
                else:
                    report = "another fill is topping this pool up"
    if not quiet:
        print(report)


def _fill(pool: Pool, settings: Settings, count: int, quiet: bool) -> str:
    """Clear up after a killed fill, add `count` captchas and say so in a line."""
    strays, started, added = pool.sweep(), time.monotonic(), 0
    with progress_bar(TimeRemainingColumn(), quiet=quiet) as progress:
        bar = progress.add_task("filling", total=count)
        for added_now in _draw(pool, settings, count):
            added += added_now
            progress.advance(bar, added_now)
    seconds = time.monotonic() - started
    rate = f" ({added / seconds:.0f} a second)" if added else ""
    swept = f"; {strays} stray files of a stopped fill removed" if strays else ""
    return f"{added} captchas added in {seconds:.1f} s{rate}, {pool.level()} ready{swept}"


def _draw(pool: Pool, settings: Settings, count: int) -> Iterator[int]:
    """Add `count` captchas chunk by chunk; yield the size of each chunk once it is committed."""
    if not count:
        return
    # TensorFlow takes seconds to import: not before there is something to draw.
    from batch.captcha import choose_look, draw_captchas  # noqa: PLC0415
    from batch.checkpoints import Checkpoints  # noqa: PLC0415
    from batch.sample import Sampler  # noqa: PLC0415

    sampler = Sampler(Checkpoints(settings.checkpoints_dir))
    look = choose_look(settings)
    rng = np.random.default_rng()
    with ThreadPoolExecutor() as threads:
        for start in range(0, count, _CHUNK):
            codes = draw_codes(min(_CHUNK, count - start), settings.alphabet, settings.length)
            yield len(pool.add(draw_captchas(codes, sampler, look, rng, threads)))


if __name__ == "__main__":
    typer.run(main)

"""Fill the pool: `python -m batch.fill`."""

import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Annotated

import numpy as np
import typer
from rich.progress import TimeRemainingColumn

from batch.alphabet import draw_codes
from batch.progress import progress_bar
from pool.errors import AddingStoppedError, StorageError, one_line_errors
from pool.fills import FillRecord, recorded
from pool.lease import FILLING, Lease, only_one
from pool.pool import Drawn, Pool
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
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # an orderly end, that gives up the lease
    with one_line_errors():
        settings = load_settings()
        if difficulty:
            settings = settings.model_copy(update={"difficulty": difficulty})
        pool = Pool.open(settings)
        if target is None:
            report = _fill(pool, settings, _count_down(count or 0), quiet)
        else:
            # Two that top up at once would each add what is missing.
            with only_one(pool.engine, FILLING) as lease:
                if lease:
                    report = _fill(pool, settings, _up_to(target, pool, lease), quiet)
                else:
                    report = "another fill is topping this pool up"
    if not quiet:
        print(report)


def _count_down(count: int) -> Iterator[int]:
    """Yield how many are left to add, a chunk fewer each time."""
    yield from range(count, 0, -_CHUNK)


def _up_to(target: int, pool: Pool, lease: Lease) -> Iterator[int]:
    """Yield how many the pool lacks, as long as it does: others may pop meanwhile."""
    while (missing := target - pool.level()) > 0:
        yield missing
        lease.renew()


def _fill(pool: Pool, settings: Settings, lacking: Iterator[int], quiet: bool) -> str:
    """Add captchas a chunk at a time as long as some are lacking, and say so in a line."""
    first = next(lacking, 0)
    if not first:
        return f"0 captchas added, {pool.level()} ready"
    with recorded(pool.engine) as record, progress_bar(TimeRemainingColumn(), quiet=quiet) as progress:
        bar = progress.add_task("filling", total=first)
        draw = _drawing(settings, record)
        for missing in chain([first], lacking):
            try:
                added = len(pool.add(draw(min(_CHUNK, missing))))
            except AddingStoppedError as error:
                record.add(len(error.ids))
                raise StorageError(f"{error}; {record.added} captchas were added before that") from error
            record.add(added)
            progress.update(bar, completed=record.added, total=record.added + missing - added)
    rate = record.added / record.seconds
    return f"{record.added} captchas added in {record.seconds:.1f} s ({rate:.0f} a second), {pool.level()} ready"


def _drawing(settings: Settings, record: FillRecord) -> Callable[[int], Iterable[Drawn]]:
    """Load the generators and return what draws so many captchas with them."""
    # TensorFlow takes seconds to import: not before there is something to draw.
    from batch.captcha import choose_look, draw_captchas  # noqa: PLC0415
    from batch.checkpoints import Checkpoints  # noqa: PLC0415
    from batch.sample import Sampler  # noqa: PLC0415

    checkpoints = Checkpoints(settings.checkpoints_dir)
    record.use(checkpoints.digest())
    sampler, look = Sampler(checkpoints), choose_look(settings)
    rng, threads = np.random.default_rng(), ThreadPoolExecutor()

    def draw(count: int) -> Iterable[Drawn]:
        return draw_captchas(draw_codes(count, settings.alphabet, settings.length), sampler, look, rng, threads)

    return draw


if __name__ == "__main__":
    typer.run(main)

"""Fill the pool: `python -m batch.fill`."""

import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Annotated

import typer
from rich.progress import TimeRemainingColumn

from batch.alphabet import draw_codes
from batch.captcha import choose_look
from batch.checkpoints import Checkpoints
from batch.drawing import draw_chunk, load_sampler
from batch.processes import started
from batch.progress import progress_bar
from pool.errors import AddingStoppedError, StorageError, one_line_errors
from pool.fills import FillRecord, recorded
from pool.lease import FILLING, Lease, only_one
from pool.pool import Drawn, Pool
from pool.settings import Difficulty, Settings, load_settings

_LEAST = 100  # captchas, for which it is worth to call all generators
_CHUNK = 1000  # captchas drawn, written and committed together: what a kill can cost, for each process


def main(
    count: Annotated[int | None, typer.Option(min=1, help="Add exactly so many captchas.")] = None,
    target: Annotated[int | None, typer.Option(min=0, help="Top the pool up to so many ready captchas.")] = None,
    difficulty: Annotated[Difficulty | None, typer.Option(help="Instead of CAPTCHA_DIFFICULTY.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes that draw side by side.")] = os.cpu_count() or 1,
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
        if count is not None:
            report = _fill(pool, settings, jobs, lambda added: count - added, quiet)
        else:
            # Two that top up at once would each add what is missing.
            with only_one(pool.engine, FILLING) as lease:
                if lease:
                    report = _fill(pool, settings, jobs, _up_to(target or 0, pool, lease), quiet)
                else:
                    report = "another fill is topping this pool up"
    if not quiet:
        print(report)


def _up_to(target: int, pool: Pool, lease: Lease) -> Callable[[int], int]:
    """Say how many the pool lacks at the moment: others may pop meanwhile."""

    def lacking(added: int) -> int:
        if added:
            lease.renew()
        return target - pool.level()

    return lacking


def _fill(pool: Pool, settings: Settings, jobs: int, lacking: Callable[[int], int], quiet: bool) -> str:
    """Add captchas a chunk at a time as long as some are lacking, and say so in a line.

    `lacking` says how many are, told how many were added; while a chunk is written the next ones are drawn.
    """
    first = lacking(0)
    if first <= 0:
        return f"0 captchas added, {pool.level()} ready"
    with recorded(pool.engine) as record, progress_bar(TimeRemainingColumn(), quiet=quiet) as progress:
        bar = progress.add_task("filling", total=first)
        checkpoints = Checkpoints(settings.checkpoints_dir)
        checkpoints.load()  # a fault is told here, and not by every process
        record.use(checkpoints.digest())
        look = choose_look(settings)
        jobs = min(jobs, -(-first // _CHUNK))  # another process would not be ready sooner than one is done
        with started(jobs, load_sampler, settings.checkpoints_dir) as processes:
            underway: deque[tuple[list[str], Future[list[bytes]]]] = deque()
            missing = first
            while missing > 0 or underway:
                missing -= sum(len(codes) for codes, _ in underway)
                while missing > 0 and len(underway) <= jobs:
                    count = min(_CHUNK, missing, max(-(-missing // jobs), _LEAST))
                    codes = draw_codes(count, settings.alphabet, settings.length)
                    underway.append((codes, processes.submit(draw_chunk, codes, look, settings.checkpoints_dir)))
                    missing -= count
                codes, drawing = underway.popleft()
                _add(pool, map(Drawn, codes, drawing.result()), record)
                missing = lacking(record.added)
                progress.update(bar, completed=record.added, total=record.added + max(missing, 0))
    rate = record.added / record.seconds
    return f"{record.added} captchas added in {record.seconds:.1f} s ({rate:.0f} a second), {pool.level()} ready"


def _add(pool: Pool, drawn: Iterable[Drawn], record: FillRecord) -> None:
    try:
        record.add(len(pool.add(drawn)))
    except AddingStoppedError as error:
        record.add(len(error.ids))
        raise StorageError(f"{error}; {record.added} captchas were added before that") from error


if __name__ == "__main__":
    typer.run(main)

"""Captchas into the pool, a chunk at a time."""

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future

from rich.progress import TimeRemainingColumn

from batch.alphabet import draw_codes
from batch.drawing.style import choose_style
from batch.drawing.workers import Engine, draw_chunk
from batch.glyphs.checkpoints import Checkpoints
from batch.progress import progress_bar
from pool.errors import AddingStoppedError, StorageError
from pool.fills import FillRecord, recorded
from pool.lease import FILLING, Lease, lease
from pool.pool import Drawn, Pool
from pool.settings import Settings

_LEAST = 100  # captchas: fewer are not worth a call of all generators
_CHUNK = 1000  # captchas drawn, written and committed together: a kill loses at most one chunk a process


def add(count: int, settings: Settings, engine: Engine, quiet: bool) -> str:
    """Add exactly `count` captchas; return a line that reports it.

    Raises:
        GantchaError: the settings, the database, the files or the checkpoints are at fault; finished chunks stay.
    """
    return _fill(Pool.open(settings), settings, engine, lambda added: count - added, quiet)


def top_up(target: int, settings: Settings, engine: Engine, quiet: bool) -> str:
    """Add what the pool lacks to have `target` ready, unless another fill does; return and raise as `add` does."""
    pool = Pool.open(settings)
    # Two that top up at once would each add what is missing.
    with lease(pool.engine, FILLING) as held:
        if held:
            return _fill(pool, settings, engine, _up_to(target, pool, held), quiet)
        return "another fill is topping this pool up"


def _up_to(target: int, pool: Pool, held: Lease) -> Callable[[int], int]:
    """Say how many the pool lacks at the moment: others may pop meanwhile. Each look renews the lease."""

    def lacking(added: int) -> int:  # noqa: ARG001 - what counts is what is there
        held.renew()
        return target - pool.level()

    return lacking


def _fill(pool: Pool, settings: Settings, engine: Engine, lacking: Callable[[int], int], quiet: bool) -> str:
    """Add captchas a chunk at a time as long as some are missing, and return a line that reports it.

    `lacking` is called with the number added and says how many are missing; the next chunks are drawn while one is
    written.
    """
    first = lacking(0)
    if first <= 0:
        return f"0 captchas added, {pool.level()} ready"
    with recorded(pool.engine) as record, progress_bar(TimeRemainingColumn(), quiet=quiet) as progress:
        bar = progress.add_task("filling", total=first)
        checkpoints = Checkpoints(settings.checkpoints_dir)
        checkpoints.load()  # report a fault once, here, and not in every worker
        record.note(checkpoints=checkpoints.digest())
        style = choose_style(settings)
        with engine(-(-first // _CHUNK)) as workers:  # another worker would start too late to draw anything
            underway: deque[tuple[list[str], Future[list[bytes]]]] = deque()
            missing = lacking(0)  # to start the engine, or a cluster, may have taken a while
            while missing > 0 or underway:
                missing -= sum(len(codes) for codes, _ in underway)
                while missing > 0 and len(underway) <= workers.count:
                    count = min(_CHUNK, missing, max(-(-missing // workers.count), _LEAST))
                    codes = draw_codes(count, settings.alphabet, settings.length)
                    underway.append((codes, workers.submit(draw_chunk, codes, style, settings.checkpoints_dir)))
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

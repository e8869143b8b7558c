"""Captchas into the pool, a chunk at a time."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future

from rich.progress import Progress, TaskID, TimeRemainingColumn

from batch.noise import warn_of_noise
from batch.progress import progress_bar
from batch.workers import CHUNK, Engine, Workers, draw_chunk
from gantcha.alphabet import draw_codes
from gantcha.errors import StorageError
from gantcha.glyphs.checkpoints import Checkpoints
from pool.errors import AddingStoppedError
from pool.filling.fills import FillRecord, recorded
from pool.filling.lease import FILLING, Lease, lease
from pool.models import Stock
from pool.pool import Drawn, Pool
from pool.settings import Settings

_LEAST = 100  # captchas: fewer are not worth a call of all generators


Lacking = Callable[[Stock, int], int]
"""Called with a stock and the number that was added to it; says how many are missing."""


def add(count: int, settings: Settings, stock: Stock, engine: Engine, quiet: bool) -> str:
    """Add exactly `count` captchas to a stock; return a line that reports it.

    Raises:
        GantchaError: the settings, the database, the files or the checkpoints are at fault; finished chunks stay.
    """
    return _fill(Pool.open(settings), settings, [stock], engine, lambda _, added: count - added, quiet)


def top_up(target: int, settings: Settings, stocks: Sequence[Stock], engine: Engine, quiet: bool) -> str:
    """Add what each stock lacks to have `target` ready, unless another fill does; return and raise as `add` does."""
    pool = Pool.open(settings)
    # Two that top up at once would each add what is missing.
    with lease(pool.engine, FILLING) as held:
        if held:
            return _fill(pool, settings, stocks, engine, _up_to(target, pool, held), quiet)
        return "another fill is topping this pool up"


def _up_to(target: int, pool: Pool, held: Lease) -> Lacking:
    """Say how many a stock lacks at the moment: others may pop meanwhile. Each look renews the lease."""

    def lacking(stock: Stock, added: int) -> int:  # noqa: ARG001 - what counts is what is there
        held.renew()
        return target - pool.level(stock)

    return lacking


def _fill(
    pool: Pool, settings: Settings, stocks: Sequence[Stock], engine: Engine, lacking: Lacking, quiet: bool
) -> str:
    """Fill stocks with the same workers, and return a line that reports it."""
    first = {stock: max(lacking(stock, 0), 0) for stock in stocks}
    if not any(first.values()):
        return f"0 captchas added, {_ready(pool, stocks)}"
    with recorded(pool.engine) as record, progress_bar(TimeRemainingColumn(), quiet=quiet) as progress:
        tasks = {stock: progress.add_task(f"filling {stock}", total=count) for stock, count in first.items()}
        checkpoints = Checkpoints(settings.checkpoints_dir)
        checkpoints.load()  # report a fault once, here, and not in every worker
        if not quiet:
            warn_of_noise(checkpoints, settings.alphabet)
        record.note(checkpoints=checkpoints.digest())
        # A worker more than there are chunks would start too late to draw anything.
        with engine(sum(-(-count // CHUNK) for count in first.values())) as workers:
            _fill_chunks(pool, settings, tasks, workers, lacking, record, progress)
    rate = record.added / record.seconds
    return f"{record.added} captchas added in {record.seconds:.1f} s ({rate:.0f} a second), {_ready(pool, stocks)}"


def _fill_chunks(
    pool: Pool,
    settings: Settings,
    tasks: dict[Stock, TaskID],
    workers: Workers,
    lacking: Lacking,
    record: FillRecord,
    progress: Progress,
) -> None:
    """Add captchas a chunk at a time as long as some are missing; the next chunks are drawn while one is written.

    Each chunk is for the first stock that lacks some: one that visitors empty meanwhile does not wait for the others.
    """
    added = dict.fromkeys(tasks, 0)
    underway: deque[tuple[Stock, list[str], Future[list[bytes]]]] = deque()
    while True:
        # Read anew: to start the engine, or to fill another stock, may have taken a while.
        missing = {stock: lacking(stock, count) for stock, count in added.items()}
        for stock, task in tasks.items():
            progress.update(task, completed=added[stock], total=added[stock] + max(missing[stock], 0))
        for stock, codes, _ in underway:
            missing[stock] -= len(codes)
        for stock in tasks:
            while missing[stock] > 0 and len(underway) <= workers.count:
                count = min(CHUNK, missing[stock], max(-(-missing[stock] // workers.count), _LEAST))
                codes, look = draw_codes(count, settings.alphabet, settings.length), settings.look_of(stock)
                underway.append((stock, codes, workers.submit(draw_chunk, codes, look, settings.checkpoints_dir)))
                missing[stock] -= count
        if not underway:
            return
        stock, codes, drawing = underway.popleft()
        added[stock] += _add(pool, map(Drawn, codes, drawing.result()), stock, record)


def _add(pool: Pool, drawn: Iterable[Drawn], stock: Stock, record: FillRecord) -> int:
    try:
        ids = pool.add(drawn, stock)
    except AddingStoppedError as error:
        record.add(len(error.ids))
        raise StorageError(f"{error}; {record.added} captchas were added before that") from error
    record.add(len(ids))
    return len(ids)


def _ready(pool: Pool, stocks: Sequence[Stock]) -> str:
    return ", ".join(f"{pool.level(stock)} {stock} ready" for stock in stocks)

"""Write a dataset, a shard at a time, while other processes draw the next ones."""

import shutil
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

from rich.progress import Progress

from batch.datasets.card import write_card
from batch.datasets.formats import FORMATS, Files
from batch.datasets.plan import FOLDER, DatasetError, Plan, Shard
from batch.datasets.records import draw_records, touched
from batch.drawing.workers import Engine
from batch.glyphs.sampler import load_sampler
from pool.storage.atomic import file_lock, storage_errors, sync_file_system, write_durably


def write_dataset(
    plan: Plan, codes: Sequence[str] | None, folder: Path, checkpoints_dir: Path, engine: Engine, progress: Progress
) -> int:
    """Draw what is missing of a dataset, and write what belongs to it; return how many captchas were drawn.

    Raises:
        DatasetError: another process is writing it, or a library that its format needs is missing.
        StorageError: the disk is full or not writable; finished shards stay.
    """
    format_ = FORMATS[plan.format]
    with file_lock(folder / FOLDER / "lock") as is_ours:
        if not is_ours:
            raise DatasetError(f"another process is writing {folder}")
        missing = [shard for shard in plan.shards() if not (folder / format_.path(plan, shard)).exists()]
        left = sum(shard.end - shard.start for shard in missing)
        bar = progress.add_task("drawing", total=plan.count, completed=plan.count - left)
        for shard, files in _draw(plan, codes, missing, checkpoints_dir, engine):
            _place(folder / format_.path(plan, shard), files)
            progress.advance(bar, shard.end - shard.start)
        format_.finish(plan, folder)
        write_card(plan, folder)
    return left


def _draw(
    plan: Plan, codes: Sequence[str] | None, shards: Sequence[Shard], checkpoints_dir: Path, engine: Engine
) -> Iterator[tuple[Shard, Files]]:
    """Draw shards in order, at most one ahead for each process, so that memory stays flat."""
    if not shards:
        return
    with engine(len(shards)) as workers:
        underway: deque[tuple[Shard, Future[Files]]] = deque()
        for shard in shards:
            if len(underway) > workers.count:
                first, drawing = underway.popleft()
                yield first, drawing.result()
            own = None if codes is None else codes[touched(shard).start : touched(shard).stop]
            underway.append((shard, workers.submit(draw_shard, plan, shard, own, checkpoints_dir)))
        for shard, drawing in underway:
            yield shard, drawing.result()


def draw_shard(plan: Plan, shard: Shard, codes: Sequence[str] | None, checkpoints_dir: Path) -> Files:
    """Draw a shard's files, in a worker. A repeated call gives the same bytes."""
    return FORMATS[plan.format].pack(plan, draw_records(plan, shard, codes, load_sampler(checkpoints_dir)))


def _place(path: Path, files: Files) -> None:
    """Put a whole shard in its place."""
    if "" in files:
        write_durably(path, files[""])
        return
    unfinished = path.with_name(f".{path.name}.part")
    with storage_errors(path):
        if unfinished.exists():
            shutil.rmtree(unfinished)
        unfinished.mkdir(parents=True)
        try:
            for name, content in files.items():
                (unfinished / name).write_bytes(content)
            sync_file_system(unfinished)
            unfinished.rename(path)
        except OSError:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise

"""Write a dataset, a shard at a time, while other processes draw the next ones."""

import shutil
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

from rich.progress import Progress

from batch.dataset.card import write_card
from batch.dataset.layouts import LAYOUTS, Files
from batch.dataset.plan import FOLDER, DatasetError, Plan, Shard
from batch.dataset.records import draw_records, touched
from batch.drawing import load_sampler
from batch.engines import Engine
from pool.durable import file_lock, sync_file_system, told_as_storage_error, write_durably


def write_dataset(
    plan: Plan, codes: Sequence[str] | None, folder: Path, checkpoints_dir: Path, engine: Engine, progress: Progress
) -> int:
    """Draw what is missing of a dataset, and write what belongs to it; return how many captchas were drawn.

    Raises:
        DatasetError: another process is writing it, or a library that its layout needs is missing.
        StorageError: the disk is full or not writable; finished shards stay.
    """
    layout = LAYOUTS[plan.layout]
    with file_lock(folder / FOLDER / "lock") as is_ours:
        if not is_ours:
            raise DatasetError(f"another process is writing {folder}")
        missing = [shard for shard in plan.shards() if not (folder / layout.path(plan, shard)).exists()]
        left = sum(shard.end - shard.start for shard in missing)
        bar = progress.add_task("drawing", total=plan.count, completed=plan.count - left)
        for shard, files in _draw(plan, codes, missing, checkpoints_dir, engine):
            _land(folder / layout.path(plan, shard), files)
            progress.advance(bar, shard.end - shard.start)
        layout.finish(plan, folder)
        write_card(plan, folder)
    return left


def _draw(
    plan: Plan, codes: Sequence[str] | None, shards: Sequence[Shard], checkpoints_dir: Path, engine: Engine
) -> Iterator[tuple[Shard, Files]]:
    """Draw shards in order, no more of them ahead than there are processes: memory stays flat."""
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
    """Draw a shard's files, in a drawing process. However often that is done, it gives the same."""
    return LAYOUTS[plan.layout].pack(plan, draw_records(plan, shard, codes, load_sampler(checkpoints_dir)))


def _land(path: Path, files: Files) -> None:
    """Put a shard in its place, whole."""
    if "" in files:
        write_durably(path, files[""])
        return
    unfinished = path.with_name(f".{path.name}.part")
    with told_as_storage_error(path):
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

"""Write a dataset, a shard at a time, while other processes draw the next ones."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

from rich.progress import Progress

from batch.datasets.card import write_card
from batch.datasets.checksums import Checksums
from batch.datasets.formats import ANNOTATIONS, FORMATS, merge_annotations
from batch.datasets.places import Files, Place
from batch.datasets.plan import Plan, Shard
from batch.datasets.shards import draw_shard, touched
from batch.workers import Engine


class Writer:
    """Writes a dataset into its place, and knows what is there."""

    def __init__(self, plan: Plan, place: Place) -> None:
        self._plan, self._place = plan, place
        self._format = FORMATS[plan.format]
        self._checksums = Checksums(place)
        self._whole: set[str] = set()

    def damaged(self, *, thorough: bool) -> list[Shard]:
        """Return the shards that are to be drawn: those not written yet or, if `thorough`, changed since."""
        self._whole = self._checksums.whole(thorough=thorough)
        if self._format.merged:
            self._whole -= {path for path in self._merged() if not self._place.exists(path)}
        return [shard for shard in self._plan.shards() if not self._is_whole(shard)]

    def _merged(self) -> list[str]:
        """Return the paths of the annotations that are not part of a shard."""
        return [self._format.merged.format(split=split) for split in self._plan.splits] if self._format.merged else []

    def _is_whole(self, shard: Shard) -> bool:
        path = self._format.path(self._plan, shard)
        if path not in self._whole or not self._format.merged:
            return path in self._whole
        return self._format.merged.format(split=shard.split) in self._whole or self._place.exists(
            f"{path}/{ANNOTATIONS}"
        )

    def write(
        self,
        missing: Sequence[Shard],
        codes: Sequence[str] | None,
        checkpoints_dir: Path,
        engine: Engine,
        begin: Callable[[], None],
        progress: Progress,
    ) -> int:
        """Draw the missing shards and write what belongs to a dataset; return how many captchas were drawn.

        `begin` is called before the first is written.

        Raises:
            DatasetError: a library that the format needs is missing.
            StorageError: the disk is full or not writable; finished shards stay.
        """
        left = sum(shard.end - shard.start for shard in missing)
        bar = progress.add_task("drawing", total=self._plan.count, completed=self._plan.count - left)
        self._checksums.forget_others(self._whole)
        begun = False
        for shard, files in self._draw(missing, codes, checkpoints_dir, engine):
            if not begun:
                begin()
                begun = True
            path = self._format.path(self._plan, shard)
            if "" in files:
                self._place.write(path, files[""])
            else:
                self._place.write_folder(path, files)
            self._checksums.record(path, files)
            progress.advance(bar, shard.end - shard.start)
        for split, path in zip(self._plan.splits, self._merged(), strict=False):
            if path not in self._whole:
                merge_annotations(self._plan, self._place, split)
                self._checksums.record_written(path)
        if self._format.merged:
            shards = (self._format.path(self._plan, shard) for shard in self._plan.shards())
            self._place.remove({f"{path}/{ANNOTATIONS}" for path in shards})
        write_card(self._plan, self._place)
        return left

    def _draw(
        self, shards: Sequence[Shard], codes: Sequence[str] | None, checkpoints_dir: Path, engine: Engine
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
                underway.append((shard, workers.submit(draw_shard, self._plan, shard, own, checkpoints_dir)))
            for shard, drawing in underway:
                yield shard, drawing.result()

"""Write a dataset, a shard at a time, while other processes draw the next ones."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

from rich.progress import Progress

from batch.datasets.card import write_card
from batch.datasets.checksums import Checksums
from batch.datasets.formats import FORMATS
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

    def damaged(self, *, thorough: bool) -> list[str]:
        """Return the paths of what is missing or has another size or, if `thorough`, other bytes."""
        whole = self._checksums.whole(thorough=thorough)
        paths = [*map(self._format.path, self._plan.shards()), *self._merged().values()]
        return [path for path in paths if path not in whole]

    def _merged(self) -> dict[str, str]:
        """Return the path of the file that the shards of a split share, by split, if the format has such files."""
        merged = self._format.merged
        return {split: merged.format(split=split) for split in self._plan.counts} if merged else {}

    def write(
        self,
        codes: Sequence[str] | None,
        checkpoints_dir: Path,
        engine: Engine,
        progress: Progress,
        *,
        thorough: bool,
    ) -> int:
        """Draw what is `damaged`, and write what belongs to a dataset; return how many captchas were drawn.

        Raises:
            DatasetError: a library that the format needs is missing.
            StorageError: the disk is full or not writable; finished shards stay.
        """
        whole, path_of = self._checksums.whole(thorough=thorough), self._format.path
        missing = [shard for shard in self._plan.shards() if path_of(shard) not in whole]
        merged = self._merged()
        whole -= {merged[shard.split] for shard in missing if merged}
        left = sum(shard.end - shard.start for shard in missing)
        bar = progress.add_task("drawing", total=self._plan.count, completed=self._plan.count - left)
        self._checksums.forget_others(whole)
        for shard, files in self._draw(missing, codes, checkpoints_dir, engine):
            path = path_of(shard)
            if "" in files:
                self._place.write(path, files[""])
            else:
                self._place.write_folder(path, files)
            self._checksums.record(path, files)
            progress.advance(bar, shard.end - shard.start)
        for split, path in merged.items():
            if path not in whole:
                shards = (shard for shard in self._plan.shards() if shard.split == split)
                self._merge([path_of(shard) for shard in shards], path)
        write_card(self._plan, self._place)
        return left

    def _merge(self, shards: Sequence[str], path: str) -> None:
        with self._place.writing(path) as file:
            for part in self._format.merge(self._plan, self._place, shards):
                file.write(part)
        self._checksums.record_written(path)

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

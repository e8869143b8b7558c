"""Samples for PyTorch, drawn while it trains."""

import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Unpack

import torch
from torch.utils.data import IterableDataset, get_worker_info

from gantcha.captcha import Captcha
from gantcha.stream import EPOCH, Settings, samples

_MOST_WORKERS = 1024


def as_tensors(sample: Captcha) -> tuple[torch.Tensor, str]:
    """Return the picture `[1, height, width]`, 0 to 1, and the code."""
    return torch.from_numpy(sample.picture)[None] / 255, sample.code


def collate(batch: Sequence[tuple[torch.Tensor, str]]) -> tuple[torch.Tensor, list[str]]:
    """Return a batch of what `as_tensors` gives: pictures `[N, 1, height, widest]`, and codes.

    Codes of several lengths have pictures of several widths: the `collate_fn` of a `DataLoader` that makes them alike.
    The right ends of narrow ones repeat their last column, which is paper.
    """
    widest = max(picture.shape[-1] for picture, _ in batch)
    padded = [
        torch.nn.functional.pad(picture, (0, widest - picture.shape[-1]), mode="replicate") for picture, _ in batch
    ]
    return torch.stack(padded), [code for _, code in batch]


class CaptchaDataset(IterableDataset[Any]):  # type: ignore[misc] # torch ships no types to developers without it
    """An endless stream of `transform(sample)`, of `gantcha.samples` with these settings.

    The workers of a `DataLoader` and the processes of `torch.distributed` share one stream, however they are started:
    no sample comes twice. Each epoch, which is one iteration of the loader, goes on with other samples; the same seed
    gives the same epochs. With several processes give a `seed`, the same for all.

    Raises:
        GantchaError: a setting is invalid.
        ValueError: there are several processes and no seed.
    """

    def __init__(
        self,
        transform: Callable[[Captcha], Any] = as_tensors,
        *,
        seed: int | None = None,
        start: int = 0,
        **settings: Unpack[Settings],
    ) -> None:
        """`start` is the number of the first sample of each epoch, to go on where another run ended."""
        samples(seed=seed, start=start, **settings)  # a fault is told here, not by a worker
        self._transform, self._start, self._settings = transform, start, settings
        self._has_seed = seed is not None
        self._seed = secrets.randbits(63) if seed is None else seed
        self._place: tuple[int, int] | None = None
        # Shared with the workers: each counts the epochs that it has begun, and may live for one or for all.
        self._epochs = torch.zeros(_MOST_WORKERS, dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """Begin with this epoch, counted from 0, when the dataset is iterated next."""
        self._epochs.fill_(epoch)

    def __getstate__(self) -> dict[str, Any]:
        """Tell a worker that is spawned which process it works for: it is no member of the process group."""
        return self.__dict__ | {"_place": self._place or _find_place()}

    def __iter__(self) -> Iterator[Any]:
        """Begin the next epoch."""
        info = get_worker_info()
        own, each = (info.id, info.num_workers) if info else (0, 1)
        rank, ranks = self._place or _find_place()
        if ranks > 1 and not self._has_seed:
            raise ValueError("several processes need the same seed: CaptchaDataset(seed=1)")
        epoch = int(self._epochs[own])
        self._epochs[own] += 1
        drawn = samples(
            seed=self._seed,
            start=epoch * EPOCH + self._start,
            worker=rank * each + own,
            workers=ranks * each,
            **self._settings,
        )
        return map(self._transform, drawn)


def _find_place() -> tuple[int, int]:
    """Return the number of this process and how many there are: of the process group, or as a launcher says."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))

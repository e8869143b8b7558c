"""Samples for PyTorch, drawn while it trains."""

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.data import IterableDataset, get_worker_info

from gantcha.captcha import Captcha
from gantcha.stream import samples


def as_tensors(sample: Captcha) -> tuple[torch.Tensor, str]:
    """Return the picture `[1, height, width]`, 0 to 1, and the code."""
    return torch.from_numpy(sample.picture)[None] / 255, sample.code


class CaptchaDataset(IterableDataset[Any]):  # type: ignore[misc] # torch ships no types to developers without it
    """An endless stream of `transform(sample)`, of `gantcha.samples` with these settings.

    The workers of a `DataLoader`, and the processes of `torch.distributed`, share one stream: no sample comes twice.
    With several processes give a `seed`, the same for all.
    """

    def __init__(self, transform: Callable[[Captcha], Any] = as_tensors, **settings: Any) -> None:
        self._transform = transform
        self._settings = {"seed": secrets.randbits(63)} | settings

    def __iter__(self) -> Iterator[Any]:
        """Begin the stream from its start."""
        info = get_worker_info()
        own, each = (info.id, info.num_workers) if info else (0, 1)
        rank, ranks = 0, 1
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            rank, ranks = torch.distributed.get_rank(), torch.distributed.get_world_size()
        drawn = samples(**self._settings, worker=rank * each + own, workers=ranks * each)
        return map(self._transform, drawn)

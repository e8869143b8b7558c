"""Where captchas are drawn: in processes of this machine, or in a Ray cluster. Both run the same functions."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batch.drawing import load_sampler
from batch.processes import started


@dataclass(frozen=True)
class Workers:
    """Processes that have the generators loaded."""

    count: int
    submit: Callable[..., Future[Any]]
    """has one of them call a function with its arguments"""


Engine = Callable[[int], AbstractContextManager[Workers]]
"""Starts workers, no more than there will be calls."""


def on_this_machine(jobs: int, checkpoints_dir: Path) -> Engine:
    """Draw in up to so many processes."""

    @contextmanager
    def engine(calls: int) -> Iterator[Workers]:
        count = min(jobs, calls)
        with started(count, load_sampler, checkpoints_dir) as processes:
            yield Workers(count, processes.submit)

    return engine

"""Processes that do heavy work beside one another, and end when the one that started them does."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from pool.errors import GantchaError

# What several processes share the cores for needs no threads within; and glibc is not to give big arrays back to the
# system only to ask for them again, which took a third of the time of rendering.
ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(256 * 2**20),
}
SPAWN = multiprocessing.get_context("spawn")  # TensorFlow does not survive a fork


class ProcessDiedError(GantchaError):
    """A process died, most likely killed for want of memory."""


@contextmanager
def started(count: int, prepare: Callable[..., Any] | None = None, *arguments: Any) -> Iterator[ProcessPoolExecutor]:
    """Start up to `count` processes, each prepared by a call; what they still do when the block ends is given up.

    Raises:
        ProcessDiedError: one of them was killed.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)  # this process has read its own already: it is for the new ones
    processes = ProcessPoolExecutor(count, SPAWN, _begin, (prepare, arguments))
    try:
        yield processes
    except BrokenProcessPool as error:
        raise ProcessDiedError(
            f"one of {count} processes died, perhaps for want of memory: try again with fewer --jobs"
        ) from error
    finally:
        for process in multiprocessing.active_children():
            process.terminate()
        processes.shutdown(cancel_futures=True)


def _begin(prepare: Callable[..., Any] | None, arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to act on
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if prepare:
        prepare(*arguments)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
        os._exit(1)

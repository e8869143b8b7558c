"""Worker processes, which end when the process that started them does."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from gantcha.errors import GantchaError

# One thread for each process, since processes share the cores. And glibc must keep the memory of big arrays: returning
# it to the system and asking for it again took a third of the time of rendering.
ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(256 * 2**20),
}
SPAWN = multiprocessing.get_context("spawn")  # TensorFlow does not survive a fork


class NoProcessesError(GantchaError):
    """This machine lets no workers start."""


class ProcessDiedError(GantchaError):
    """A worker died; most likely it was killed because memory ran out."""


@contextmanager
def started(count: int, prepare: Callable[..., Any] | None = None, *arguments: Any) -> Iterator[ProcessPoolExecutor]:
    """Start up to `count` processes, each of which calls `prepare` first; unfinished work is dropped at the end.

    Raises:
        NoProcessesError: they can't share memory.
        ProcessDiedError: one of them was killed.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)  # for the workers: this process has read its own already
    of_others = set(multiprocessing.active_children())  # of a program that uses `gantcha`
    try:
        processes = ProcessPoolExecutor(count, SPAWN, _begin, (prepare, arguments))
    except OSError as error:
        raise NoProcessesError(
            f"no process can start to draw ({error.strerror}): mount a temporary folder on /dev/shm"
        ) from error
    processes.submit(os.getpid)  # they start with the first call
    try:
        yield processes
    except BrokenProcessPool as error:
        raise ProcessDiedError(
            f"one of {count} processes died, perhaps because memory ran out: try again with fewer --jobs"
        ) from error
    finally:
        for process in set(multiprocessing.active_children()) - of_others:
            process.terminate()
        processes.shutdown(cancel_futures=True)


def _begin(prepare: Callable[..., Any] | None, arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to act on
    threading.Thread(target=_end_with_parent, daemon=True).start()
    use_one_thread()
    if prepare:
        prepare(*arguments)


def use_one_thread() -> None:
    """Keep OpenCV to one thread in this process: processes share the cores."""
    import cv2  # noqa: PLC0415 - the process that starts workers does without

    cv2.setNumThreads(1)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
        os._exit(1)

"""Threads that do the same thing at once, until the end of a `with` block."""

import threading
from typing import Self


class Crowd:
    """Runs `work`, which ends soon after `stop` is set."""

    def __init__(self, size: int) -> None:
        """`size` is the number of threads."""
        self.stop = threading.Event()
        self._threads = [threading.Thread(target=self.work) for _ in range(size)]

    def work(self) -> None:
        """Do what one thread does."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for thread in self._threads:
            thread.join()

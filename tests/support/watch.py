"""What an attack does to a server, seen from beside it: its memory, and how long others wait."""

import threading
import time
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import psutil


class Watch:
    """While it is open, measures the server's memory and asks `/healthz` from a thread of its own."""

    def __init__(self, url: str, pid: int, on_wait: Callable[[float, float], None] | None = None) -> None:
        """`on_wait` is told when each `/healthz` was asked, by the performance counter, and how long it took."""
        self._on_wait = on_wait
        self.peak_mebibytes = self.worst_seconds = 0.0
        self.error: str | None = None
        self._url, self._process, self._done = url, psutil.Process(pid), threading.Event()
        self.first_mebibytes = self._mebibytes()
        self._threads = [threading.Thread(target=self._weigh), threading.Thread(target=self._ask)]

    @property
    def grown_mebibytes(self) -> float:
        """How much memory was taken at the most."""
        return self.peak_mebibytes - self.first_mebibytes

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, _type: type[BaseException] | None, _error: object, _traceback: TracebackType | None) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()

    def _mebibytes(self) -> float:
        return float(self._process.memory_info().rss) / 2**20

    def _weigh(self) -> None:
        while not self._done.wait(0.01) and self._process.is_running():
            self.peak_mebibytes = max(self.peak_mebibytes, self._mebibytes())

    def _ask(self) -> None:
        address = urlsplit(self._url).netloc
        while not self._done.wait(0.02):
            started = time.perf_counter()
            try:
                with closing(HTTPConnection(address, timeout=120)) as connection:
                    connection.request("GET", "/healthz")
                    status = connection.getresponse().status
                    self.error = self.error or (None if status == 200 else f"/healthz answered {status}")
            except OSError as error:
                self.error = repr(error)
            seconds = time.perf_counter() - started
            self.worst_seconds = max(self.worst_seconds, seconds)
            if self._on_wait:
                self._on_wait(started, seconds)

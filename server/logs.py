"""Logs: readable lines on a terminal, JSON lines elsewhere; all lines of a request have its id."""

import atexit
import io
import logging
import os
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TextIO

import structlog
from pydantic_core import to_json
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

from pool.settings import LogAddresses, Settings, foreign_variables
from server import metrics
from server.addresses import network_of

log = logging.getLogger(__name__)
_MOST_LINES = 2000
_PAUSE_SECONDS = 0.01
_ENDING_SECONDS = 1


def configure(settings: Settings) -> None:
    """Send all logs, including those of uvicorn, to stderr in one format."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    shared: list[Processor] = [
        *_ADDRESSES[settings.log_addresses],
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # Tracebacks are plain text: the richer formats show local variables, and so codes.
    render: list[Processor] = (
        [_escape, structlog.dev.ConsoleRenderer(exception_formatter=_plain_traceback)]
        if sys.stderr.isatty()
        else [structlog.processors.format_exc_info, _escape, structlog.processors.JSONRenderer(serializer=_to_json)]
    )
    structlog.configure(
        processors=[*shared, *render],
        logger_factory=structlog.WriteLoggerFactory(_queue()),  # type: ignore[arg-type] # of it only this is used
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(_queue())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name, _without_color_message],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], name != "uvicorn.access"  # requests are logged by `server.middleware`
        logger.setLevel(logging.NOTSET)  # uvicorn's own command has set another
    logging.getLogger("apscheduler").setLevel(logging.ERROR)  # a check skipped during a fill is normal


def warn_of_foreign_variables() -> None:
    """Name the variables that look like settings of ours; call it once, at the start of a service."""
    if names := foreign_variables():
        log.warning("the environment has variables that are no settings of this service: %s", ", ".join(names))


def drain() -> None:
    """Write what is left; call it when the server ends, which a signal may do without the rest of the clean-up."""
    _queue().drain()


@cache
def _queue() -> "_Queue":
    return _Queue()


class _Queue:
    """A stream that a thread writes to stderr, so that nobody waits for who reads it.

    When too many lines wait, or the disk is full, lines are dropped and counted. Only takes whole lines.
    """

    def __init__(self) -> None:
        self._file = sys.stderr.fileno()  # not the stream, whose lock others would wait for
        self._lines: deque[bytes] = deque()  # no lock: the garbage collector logs too, at any moment
        self._filled = threading.Event()
        self._is_writing = self._is_ending = False
        self._dropped = 0
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()
        atexit.register(self.drain)

    def write(self, line: str) -> None:
        """Take a line, or drop it."""
        if len(self._lines) >= _MOST_LINES:
            self._drop(1)
            return
        self._lines.append(line.encode("utf-8", "backslashreplace"))
        self._filled.set()
        if self._is_ending and threading.current_thread() is not self._thread:
            self.drain()

    def flush(self) -> None:
        """Do nothing: the thread writes soon."""

    def drain(self) -> None:
        """Wait until all is written, but not long; from now on after each line, as the process may end at any time."""
        self._is_ending = True
        deadline = time.monotonic() + _ENDING_SECONDS
        while (self._lines or self._is_writing) and time.monotonic() < deadline:
            time.sleep(0.002)

    def _drop(self, count: int) -> None:
        self._dropped += count
        metrics.DROPPED.inc(count)

    def _run(self) -> None:
        while True:
            self._filled.wait()
            self._filled.clear()
            self._is_writing = True
            while self._lines:
                self._write_some()
            self._is_writing = False
            time.sleep(_PAUSE_SECONDS)  # a busy server would otherwise switch to this thread for each line

    def _write_some(self) -> None:
        """Write as many lines as go into a pipe at once, so that those of other processes stay apart; at least one."""
        piece, count = b"", 0
        while self._lines and (not piece or len(piece) + len(self._lines[0]) <= select.PIPE_BUF):
            piece, count = piece + self._lines.popleft(), count + 1
        try:
            while piece:
                piece = piece[os.write(self._file, piece) :]
        except OSError:
            self._drop(count)
        else:
            if self._dropped and not self._lines:
                dropped, self._dropped = self._dropped, 0
                log.warning("%d log lines were dropped: they were not read or written in time", dropped)


def _name_networks(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    if client := event.get("client"):
        event["client"] = network_of(client)
    return event


def _omit_addresses(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event.pop("client", None)
    return event


_ADDRESSES: Mapping[LogAddresses, Sequence[Processor]] = {
    "full": (),
    "network": (_name_networks,),
    "none": (_omit_addresses,),
}
"""What becomes of addresses: every line that has one has it as `client`."""


def _to_json(event: EventDict, **_: object) -> str:
    return to_json(event, fallback=repr).decode()


def _without_color_message(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event.pop("color_message", None)  # uvicorn's event once more, with escapes
    return event


def _escape(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Escape what clients sent, so that it can't control a terminal or start a second log line."""
    for key, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[key] = _printable(value, keep="\n" if key == "exception" else "")
    return event


def _printable(text: str, keep: str) -> str:
    """Escape what is not printable: control characters, direction marks, lone surrogates."""
    return "".join(
        character if character in keep or character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def _plain_traceback(stream: TextIO, error: ExcInfo) -> None:
    written = io.StringIO()
    structlog.dev.plain_traceback(written, error)
    stream.write(_printable(written.getvalue(), keep="\n"))

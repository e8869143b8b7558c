"""Logs: readable lines on a terminal, JSON lines elsewhere; all lines of a request have its id."""

import io
import logging
import sys
from contextlib import suppress
from typing import TextIO

import structlog
from pydantic_core import to_json
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

from pool.settings import foreign_variables

log = logging.getLogger(__name__)


def configure() -> None:
    """Send all logs, including those of uvicorn, to stderr in one format."""
    shared: list[Processor] = [
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
        logger_factory=structlog.WriteLoggerFactory(_Lossy(sys.stderr)),  # type: ignore[arg-type] # of it only this is used
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name, _without_color_message],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], name != "uvicorn.access"  # requests are logged by `server.middleware`
    logging.getLogger("apscheduler").setLevel(logging.ERROR)  # a check skipped during a fill is normal


def warn_of_foreign_variables() -> None:
    """Name the variables that look like settings of ours; call it once, at the start of a service."""
    if names := foreign_variables():
        log.warning("the environment has variables that are no settings of this service: %s", ", ".join(names))


class _Lossy:
    """A stream that drops log lines on a full disk, so that requests do not fail."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, line: str) -> None:
        """Write a line, or drop it."""
        with suppress(OSError):
            self._stream.write(line)

    def flush(self) -> None:
        """Flush the stream, or drop what was written."""
        with suppress(OSError):
            self._stream.flush()


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

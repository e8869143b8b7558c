"""Limits on what one connection may send, in bytes and seconds, before any route reads it.

`python -m server` uses it; plain uvicorn needs `--http server.protocol:BoundedProtocol`.
"""

import asyncio
from typing import Any

import httptools
import structlog
from pydantic_core import to_json
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from server.addresses import plain_address

log = structlog.get_logger("gantcha.protocol")
_MOST_HEAD = 32 * 1024  # bytes of a head, of trailers, or of anything else that is not a body
_MOST_URL = 8 * 1024
_MOST_FIELDS = 100  # in the query of a URL
_LONG_URL = 256
_MOST_HEADERS = 100
_MOST_BYTES = {"POST": 1536 * 1024}  # bytes of a whole message; the routes have tighter limits
_MOST_UNWANTED_BYTES = 64 * 1024  # bytes of a message with another method, whose body no route reads
_MOST_PIPELINED = 32
_HEAD_SECONDS = 10
_BODY_SECONDS = 12  # longer than a route waits before it answers 408
_UNREAD_SECONDS = 30  # to wait for a client that does not read its answers
_REASONS = {
    400: "This is not HTTP/1.1.",
    408: "The request took too long to arrive.",
    413: "The body is too large.",
    431: f"URL or headers are too large; {_MOST_HEAD // 1024} KiB, {_MOST_HEADERS} headers and {_MOST_FIELDS} fields "
    "are allowed.",
}


class _RejectedError(Exception):
    """Stops the parser."""


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with limits; uvicorn itself limits neither headers, trailers and pipelines nor waiting times.

    A request that arrives in one read costs only a few comparisons; the rest handles what is incomplete after a read.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._is_in_head = False
        self._is_whole = False  # the last message is complete, so nothing more is expected
        self._has_moved_on = False  # the last piece brought a body or an end
        self._is_deaf = False
        self._error_status = 400  # the status to send when the parser stops
        self._bytes = 0  # received of the message that is not complete yet
        self._silent_bytes = 0  # received since the parser last moved on
        self._deadline: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._running: RequestResponseCycle | None = None  # of a pipeline, `cycle` is the last one that was read

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Start a timer for the first byte; the first read stops it."""
        super().connection_made(transport)
        self.timeout_keep_alive_task = self.loop.call_later(_HEAD_SECONDS, self.timeout_keep_alive_handler)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all timers, and tell the request that is running; uvicorn tells only the last one of a pipeline."""
        if self._running is not None:
            self._running.disconnected = True
            self._running.message_event.set()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._stop_clock()
        self.resume_writing()

    def data_received(self, data: bytes) -> None:
        """Parse in pieces, so that the limits are checked at least once per head size."""
        self._unset_keepalive_if_required()
        start = 0
        while start < len(data) and not self._is_deaf:
            end = start + _MOST_HEAD - self._silent_bytes
            self._parse(data[start:end])
            start = end
        if self._is_deaf and not self.transport.is_closing():
            self.flow.pause_reading()  # until the next answer is sent, when uvicorn goes on

    def _parse(self, piece: bytes) -> None:
        self._is_whole = self._has_moved_on = False
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade:  # what follows is another protocol, which nobody speaks here
            self._close_after_answers()
        except httptools.HttpParserError:
            if not self._is_deaf:
                self._reject(self._error_status)
        else:
            if self._is_whole:
                self._bytes = self._silent_bytes = 0
            else:
                self._count(len(piece))

    def _count(self, count: int) -> None:
        self._bytes += count
        self._silent_bytes = 0 if self._has_moved_on else self._silent_bytes + count
        if self._silent_bytes >= _MOST_HEAD:
            self._reject(431)
        elif not self._is_in_head and self._bytes > _MOST_UNWANTED_BYTES and self._bytes > self._most_bytes():
            self._reject(413)
        elif self._deadline is None:
            self._start_clock()

    def _most_bytes(self) -> int:
        return _MOST_BYTES.get(self.scope["method"], _MOST_UNWANTED_BYTES)

    def _start_clock(self) -> None:
        is_for_head = self._is_in_head
        seconds = _HEAD_SECONDS if is_for_head else _BODY_SECONDS
        self._deadline = self.loop.call_later(seconds, self._on_deadline, is_for_head)

    def _on_deadline(self, is_for_head: bool) -> None:
        if is_for_head and not self._is_in_head:
            self._start_clock()
        else:
            self._reject(408)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def on_message_begin(self) -> None:
        """Note that more is to come."""
        super().on_message_begin()
        self._is_in_head, self._is_whole = True, False

    def on_headers_complete(self) -> None:
        """Reject heads and pipelines that are too long, before a request starts; _RejectedError stops the parser."""
        if len(self.headers) > _MOST_HEADERS or len(self.url) > _MOST_URL or self.url.count(b"&") > _MOST_FIELDS:
            self._error_status = 431
            raise _RejectedError
        if len(self.url) > _LONG_URL and self.url.count(b"%") > len(self.url) // 3:
            raise _RejectedError  # some begin no escape; decoding takes time for each
        if len(self.pipeline) >= _MOST_PIPELINED:
            self._close_after_answers()
            raise _RejectedError
        super().on_headers_complete()
        self._is_in_head = False
        self.headers = []  # trailers must not join the headers that were checked

    def on_body(self, body: bytes) -> None:
        """Note that the message goes on."""
        self._has_moved_on = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that the message is complete."""
        self._is_whole = self._has_moved_on = True
        self._bytes = 0
        if self._deadline is not None:
            self._stop_clock()
        super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _should_upgrade(self) -> bool:
        return False  # to nothing; uvicorn would first split the header

    def _close_after_answers(self) -> None:
        """Send the answers that are due, and read no more."""
        self._is_deaf = True
        self._stop_clock()
        self.cycle.keep_alive = False
        if self.cycle.response_complete:
            self.transport.close()

    def _reject(self, status: int) -> None:
        """Close the connection; send the reason unless another answer is started or due."""
        self._is_deaf = True
        self._stop_clock()
        log.info("connection rejected", status=status, client=self.client and plain_address(self.client[0]))
        cycle = self.cycle
        is_free = cycle is None or cycle.response_complete
        if is_free if self._is_in_head else cycle and not cycle.response_started and not self.pipeline:
            body = to_json({"detail": _REASONS[status]})
            head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
            lines = [b"%b: %b\r\n" % line for line in (*self.server_state.default_headers, *head)]
            self.transport.write(b"".join([STATUS_LINE[status], *lines, b"connection: close\r\n\r\n", body]))
        self.transport.close()

    def pause_writing(self) -> None:
        """Start a timer for a client that does not read its answers."""
        super().pause_writing()
        self._unread = self.loop.call_later(_UNREAD_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop that timer."""
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

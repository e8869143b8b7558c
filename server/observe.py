"""What is seen of every request: an id, a line in the log, and its time in the metrics."""

import re
import time
from secrets import token_hex

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.metrics import SECONDS

log = structlog.get_logger("gantcha.request")
_GIVEN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ID_HEADER = "X-Request-ID"
_METHODS = {"GET", "HEAD", "POST", "OPTIONS"}  # a label's values must be few, whatever is sent


class Observe:
    """ASGI middleware, the outermost. Takes over the id of a caller that sends one, or draws it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and note what became of it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        given = Headers(scope=scope).get(_ID_HEADER, "")
        request_id = given if _GIVEN_ID.fullmatch(given) else token_hex(8)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        status = 500

        async def noting_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[_ID_HEADER] = request_id
            await send(message)

        try:
            await self.app(scope, receive, noting_send)
        finally:
            seconds = time.perf_counter() - started
            method, route = scope["method"], getattr(scope.get("route"), "path", "none")
            SECONDS.labels(method if method in _METHODS else "other", route, status).observe(seconds)
            log.info(
                "request",
                method=method,
                path=scope["path"],
                status=status,
                ms=round(seconds * 1000, 1),
                client=scope["client"][0] if scope["client"] else None,
            )

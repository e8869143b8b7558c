"""Middleware: id, log line and metrics of each request, `HEAD` for every route that answers `GET`, and a fast way."""

import re
import time
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from secrets import token_hex

import structlog
from fastapi import Request
from fastapi.routing import APIRoute
from prometheus_client import Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server import errors
from server.metrics import SECONDS

log = structlog.get_logger("gantcha.request")
_GIVEN_ID = re.compile(rb"[A-Za-z0-9_-]{1,64}")
_ID_HEADER = b"x-request-id"
_MOST_PATH = 256  # characters: an id's is 33
_PICTURE = re.compile(r"/([0-9a-f]{32})")
_METHODS = {"GET", "HEAD", "POST", "OPTIONS"}  # a label must have few values, whatever clients send


class RequestLog:
    """ASGI middleware, the outermost. Uses the caller's X-Request-ID or makes one."""

    def __init__(self, app: ASGIApp, *, is_logged: bool) -> None:
        """With `is_logged=False` requests have an id and are counted, but leave no line."""
        self.app, self._is_logged = app, is_logged

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, then log and count it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = _given_id(scope["headers"]) or token_hex(8)  # a counter would reveal the traffic
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        own_header = (_ID_HEADER, request_id.encode())
        status = 500

        async def noting_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], own_header]
            await send(message)

        try:
            await self.app(scope, receive, noting_send)
        finally:
            seconds = time.perf_counter() - started
            _histogram(scope["method"], getattr(scope.get("route"), "path", "none"), status).observe(seconds)
            if self._is_logged:
                log.info(
                    "request",
                    method=scope["method"],
                    path=scope["path"][:_MOST_PATH],
                    status=status,
                    ms=round(seconds * 1000, 1),
                    client=scope["client"][0] if scope["client"] else None,
                )


def _given_id(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    return next((value.decode() for name, value in headers if name == _ID_HEADER and _GIVEN_ID.fullmatch(value)), None)


@lru_cache(1000)  # bounded, whatever methods clients send
def _histogram(method: str, route: str, status: int) -> Histogram:
    return SECONDS.labels(method if method in _METHODS else "other", route, status)


class Head:
    """ASGI middleware that answers `HEAD` like `GET`, without the body."""

    def __init__(self, app: ASGIApp, own: Collection[str]) -> None:
        """`own` are the paths that answer `HEAD` themselves, since their `GET` hands out a captcha."""
        self.app = app
        self._own = own

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, as a `GET` if it is a `HEAD`."""
        if scope["type"] != "http" or scope["method"] != "HEAD" or scope["path"] in self._own:
            await self.app(scope, receive, send)
            return

        async def send_no_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        asked = {**scope, "method": "GET"}
        await self.app(asked, receive, send_no_body)
        scope["route"] = asked.get("route")  # for the metrics


class FastWay:
    """ASGI middleware, the innermost: answers the routes of a visitor's journey without FastAPI.

    FastAPI's routing, injection and validation take longer than all the rest. These routes need none of it: their
    dependencies and their endpoints take the request, and the endpoints return a response. So both ways run the same
    functions. FastAPI answers what needs its parsing: queries, other methods, and all other paths.
    """

    def __init__(self, app: ASGIApp, routes: Sequence[APIRoute]) -> None:
        """Take the routes to answer; `{file_id}`, as the whole path, is the only parameter that a path may have."""
        self.app = app
        self._routes = {(method, route.path): route for route in routes for method in route.methods or ()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass the request on."""
        if scope["type"] != "http" or scope["query_string"]:
            await self.app(scope, receive, send)
            return
        path, parameters = scope["path"], {}
        if is_picture := _PICTURE.fullmatch(path):
            path, parameters = "/{file_id}", {"file_id": is_picture[1]}
        route = self._routes.get((scope["method"], path))
        if route is None:
            await self.app(scope, receive, send)
            return
        scope["route"] = route  # for the metrics
        request = Request(scope, receive)
        try:
            for check in route.dependencies:
                if check.dependency:
                    await check.dependency(request)
            response = await route.endpoint(request, **parameters)
        except tuple(errors.HANDLERS) as error:
            response = await errors.answer(request, error)
        await response(scope, receive, send)

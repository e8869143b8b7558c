"""The FastAPI application: `uvicorn server.app:application`."""

import gc
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cache, partial

from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from gantcha.errors import one_line_errors
from pool.settings import Settings, load_settings
from server import errors, logs
from server.addresses import Clients
from server.api import assets, challenges, demo, generate, health, load, operator, pictures, plain, siteverify
from server.metrics import MULTIPROCESS_DIR
from server.middleware import FastWay, Head, RequestLog
from server.services import Services

log = logging.getLogger(__name__)
# A pop on SQLite releases the interpreter at every row, and a busy event loop would then keep it for 5 ms.
_SWITCH_SECONDS = 0.0005
# The pictures last: their paths match nearly everything.
_ROOMS = generate, load, challenges, plain, siteverify, health, operator, demo, assets, pictures
_STEPS = generate.generate, pictures.picture, challenges.challenge, challenges.verify, siteverify.siteverify


def __getattr__(name: str) -> FastAPI:
    """Make `application` when it is first asked for: importing this module reads no settings and opens no pool."""
    if name == "application":
        return _application()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@cache
def _application() -> FastAPI:
    with one_line_errors():
        settings = load_settings()
        logs.configure(settings)
        return create_app(settings)


def create_app(settings: Settings) -> FastAPI:
    """Build the application; what works in the background waits for the server's start.

    Raises:
        StorageError: a folder of the pool can't be made or written.
        SettingsError: the file of keys can't be read.
    """
    services = Services.open(settings)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        sys.setswitchinterval(_SWITCH_SECONDS)
        if MULTIPROCESS_DIR not in os.environ:  # or `python -m server` has done it for all its workers
            logs.warn_of_foreign_variables()
        if "server.protocol" not in sys.modules:
            log.warning(
                "this server limits neither the size nor the duration of requests: start it with `python -m server`, "
                "or give uvicorn `--http server.protocol:BoundedProtocol --ws none`"
            )
        threading.Thread(target=_end_with_parent, daemon=True).start()
        if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))  # end in good order
        async with services.running():
            gc.collect()
            gc.freeze()  # or full collections, which stop everything for 50 ms, would look through all imports
            yield
        logs.drain()

    # Without CAPTCHA_DOCS there is no description of the routes either.
    make_app = FastAPIOffline if settings.docs else partial(FastAPI, openapi_url=None)
    app = make_app(
        title="Gantcha",
        summary="Captchas drawn by neural networks, ready in a pool",
        lifespan=lifespan,
        servers=[{"url": services.public_url}] if services.public_url else None,
        redirect_slashes=False,  # to the Host header, which anyone may choose
        telemetry={"tracing": False, "metrics": False, "logs": False},  # asked at each request, a tenth of its time
    )
    app.state.services = services
    for route in app.routes:
        if isinstance(route, APIRoute) and route.path in ("/docs", "/redoc"):
            route.app = _with_relative_links(route.app)
    is_off = {generate: not settings.generate, demo: settings.demo == "none"}
    rooms = [room for room in _ROOMS if not is_off.get(room)]
    for room in rooms:
        app.include_router(room.router)
    _wrap(app, settings, [route for room in rooms for route in room.router.routes if isinstance(route, APIRoute)])
    return app


def _with_relative_links(page: ASGIApp) -> ASGIApp:
    """Let a page of FastAPI find its files beside it, whatever path a proxy puts before it."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await page({**scope, "root_path": "."}, receive, send)

    return answer


def _end_with_parent() -> None:
    """End a worker whose supervisor is gone, even if it was killed: the worker would go on and keep the port."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _wrap(app: FastAPI, settings: Settings, routes: Sequence[APIRoute]) -> None:
    """Add the middleware, the innermost first, and the error handlers."""
    app.add_middleware(FastWay, routes=[route for route in routes if route.endpoint in _STEPS])
    app.add_middleware(Head, own=[route.path for route in routes if "HEAD" in (route.methods or ())])
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["content-type"],
            expose_headers=["Retry-After"],
        )
    app.add_middleware(RequestLog, is_logged=settings.access_log)
    app.add_middleware(Clients, trusted=settings.trusted_proxies)
    for error, handler in errors.HANDLERS.items():
        app.add_exception_handler(error, handler)

"""The FastAPI application: `uvicorn server.app:application`."""

import asyncio
import gc
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline
from starlette.concurrency import run_in_threadpool
from starlette.middleware.cors import CORSMiddleware
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from gantcha.errors import one_line_errors
from pool.counters import Counters
from pool.database import REQUEST_TIMEOUT
from pool.pool import Pool
from pool.settings import Settings, load_settings
from server import errors, logs, speech
from server.access.advice import Advice
from server.access.doubt import Doubt
from server.access.keys import Keys
from server.access.limits import Limits
from server.access.sharing import Sharing
from server.api import assets, captchas, challenges, demo, health, plain, siteverify
from server.buffer import Buffer
from server.group_commit import GroupCommit
from server.metrics import PoolCollector
from server.middleware import FastWay, Head, RequestLog
from server.refill import Refill
from server.shown import ShownPictures

log = logging.getLogger(__name__)
# A pop on SQLite releases the interpreter at every row, and a busy event loop would then keep it for 5 ms.
_SWITCH_SECONDS = 0.0005
_ROUTERS = (
    captchas.router,
    challenges.router,
    plain.router,
    siteverify.router,
    health.router,
    demo.router,
    assets.router,
    captchas.pictures,
)
_STEPS = captchas.generate, captchas.picture, challenges.challenge, challenges.verify, siteverify.siteverify
_JOURNEY = [
    route for router in _ROUTERS for route in router.routes if isinstance(route, APIRoute) and route.endpoint in _STEPS
]


def create_app(settings: Settings) -> FastAPI:
    """Build the application; opening the pool and starting the refill wait for the server's start.

    Raises:
        StorageError: a folder of the pool can't be made or written.
        SettingsError: the file of keys can't be read.
    """
    pool = Pool.open(settings, REQUEST_TIMEOUT)
    refill = Refill(settings, pool)
    generated = dict.fromkeys([settings.stock, settings.challenge_stock])
    buffers = {stock.kind: Buffer(pool, stock, refill.count_pop, redeemable=False) for stock in generated}
    challenge_buffers = {
        stock.difficulty: Buffer(pool, stock, refill.count_pop, redeemable=True)
        for stock in refill.stocks.all
        if stock.kind == settings.challenge_kind
    }
    all_buffers = [*buffers.values(), *challenge_buffers.values()]
    counters = Counters()
    sharing = Sharing(counters, pool)
    writer, shown = GroupCommit("writer", pool.settle), ShownPictures(pool)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        sys.setswitchinterval(_SWITCH_SECONDS)
        if "server.protocol" not in sys.modules:
            log.warning(
                "this server limits neither the size nor the duration of requests: start it with `python -m server`, "
                "or give uvicorn `--http server.protocol:BoundedProtocol --ws none`"
            )
        threading.Thread(target=_end_with_parent, daemon=True).start()
        refill.start()
        sharing.start()
        for buffer in all_buffers:
            buffer.open()
        for commits in (writer, shown.look_ups):
            commits.open()
        state.readiness.open()
        gc.collect()
        gc.freeze()  # or full collections, which stop everything for 50 ms, would look through all that was imported
        yield
        state.readiness.close()
        try:
            await asyncio.gather(writer.close(), shown.look_ups.close(), *(buffer.close() for buffer in all_buffers))
        finally:
            await run_in_threadpool(sharing.stop)
            await run_in_threadpool(refill.stop)
            pool.engine.dispose()

    # Without CAPTCHA_DOCS there is no description of the routes either.
    make_app = FastAPIOffline if settings.docs else partial(FastAPI, openapi_url=None)
    app = make_app(
        title="Gantcha",
        summary="Captchas drawn by neural networks, ready in a pool",
        lifespan=lifespan,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # asked at each request, a tenth of its time
    )
    state = app.state
    state.settings, state.pool, state.refill = settings, pool, refill
    state.public_url = str(settings.public_url).rstrip("/") if settings.public_url else None
    state.buffers, state.challenge_buffers, state.all_buffers = buffers, challenge_buffers, all_buffers
    state.writer, state.shown = writer, shown
    state.doubt = Doubt(counters) if settings.doubt and len(challenge_buffers) > 1 else None
    state.keys, state.limits, state.advice = Keys(settings), Limits(settings, counters), Advice(settings)
    state.pool_metrics = PoolCollector(pool, refill.watermarks)
    state.speaks = settings.audio and speech.can_say(settings.alphabet)
    state.readiness = health.ReadinessChecks(state)
    for router in _ROUTERS:
        if router is not demo.router or settings.demo != "none":
            app.include_router(router)
    _wrap(app, settings)
    return app


def _end_with_parent() -> None:
    """End a worker whose supervisor is gone, even if it was killed: the worker would go on and keep the port."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _wrap(app: FastAPI, settings: Settings) -> None:
    """Add the middleware, the innermost first, and the error handlers."""
    app.add_middleware(FastWay, routes=_JOURNEY)
    app.add_middleware(Head, own=("/generate", "/challenge", "/plain"))
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["content-type"],
            expose_headers=["Retry-After"],
        )
    app.add_middleware(RequestLog)
    if settings.trusted_proxies:
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=list(settings.trusted_proxies))
    for kind, handler in errors.HANDLERS.items():
        app.add_exception_handler(kind, handler)


with one_line_errors():
    _settings = load_settings()
    logs.configure()
    application = create_app(_settings)

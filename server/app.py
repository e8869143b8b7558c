"""The FastAPI application: `uvicorn server.app:application`."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, status
from fastapi.exception_handlers import http_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from pool.errors import DatabaseError, StorageError, one_line_errors
from pool.pool import Pool
from pool.settings import Settings, load_settings
from server.block import Block
from server.refill import Refill
from server.routes import router, unavailable
from server.uploads import BodyLimit

log = logging.getLogger("uvicorn.error")


def create_app(settings: Settings) -> FastAPI:
    """Build the application; opening the pool and starting the refill wait for the server's start.

    Raises:
        StorageError: a folder of the pool can't be made or written.
    """
    pool = Pool.open(settings)
    refill = Refill(settings, pool)

    block = Block(pool, refill.count_pop, redeemable=False)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        refill.start()
        block.open()
        yield
        try:
            await block.close()
        finally:
            await run_in_threadpool(refill.stop)
            pool.engine.dispose()

    app = FastAPI(title="Gantcha", summary="Captchas drawn by neural networks, ready in a pool", lifespan=lifespan)
    app.state.settings, app.state.pool, app.state.refill, app.state.block = settings, pool, refill, block
    app.add_middleware(BodyLimit)
    app.include_router(router)
    app.add_exception_handler(RequestValidationError, _refuse_invalid)  # type: ignore[arg-type] # typed for any error
    app.add_exception_handler(DatabaseError, _refuse_unavailable)
    app.add_exception_handler(StorageError, _refuse_unavailable)
    return app


async def _refuse_invalid(_request: Request, error: RequestValidationError) -> Response:
    first = error.errors()[0]
    reason = f"{first['loc'][-1]}: {first['msg']}."
    return JSONResponse({"detail": reason}, status.HTTP_422_UNPROCESSABLE_CONTENT)


async def _refuse_unavailable(request: Request, error: Exception) -> Response:
    # The text names hosts and paths: it is for the log and not for the caller.
    log.error("%s", error)
    return await http_exception_handler(request, unavailable("The captcha store is out of reach at the moment."))


with one_line_errors():
    application = create_app(load_settings())

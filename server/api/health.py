"""For operators: whether the server runs, whether it is ready, and its metrics."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from math import inf
from types import MappingProxyType
from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, Request, Response
from starlette.datastructures import State

from gantcha.errors import StorageError
from pool.errors import DatabaseError
from pool.filling import lease
from pool.models import Stock
from server.access.auth import bearer, is_trusted_caller, require_trusted_caller
from server.errors import RETRY_SECONDS, UNTRUSTED, documented
from server.metrics import exposition
from server.schemas import Healthy, Readiness, StockLevel

log = structlog.get_logger("gantcha.readiness")
router = APIRouter(tags=["operations"])
_EVERY_SECONDS = 1  # a check writes a row and a file, so callers must not cause many
_ASKED_SECONDS = 60  # that the checks go on after somebody asked
_PATIENCE_SECONDS = 0.05  # for a check, before the one before it is told
_HANGING_SECONDS = 2  # a folder may hang for ever
_HANGS = f"database and files were not checked within {_HANGING_SECONDS} s: find out which hangs"
_DETAILS = "see the log, or ask with an API key"


@router.get("/healthz")
async def healthz() -> Healthy:
    """Say that the process runs; `/readyz` says whether it can serve."""
    return Healthy()


async def _is_trusted(request: Request, _key: Annotated[object, Depends(bearer)]) -> bool:
    # Not in the thread of the route: the key's name would be missing in the log line of the request.
    return is_trusted_caller(request)


# The key is optional.
@router.get("/readyz", responses={503: {"model": Readiness}}, openapi_extra={"security": [{}]})
async def readyz(request: Request, response: Response, is_trusted: Annotated[bool, Depends(_is_trusted)]) -> Readiness:
    """Say whether captchas can be handed out and, to trusted callers, what exactly is wrong if not."""
    checks: ReadinessChecks = request.app.state.readiness
    readiness = await checks.latest()
    if not readiness.ready:
        response.status_code = 503
        response.headers["Retry-After"] = str(RETRY_SECONDS)
    if is_trusted:
        return readiness
    return readiness.model_copy(
        update={
            "problems": [_DETAILS for _ in readiness.problems],
            "warnings": [_DETAILS for _ in readiness.warnings],
            "refill_error": readiness.refill_error and _DETAILS,
            "keys_error": readiness.keys_error and _DETAILS,
        }
    )


class ReadinessChecks:
    """Checks in the background, at most once a second, while somebody asks; all callers share the latest result.

    The checks have a thread of their own, so nobody waits for a database or a folder that hangs.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._thread = ThreadPoolExecutor(1, "readiness")
        self._latest: Readiness | None = None
        self._begun_at: float | None = None  # of the check under way
        self._ended_at = -inf
        self._asked_at = -inf
        self._changed = asyncio.Condition()
        self._checking: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Start the first check."""
        self._asked_at = time.monotonic()
        self._checking = asyncio.create_task(self._keep_checking())

    def close(self) -> None:
        """Check no more."""
        if self._checking:
            self._checking.cancel()

    async def latest(self) -> Readiness:
        """Return the result of the latest check; a check that hangs makes the server not ready."""
        self._asked_at = now = time.monotonic()
        is_recent = now < self._ended_at + _ASKED_SECONDS
        if not self._is_fresh():
            with suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE_SECONDS if is_recent else _HANGING_SECONDS), self._changed:
                    self._changed.notify_all()
                    await self._changed.wait_for(self._is_fresh)
        is_known = self._is_fresh() or (is_recent and not self._is_hanging())
        return self._latest if self._latest and is_known else self._describe([_HANGS])

    def _is_fresh(self) -> bool:
        return time.monotonic() < self._ended_at + 1.25 * _EVERY_SECONDS

    def _is_hanging(self) -> bool:
        """Return whether a check takes so long that the good result before it means nothing."""
        if self._begun_at is None or (self._latest and not self._latest.ready):
            return False
        return time.monotonic() > self._begun_at + _HANGING_SECONDS

    async def _keep_checking(self) -> None:
        while True:
            self._begun_at = time.monotonic()
            try:
                self._latest = await asyncio.get_running_loop().run_in_executor(self._thread, self._check)
            except Exception:
                log.exception("the check failed")
                self._latest = self._describe(["the check failed: see the traceback in the log"])
            self._begun_at, self._ended_at = None, time.monotonic()
            async with self._changed:
                self._changed.notify_all()
            await asyncio.sleep(_EVERY_SECONDS)
            async with self._changed:
                await self._changed.wait_for(self._is_asked)

    def _is_asked(self) -> bool:
        return time.monotonic() < self._asked_at + _ASKED_SECONDS

    def _check(self) -> Readiness:
        state, problems, warnings, levels = self._state, [], [], {}
        try:
            state.pool.check()
            levels = {stock: state.pool.level(stock) for stock in state.refill.stocks.all}
            held = {buffer.stock for buffer in state.all_buffers if len(buffer)}
            empty = [stock for stock, level in levels.items() if not level and stock not in held]
            usual = state.refill.stocks.usual
            problems += [f"the pool has no {stock} captchas" for stock in empty if stock in usual]
            warnings = [
                f"the pool has no {stock} captchas for visitors in doubt" for stock in empty if stock not in usual
            ]
            warnings += lease.warnings(lease.ages(state.pool.engine))
        except DatabaseError as error:
            problems.append(str(error))
        try:
            state.pool.files.probe()
        except StorageError as error:
            problems.append(str(error))
        for problem in problems:
            log.error("not ready", reason=problem)
        return self._describe(problems, warnings, levels)

    def _describe(
        self, problems: list[str], warnings: Sequence[str] = (), levels: Mapping[Stock, int] = MappingProxyType({})
    ) -> Readiness:
        refill = self._state.refill
        return Readiness(
            ready=not problems,
            problems=problems,
            warnings=[*warnings],
            stocks=[
                StockLevel(**stock._asdict(), level=levels.get(stock), **marks._asdict())
                for stock, marks in refill.watermarks.items()
            ],
            refill_error=refill.error,
            keys_error=self._state.keys.error,
        )


@router.get(
    "/metrics",
    dependencies=[Depends(require_trusted_caller)],
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **documented(*UNTRUSTED)},
)
def metrics(request: Request) -> Response:
    """Return the metrics of all workers of this server in Prometheus' text format."""
    return Response(exposition(request.app.state.pool_metrics), media_type="text/plain; version=0.0.4; charset=utf-8")

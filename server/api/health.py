"""For operators: whether the server runs, whether it is ready, and its metrics."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, Request, Response
from starlette.datastructures import State

from pool import lease
from pool.errors import DatabaseError, StorageError
from pool.settings import Stock
from server.auth import bearer, is_trusted_caller, require_trusted_caller
from server.errors import RETRY_SECONDS, UNTRUSTED, documented
from server.metrics import exposition
from server.schemas import Healthy, Readiness, StockLevel

log = structlog.get_logger("gantcha.readiness")
router = APIRouter(tags=["operations"])
_FRESH_SECONDS = 1  # a check writes a row and a file, so callers must not cause many
_PATIENCE_SECONDS = 4  # a little more than the database timeout; a folder may hang for ever
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
    """Checks at most once a second, one check at a time, in a separate thread; all callers share the result.

    So neither many callers nor a hanging database can use up the threads that answer requests.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._thread = ThreadPoolExecutor(1, "readiness")
        self._check_task: asyncio.Future[Readiness] | None = None
        self._begun_at = 0.0

    async def latest(self) -> Readiness:
        """Return the result of the latest check; a check that hangs makes the server not ready."""
        if not self._check_task or (self._check_task.done() and time.monotonic() >= self._begun_at + _FRESH_SECONDS):
            self._begun_at = time.monotonic()
            self._check_task = asyncio.get_running_loop().run_in_executor(self._thread, self._check)
        left = self._begun_at + _PATIENCE_SECONDS - time.monotonic()
        try:
            return await asyncio.wait_for(asyncio.shield(self._check_task), None if self._check_task.done() else left)
        except TimeoutError:
            return self._describe(
                [f"database and files were not checked within {_PATIENCE_SECONDS} s: find out which hangs"]
            )

    def _check(self) -> Readiness:
        state, problems, warnings, levels = self._state, [], [], {}
        try:
            state.pool.check()
            levels = {stock: state.pool.level(stock) for stock in state.settings.stocks}
            held = {buffer.stock for buffer in state.all_buffers if len(buffer)}
            empty = [stock for stock, level in levels.items() if not level and stock not in held]
            usual = state.settings.usual_stocks
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

"""For those who run it: is it alive, is it ready, what has it done."""

import time
from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, Request, Response
from starlette.datastructures import State

from pool.errors import DatabaseError, StorageError
from server.access import bearer, is_trusted_caller, require_trusted_caller
from server.metrics import exposition
from server.refusals import NO_KEY, NOT_LOCAL, RETRY_SECONDS, documented
from server.schemas import Healthy, Readiness

log = structlog.get_logger("gantcha.readiness")
router = APIRouter(tags=["operations"])
_FRESH_SECONDS = 0.5  # a look counts rows and writes a file: nobody can ask for many
_DETAILS = "see the log, or ask with an API key"


@router.get("/healthz")
async def healthz() -> Healthy:
    """Say that the process runs; whether it can serve is told by `/readyz`."""
    return Healthy()


async def _is_trusted(request: Request, _key: Annotated[object, Depends(bearer)]) -> bool:
    # Not from the route's thread: the name of the key would stay there, and the request's line in the log lack it.
    return is_trusted_caller(request)


# The key is asked for but not needed.
@router.get("/readyz", responses={503: {"model": Readiness}}, openapi_extra={"security": [{}]})
def readyz(request: Request, response: Response, is_trusted: Annotated[bool, Depends(_is_trusted)]) -> Readiness:
    """Say whether captchas can be handed out and, to those who may ask for codes, what exactly is wrong if not."""
    state = request.app.state
    if time.monotonic() >= state.looked_at + _FRESH_SECONDS:
        state.readiness, state.looked_at = _look(state), time.monotonic()
    readiness: Readiness = state.readiness
    if not readiness.ready:
        response.status_code = 503
        response.headers["Retry-After"] = str(RETRY_SECONDS)
    if is_trusted:
        return readiness
    return readiness.model_copy(
        update={
            "problems": [_DETAILS for _ in readiness.problems],
            "refill_error": readiness.refill_error and _DETAILS,
            "keys_error": readiness.keys_error and _DETAILS,
        }
    )


def _look(state: State) -> Readiness:
    problems, level = [], None
    try:
        level = state.pool.level()
        if not level and not len(state.buffer) and not len(state.challenge_buffer):
            problems.append("the pool is empty")
        state.pool.files.probe()
    except (DatabaseError, StorageError) as error:
        problems.append(str(error))
        log.error("not ready", reason=str(error))
    return Readiness(
        ready=not problems,
        problems=problems,
        level=level,
        refill_error=state.refill.error,
        keys_error=state.keys.error,
        **state.refill.marks._asdict(),
    )


@router.get(
    "/metrics",
    dependencies=[Depends(require_trusted_caller)],
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **documented(NO_KEY, NOT_LOCAL)},
)
def metrics(request: Request) -> Response:
    """Give everything counted, in Prometheus' text format; of all workers of this server."""
    return Response(exposition(request.app.state.pool_metrics), media_type="text/plain; version=0.0.4; charset=utf-8")

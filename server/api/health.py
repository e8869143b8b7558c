"""For operators: whether the server runs, whether it is ready, and its metrics."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from starlette.concurrency import run_in_threadpool

from server.api.checks import is_trusted_caller, require_trusted_caller
from server.errors import RETRY_SECONDS, UNTRUSTED, documented
from server.metrics import exposition
from server.schemas import Healthy, Readiness
from server.services import services_of

router = APIRouter(tags=["operations"])
_DETAILS = "see the log, or ask with an API key"


@router.get("/healthz")
async def healthz() -> Healthy:
    """Report that the process runs; `/readyz` says whether it can serve."""
    return Healthy()


# The key is optional.
@router.get("/readyz", responses={503: {"model": Readiness}}, openapi_extra={"security": [{}]})
async def readyz(
    request: Request, response: Response, is_trusted: Annotated[bool, Depends(is_trusted_caller)]
) -> Readiness:
    """Report whether captchas can be handed out and, to trusted callers, what exactly is wrong if not."""
    readiness = await services_of(request).readiness.latest()
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


@router.get(
    "/metrics",
    dependencies=[Depends(require_trusted_caller)],
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **documented(*UNTRUSTED)},
)
async def metrics(request: Request) -> Response:
    """Return the metrics of all workers of this server in Prometheus' text format."""
    services = services_of(request)
    is_ready = (await services.readiness.latest()).ready
    content = await run_in_threadpool(exposition, services.pool_metrics, is_ready=is_ready)
    return Response(content, media_type="text/plain; version=0.0.4; charset=utf-8")

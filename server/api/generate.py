"""For trusted callers: captchas with their codes."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from gantcha.drawing.look import Kind
from server import errors, metrics
from server.api.checks import require_trusted_caller
from server.api.responses import file_url, hand_out_nothing, json_answer
from server.errors import documented
from server.schemas import PROMPTS, Generated
from server.services import services_of

router = APIRouter(tags=["captchas"])
_GENERATED = metrics.ISSUED.labels("generate")
_NOT_GENERATED = (*errors.UNTRUSTED, errors.NOT_KEPT, errors.INVALID, errors.EMPTY, errors.OUT_OF_REACH)


@router.get(
    "/generate",
    dependencies=[Depends(require_trusted_caller)],
    response_class=Response,
    responses={200: {"model": Generated}, **documented(*_NOT_GENERATED)},
)
async def generate(
    request: Request, kind: Kind | None = None, pixel_ratio: Annotated[int, Query(ge=1, le=2)] = 1
) -> Response:
    """Hand out a captcha with its code, for a back end that compares the answer itself; `HEAD` hands out none.

    Of the other kind and density only those of challenges are kept; show a picture of `pixel_ratio=2` at half its size.
    """
    services = services_of(request)
    usual = services.settings.stock
    buffer = services.buffers.get(usual._replace(kind=kind or usual.kind, pixel_ratio=pixel_ratio))
    if buffer is None:
        raise errors.NOT_KEPT.error()
    captcha = await buffer.take()
    if captcha is None:
        metrics.EMPTY.labels("generate").inc()
        raise errors.EMPTY.error()
    _GENERATED.inc()
    services.shown.note(captcha.id, captcha.expires_at)
    kind = captcha.stock.kind
    return json_answer(
        {
            "code": captcha.code,
            "fileURL": file_url(request, captcha.id),
            "kind": kind,
            "prompt": PROMPTS[kind],
            "id": captcha.id,
            "expires_at": captcha.expires_at,
        }
    )


router.head("/generate", include_in_schema=False, dependencies=[Depends(require_trusted_caller)])(hand_out_nothing)

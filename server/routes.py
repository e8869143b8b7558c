"""For trusted callers: `/generate` and `/load`; for everyone: the picture itself, and its sound."""

import re
from datetime import UTC, datetime
from typing import Annotated

import anyio
from fastapi import APIRouter, Depends, File, Form, Request, Response, UploadFile

from pool.errors import UnknownCaptchaError
from pool.files import ID
from pool.pool import Drawn, Shown
from pool.settings import CHARACTERS
from server import metrics, speech
from server.access import require_trusted_caller
from server.limits import limit_issuing
from server.refusals import (
    BAD_CODE,
    EMPTY,
    EXPIRED,
    INVALID,
    LIMITED,
    MALFORMED,
    NO_KEY,
    NO_PNG,
    NO_SPEECH,
    NOT_LOCAL,
    OUT_OF_REACH,
    TOO_LARGE,
    TOO_MANY_PIXELS,
    TOO_SLOW,
    UNKNOWN,
    documented,
)
from server.schemas import Generated, Loaded
from server.uploads import clean_png

router = APIRouter(tags=["captchas"])
pictures = APIRouter(tags=["captchas"])
"""To be included last: its paths match nearly everything."""
_AS_IT_IS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_speakers = anyio.CapacityLimiter(2)


def file_url(request: Request, file_id: str) -> str:
    """Say where the picture is to be had."""
    base = request.app.state.settings.public_url or request.base_url
    return f"{str(base).rstrip('/')}/{file_id}"


@router.get(
    "/generate",
    dependencies=[Depends(require_trusted_caller)],
    responses=documented(NO_KEY, NOT_LOCAL, EMPTY, OUT_OF_REACH),
)
async def generate(request: Request, response: Response) -> Generated:
    """Hand out a captcha with its code, for a back end that compares the answer itself."""
    captcha = await request.app.state.block.take()
    if captcha is None:
        metrics.EMPTY.labels("generate").inc()
        raise EMPTY.error()
    metrics.ISSUED.labels("generate").inc()
    response.headers["Cache-Control"] = "no-store"
    return Generated(
        code=captcha.code, fileURL=file_url(request, captcha.id), id=captcha.id, expires_at=captcha.expires_at
    )


@router.post(
    "/load",
    dependencies=[Depends(require_trusted_caller)],
    responses=documented(
        MALFORMED, NO_KEY, NOT_LOCAL, TOO_SLOW, TOO_LARGE, TOO_MANY_PIXELS, NO_PNG, BAD_CODE, INVALID, OUT_OF_REACH
    ),
)
def load(
    request: Request,
    file: Annotated[UploadFile, File(description="A PNG of at most 1 MiB and 2048 pixels a side")],
    code: Annotated[str | None, Form(description="With its code the picture joins the pool as ready")] = None,
) -> Loaded:
    """Register a picture of your own."""
    length = request.app.state.settings.length
    if code is not None:
        code = code.lower()
        if not re.fullmatch(f"[{CHARACTERS}]{{{length}}}", code):
            raise BAD_CODE.error(f"The code must be {length} characters of 0-9 and a-z.")
    (file_id,) = request.app.state.pool.add([Drawn(code, clean_png(file.file.read()))])
    return Loaded(fileURL=file_url(request, file_id), id=file_id)


@pictures.get(
    "/{file_id}.wav",
    response_class=Response,
    responses={
        200: {"content": {"audio/wav": {"schema": {"type": "string", "format": "binary"}}}},
        **documented(UNKNOWN, EXPIRED, INVALID, LIMITED, NO_SPEECH, OUT_OF_REACH),
    },
)
async def sound(request: Request, file_id: str, lang: speech.Language = "en") -> Response:
    """Speak the code of a captcha, for those who can't see the picture; the same one try covers both."""
    if not request.app.state.speaks:
        raise NO_SPEECH.error()
    await limit_issuing(request)

    def speak() -> bytes:
        pool = request.app.state.pool
        code = _look_up(request, file_id).code
        if code is None:
            raise UNKNOWN.error("There is nothing to be heard of this picture.")
        return speech.say(code, lang, speech.rng_for(file_id, pool.secret()))

    spoken = await anyio.to_thread.run_sync(speak, limiter=_speakers)
    return Response(spoken, media_type="audio/wav", headers=_AS_IT_IS)


@pictures.get(
    "/{file_id}",
    response_class=Response,
    responses={
        200: {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}},
        **documented(UNKNOWN, EXPIRED, INVALID, OUT_OF_REACH),
    },
)
def picture(request: Request, file_id: str) -> Response:
    """Show the picture of a captcha."""
    _look_up(request, file_id)
    try:
        content = request.app.state.pool.files.path(file_id).read_bytes()
    except FileNotFoundError as error:
        raise UNKNOWN.error() from error
    return Response(content, media_type="image/png", headers=_AS_IT_IS)


def _look_up(request: Request, file_id: str) -> Shown:
    if not ID.fullmatch(file_id):
        raise UNKNOWN.error()
    try:
        shown: Shown = request.app.state.pool.look_up(file_id)
    except UnknownCaptchaError as error:
        raise UNKNOWN.error() from error
    if shown.expires_at and shown.expires_at <= datetime.now(UTC):
        raise EXPIRED.error()
    return shown

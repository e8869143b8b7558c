"""The routes of DESIGN's HTTP contract that exist so far: generate, load, and the picture itself."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Form, HTTPException, Request, Response, UploadFile, status

from pool.errors import GantchaError, UnknownCaptchaError
from pool.files import ID
from pool.pool import Drawn
from pool.settings import CHARACTERS
from server.access import require_trusted_caller
from server.schemas import Generated, Healthy, Loaded, Readiness, Refused
from server.uploads import clean_png

router = APIRouter()
RETRY_SECONDS = 5


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Document the ways a route says no."""
    return {number: {"model": Refused} for number in statuses}


def unavailable(reason: str) -> HTTPException:
    """Say 503 and when to come back."""
    return HTTPException(status.HTTP_503_SERVICE_UNAVAILABLE, reason, {"Retry-After": str(RETRY_SECONDS)})


def _file_url(request: Request, file_id: str) -> str:
    base = request.app.state.settings.public_url or request.base_url
    return f"{str(base).rstrip('/')}/{file_id}"


@router.get("/generate", dependencies=[Depends(require_trusted_caller)], responses=refusals(401, 403, 503))
async def generate(request: Request, response: Response) -> Generated:
    """Hand out a captcha with its code, for a back end that compares the answer itself."""
    captcha = await request.app.state.block.take()
    if captcha is None:
        raise unavailable("The pool is empty; new captchas are being drawn.")
    response.headers["Cache-Control"] = "no-store"
    return Generated(
        code=captcha.code, fileURL=_file_url(request, captcha.id), id=captcha.id, expires_at=captcha.expires_at
    )


@router.post("/load", dependencies=[Depends(require_trusted_caller)], responses=refusals(401, 403, 413, 415, 422, 503))
def load(
    request: Request,
    file: Annotated[UploadFile, File(description="A PNG of at most 1 MiB")],
    code: Annotated[str | None, Form(description="With its code the picture joins the pool as ready")] = None,
) -> Loaded:
    """Register a picture of your own."""
    length = request.app.state.settings.length
    if code is not None:
        code = code.lower()
        if not re.fullmatch(f"[{CHARACTERS}]{{{length}}}", code):
            raise HTTPException(
                status.HTTP_422_UNPROCESSABLE_CONTENT, f"The code must be {length} characters of 0-9 and a-z."
            )
    (file_id,) = request.app.state.pool.add([Drawn(code, clean_png(file.file.read()))])
    return Loaded(fileURL=_file_url(request, file_id), id=file_id)


@router.get("/healthz")
async def healthz() -> Healthy:
    """Say that the process runs; whether it can serve is told by `/readyz`."""
    return Healthy()


@router.get("/readyz", responses={503: {"model": Readiness}})
def readyz(request: Request, response: Response) -> Readiness:
    """Say whether captchas can be handed out, and what is wrong if not."""
    pool, refill = request.app.state.pool, request.app.state.refill
    problems, level = [], None
    try:
        level = pool.level()
        if not level and not len(request.app.state.block):
            problems.append("the pool is empty")
        pool.files.probe()
    except GantchaError as error:
        problems.append(str(error))
    if problems:
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
        response.headers["Retry-After"] = str(RETRY_SECONDS)
    return Readiness(
        ready=not problems, problems=problems, level=level, refill_error=refill.error, **refill.marks._asdict()
    )


@router.get(
    "/{file_id}",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}}, **refusals(404, 410, 503)},
)
def picture(request: Request, file_id: str) -> Response:
    """Show the picture of a captcha."""
    unknown = HTTPException(status.HTTP_404_NOT_FOUND, "There is no captcha with this id.")
    if not ID.fullmatch(file_id):
        raise unknown
    pool = request.app.state.pool
    try:
        shown_until = pool.shown_until(file_id)
        if shown_until and shown_until <= datetime.now(UTC):
            raise HTTPException(status.HTTP_410_GONE, "This captcha has expired; ask for a new one.")
        content = pool.files.path(file_id).read_bytes()
    except (UnknownCaptchaError, FileNotFoundError) as error:
        raise unknown from error
    return Response(
        content, media_type="image/png", headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    )

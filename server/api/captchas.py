"""For trusted callers: `/generate` and `/load`; for everyone: the picture itself, and its sound."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, TypeVar

import anyio
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse
from prometheus_client import Counter
from pydantic_core import to_json
from starlette.datastructures import URL

from gantcha.characters import named_characters, to_characters
from gantcha.drawing.look import Kind
from pool.errors import UnknownCaptchaError
from pool.models import Stock
from pool.pool import Drawn, Issued
from pool.storage.files import ID
from server import errors, metrics, speech
from server.access import testing
from server.access.auth import require_trusted_caller
from server.access.limits import limit_issuing
from server.api.bodies import MULTIPART, documented_body, parse_form, read_body
from server.api.uploads import MAX_FILE_BYTES, clean_png
from server.buffer import Buffer
from server.errors import documented
from server.schemas import PROMPTS, Generated, Loaded

router = APIRouter(tags=["captchas"])
pictures = APIRouter(tags=["captchas"])
"""To be included last: its paths match nearly everything."""
NO_STORE = {"Cache-Control": "no-store"}
OWN_TYPE = {"X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "cross-origin"}
"""Of files that pages of other origins may show, as the type that they are sent as."""
_JSON_HEADERS = {"Content-Type": "application/json"} | NO_STORE
_PNG_HEADERS = {"Content-Type": "image/png"} | NO_STORE | OWN_TYPE
_GENERATED = metrics.ISSUED.labels("generate")
_NOT_ISSUED = timedelta(minutes=1)  # lifetime of a signed URL for a captcha that was not issued
_BINARY = {"type": "string", "format": "binary"}
_GONE = (errors.UNKNOWN, errors.EXPIRED, errors.INVALID, errors.OUT_OF_REACH)
_NOT_GENERATED = (*errors.UNTRUSTED, errors.NOT_KEPT, errors.INVALID, errors.EMPTY, errors.OUT_OF_REACH)
_speakers, _readers = anyio.CapacityLimiter(2), anyio.CapacityLimiter(40)
_Read = TypeVar("_Read")


def file_url(request: Request, file_id: str) -> str:
    """Return the URL of the picture."""
    base = request.app.state.public_url or _base(request["scheme"], request.headers.get("host"), request["root_path"])
    return f"{base}/{file_id}"


def picture_sources(request: Request) -> str:
    """Return where a page of this server gets pictures from, for its Content-Security-Policy."""
    return "*" if request.app.state.settings.files_redirect else "'self'"  # the bucket may be anywhere


@lru_cache(256)
def _base(scheme: str, host: str | None, root_path: str) -> str:
    headers = [(b"host", host.encode("latin-1"))] if host else []
    asked = {"scheme": scheme, "path": f"{root_path}/", "headers": headers, "query_string": b"", "server": None}
    return str(URL(scope=asked)).rstrip("/")


@router.get(
    "/generate",
    dependencies=[Depends(require_trusted_caller)],
    response_class=Response,
    responses={200: {"model": Generated}, **documented(*_NOT_GENERATED)},
)
async def generate(request: Request, kind: Kind | None = None) -> Response:
    """Hand out a captcha with its code, for a back end that compares the answer itself; `HEAD` hands out none."""
    state = request.app.state
    buffer: Buffer | None = state.buffers.get(kind or state.settings.kind)
    if buffer is None:
        raise errors.NOT_KEPT.error()
    captcha = await buffer.take()
    if captcha is None:
        metrics.EMPTY.labels("generate").inc()
        raise errors.EMPTY.error()
    url, kind = note_issued(request, captcha, _GENERATED), captcha.stock.kind
    return json_answer(
        {
            "code": captcha.code,
            "fileURL": url,
            "kind": kind,
            "prompt": PROMPTS[kind],
            "id": captcha.id,
            "expires_at": captcha.expires_at,
        }
    )


@router.head("/generate", include_in_schema=False, dependencies=[Depends(require_trusted_caller)])
async def hand_out_nothing() -> Response:
    """Answer clients that only check with `HEAD` whether a route exists; the length of a body is not known."""
    response = Response(headers=_JSON_HEADERS)
    del response.headers["content-length"]
    return response


def note_issued(request: Request, captcha: Issued, counter: Counter) -> str:
    """Count and remember a captcha that is handed out; return the URL of its picture."""
    counter.inc()
    request.app.state.shown.note(captcha.id, captcha.expires_at)
    return file_url(request, captcha.id)


def json_answer(content: object, **headers: str) -> Response:
    """Answer with JSON that nobody may store."""
    return Response(to_json(content, by_alias=True), headers=_JSON_HEADERS | headers)


_MOST_UPLOAD_BYTES = MAX_FILE_BYTES + 16 * 1024  # the multipart frame and the other fields
_UPLOAD = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": _BINARY | {"description": "A PNG of at most 1 MiB and 2048 pixels a side"},
        "code": {"type": "string", "description": "With its code, the picture joins the plain captchas of the pool"},
    },
}


async def _read_upload(request: Request) -> bytes:
    return await read_body(request, _MOST_UPLOAD_BYTES, MULTIPART, too_long=errors.TOO_LARGE.detail)


@router.post(
    "/load",
    dependencies=[Depends(require_trusted_caller)],
    responses=documented(
        *errors.UNTRUSTED, *errors.UNREADABLE, *errors.BAD_UPLOAD, errors.INVALID, errors.OUT_OF_REACH
    ),
    openapi_extra=documented_body(_UPLOAD, MULTIPART),
)
def load(request: Request, body: Annotated[bytes, Depends(_read_upload)]) -> Loaded:
    """Register your own picture."""
    fields, files = parse_form(request.headers["content-type"], body)
    if "file" not in files:
        raise errors.INVALID.error("file: Field required.")
    settings = request.app.state.settings
    code, length = fields.get("code"), settings.length
    if code is not None:
        code, drawn = to_characters(code), settings.characters
        if len(code) != length or not set(code) <= set(drawn):
            raise errors.BAD_CODE.error(f"The code must be {length} characters of {named_characters(drawn)}.")
    (file_id,) = request.app.state.pool.add(
        [Drawn(code, clean_png(files["file"]))], Stock("plain", settings.difficulty)
    )
    return Loaded(fileURL=file_url(request, file_id), id=file_id)


@pictures.get(
    "/{file_id}.wav",
    response_class=Response,
    responses={
        200: {"content": {"audio/wav": {"schema": _BINARY}}},
        **documented(*_GONE, errors.LIMITED, errors.NO_SPEECH),
    },
)
async def sound(request: Request, file_id: str, lang: speech.Language = "en") -> Response:
    """Speak the code of a captcha, for those who can't see the picture; picture and sound share the one attempt."""
    if not request.app.state.speaks:
        raise errors.NO_SPEECH.error()
    await limit_issuing(request)

    def speak() -> bytes:
        pool = request.app.state.pool
        if not ID.fullmatch(file_id):
            raise errors.UNKNOWN.error()
        try:
            code, until = pool.look_up(file_id)
        except UnknownCaptchaError as error:
            raise errors.UNKNOWN.error() from error
        _check(until)
        if code is None:
            raise errors.UNKNOWN.error("There is no sound for this picture.")
        return speech.say(code, lang, speech.rng_for(file_id, pool.secret()))

    spoken = await anyio.to_thread.run_sync(speak, limiter=_speakers)
    return Response(spoken, media_type="audio/wav", headers=NO_STORE | OWN_TYPE)


@pictures.get(
    "/{file_id}",
    response_class=Response,
    responses={200: {"content": {"image/png": {"schema": _BINARY}}}, **documented(*_GONE)},
)
async def picture(request: Request, file_id: str) -> Response:
    """Show the picture of a captcha."""
    state = request.app.state
    if not ID.fullmatch(file_id):
        raise errors.UNKNOWN.error()
    if file_id == testing.ID and state.settings.testing:
        return Response(testing.PICTURE, headers=_PNG_HEADERS)
    try:
        until = await state.shown.until(file_id)
        _check(until)
        if state.settings.files_redirect:
            left = until - datetime.now(UTC) if until else _NOT_ISSUED
            url = await _in_thread(state.pool.files.signed_url, file_id, left)
            return RedirectResponse(url, headers=NO_STORE | OWN_TYPE)
        content = state.pool.files.read_now(file_id)
        if content is None:
            content = await _in_thread(state.pool.files.read, file_id)
    except (UnknownCaptchaError, FileNotFoundError) as error:
        raise errors.UNKNOWN.error() from error
    return Response(content, headers=_PNG_HEADERS)


async def _in_thread(read: Callable[..., _Read], *arguments: object) -> _Read:
    """Run this in one of the threads that do nothing else, so that pictures wait for pictures only."""
    return await anyio.to_thread.run_sync(read, *arguments, limiter=_readers)


def _check(until: datetime | None) -> None:
    if until and until <= datetime.now(UTC):
        raise errors.EXPIRED.error()

"""For everyone: the picture of a captcha, and its sound."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, TypeVar

import anyio
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from pool.errors import UnknownCaptchaError
from pool.storage.files import ID
from pool.storage.objects import ObjectStore
from server import errors, espeak, metrics
from server.access import testing_keys
from server.access.visits import client_of
from server.api.checks import refuse_prefetch
from server.api.journey import work_for_sound
from server.api.responses import NO_STORE, OWN_TYPE, json_answer
from server.errors import documented
from server.schemas import LONGEST_WORK, NeedsWork
from server.services import services_of
from server.sounds import SoundKey

router = APIRouter(tags=["captchas"])
_PNG_HEADERS = {"Content-Type": "image/png"} | NO_STORE | OWN_TYPE
_NOT_ISSUED = timedelta(minutes=1)  # lifetime of a signed URL for a captcha that was not issued
_BINARY = {"type": "string", "format": "binary"}
_GONE = (errors.UNKNOWN, errors.EXPIRED, errors.INVALID, errors.OUT_OF_REACH)
_RANGE = re.compile(r"bytes=([0-9]{0,15})-([0-9]{0,15})")
_readers = anyio.CapacityLimiter(40)
_Read = TypeVar("_Read")


@router.get(
    "/{file_id}.wav",
    response_class=Response,
    responses={
        200: {"content": {"audio/wav": {"schema": _BINARY}}},
        206: {"content": {"audio/wav": {"schema": _BINARY}}, "description": "The part that a Range header asks for"},
        errors.NO_WORK.status: {"model": NeedsWork, "description": "The work that is needed first"},
        **documented(*_GONE, errors.LIMITED, errors.LONG_URL, errors.NO_SPEECH, errors.SPEAKING, errors.PREFETCHED),
    },
)
async def sound(
    request: Request,
    file_id: str,
    lang: espeak.Language = "en",
    work: Annotated[str | None, Query(max_length=LONGEST_WORK)] = None,
    ticket: Annotated[str | None, Query(max_length=LONGEST_WORK)] = None,
) -> Response:
    """Speak the code of a captcha, for those who can't see the picture; picture and sound share the one attempt.

    Where challenges ask for work, their sounds ask for more: first answered with the work, then asked for again with
    its solution. The page without JavaScript has a ticket instead.
    """
    services = services_of(request)
    if not services.speaks:
        raise errors.NO_SPEECH.error()
    refuse_prefetch(request)
    if not ID.fullmatch(file_id):
        raise errors.UNKNOWN.error()
    key = SoundKey(file_id, lang)
    if (needed := await work_for_sound(request, key, work, ticket)) is not None:
        return json_answer({"detail": errors.NO_WORK.detail, "work": needed}, errors.NO_WORK.status)
    spoken = await services.sounds.get(key, client_of(request), request)
    try:
        _check(await services.shown.until(file_id))  # it may have been spoken some time ago
    except UnknownCaptchaError as error:
        raise errors.UNKNOWN.error() from error
    return _part(request, spoken)


def _part(request: Request, content: bytes) -> Response:
    """Answer with what a Range header asks for: Safari plays no sound without it; several ranges get all."""
    headers = {"Accept-Ranges": "bytes"} | NO_STORE | OWN_TYPE
    asked = _RANGE.fullmatch(request.headers.get("range", ""))
    if not asked or asked[0] == "bytes=-" or "if-range" in request.headers:  # there is nothing that would match
        return Response(content, media_type="audio/wav", headers=headers)
    first, last, size = asked[1], asked[2], len(content)
    start, end = (int(first), min(int(last or size), size - 1)) if first else (max(0, size - int(last)), size - 1)
    if first and last and int(last) < int(first):
        return Response(content, media_type="audio/wav", headers=headers)
    if start >= size:
        return Response(status_code=416, headers=headers | {"Content-Range": f"bytes */{size}"})
    headers["Content-Range"] = f"bytes {start}-{end}/{size}"
    return Response(content[start : end + 1], 206, media_type="audio/wav", headers=headers)


@router.get(
    "/{file_id}",
    response_class=Response,
    responses={200: {"content": {"image/png": {"schema": _BINARY}}}, **documented(*_GONE)},
)
async def picture(request: Request, file_id: str) -> Response:
    """Show the picture of a captcha."""
    services = services_of(request)
    files = services.pool.files
    if not ID.fullmatch(file_id):
        raise errors.UNKNOWN.error()
    if file_id == testing_keys.ID and services.settings.testing:
        return Response(testing_keys.PICTURE, headers=_PNG_HEADERS)
    try:
        until = await services.shown.until(file_id)
        _check(until)
        if services.settings.files_redirect and isinstance(files, ObjectStore):
            left = until - datetime.now(UTC) if until else _NOT_ISSUED
            url = await _in_thread(files.signed_url, file_id, left)
            return RedirectResponse(url, headers=NO_STORE | OWN_TYPE)
        content = files.read_now(file_id)
        if content is None:
            content = await _in_thread(files.read, file_id)
    except UnknownCaptchaError as error:
        raise errors.UNKNOWN.error() from error
    except FileNotFoundError as error:
        metrics.MISSING.inc()
        raise files.missing(file_id) from error  # which is logged
    return Response(content, headers=_PNG_HEADERS)


async def _in_thread(read: Callable[..., _Read], *arguments: object) -> _Read:
    """Run this in one of the threads that do nothing else, so that pictures wait for pictures only."""
    return await anyio.to_thread.run_sync(read, *arguments, limiter=_readers)


def _check(until: datetime | None) -> None:
    if until and until <= datetime.now(UTC):
        raise errors.EXPIRED.error()

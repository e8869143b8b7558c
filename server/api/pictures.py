"""For everyone: the picture of a captcha, and its sound."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import anyio
from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from pool.errors import UnknownCaptchaError
from pool.storage.files import ID
from pool.storage.objects import ObjectStore
from server import errors, metrics, speech
from server.access import testing_keys
from server.api.checks import limit_issuing
from server.api.responses import NO_STORE, OWN_TYPE
from server.errors import documented
from server.services import services_of

router = APIRouter(tags=["captchas"])
_PNG_HEADERS = {"Content-Type": "image/png"} | NO_STORE | OWN_TYPE
_NOT_ISSUED = timedelta(minutes=1)  # lifetime of a signed URL for a captcha that was not issued
_BINARY = {"type": "string", "format": "binary"}
_GONE = (errors.UNKNOWN, errors.EXPIRED, errors.INVALID, errors.OUT_OF_REACH)
_speakers, _readers = anyio.CapacityLimiter(2), anyio.CapacityLimiter(40)
_Read = TypeVar("_Read")


@router.get(
    "/{file_id}.wav",
    response_class=Response,
    responses={
        200: {"content": {"audio/wav": {"schema": _BINARY}}},
        **documented(*_GONE, errors.LIMITED, errors.NO_SPEECH),
    },
)
async def sound(request: Request, file_id: str, lang: speech.Language = "en") -> Response:
    """Speak the code of a captcha, for those who can't see the picture; picture and sound share the one attempt."""
    services = services_of(request)
    if not services.speaks:
        raise errors.NO_SPEECH.error()
    await limit_issuing(request)

    def speak() -> bytes:
        pool = services.pool
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

"""For sites: a challenge whose code stays on the server, the check of its answer, and the redeeming of its token."""

import re
from contextlib import suppress
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import structlog
from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from pool.errors import DatabaseError, SpentTokenError, UnknownTokenError
from pool.models import State
from pool.pool import Issued
from pool.tokens import Redemption
from pool.verdicts import Attempt, Verdict
from server import errors, metrics
from server.api.bodies import FORM, JSON, MULTIPART, documented_body, parse_form, read_body
from server.api.captchas import hand_out_nothing, json_answer, note_issued
from server.errors import documented
from server.limits import client_of, limit_answering, limit_issuing
from server.schemas import PROMPTS, Answer, Challenge, ErrorCode, Siteverified, SiteverifyRequest, Verified

log = structlog.get_logger("gantcha.challenges")
router = APIRouter(tags=["challenges"])
SITEVERIFY = ("/siteverify", "/recaptcha/api/siteverify", "/turnstile/v0/siteverify")
"""The same route at three paths: ours, and those of two other products."""
_MOST_ANSWER_BYTES = 4 * 1024
MOST_TOKEN_BYTES = 32 * 1024
_CHALLENGED = metrics.ISSUED.labels("challenge")
_HOSTNAME = re.compile(r"[A-Za-z0-9._:-]{1,253}")


@router.get(
    "/challenge",
    dependencies=[Depends(limit_issuing)],
    response_class=Response,
    responses={200: {"model": Challenge}, **documented(errors.LIMITED, errors.EMPTY, errors.OUT_OF_REACH)},
)
async def challenge(request: Request) -> Response:
    """Hand out a captcha to a browser; its code never leaves the server, and `HEAD` hands out none."""
    captcha = await _take(request)
    if captcha is None:
        metrics.EMPTY.labels("challenge").inc()
        raise errors.EMPTY.error()
    metrics.CHALLENGES.labels(captcha.stock.difficulty).inc()
    url, kind = note_issued(request, captcha, _CHALLENGED), captcha.stock.kind
    return json_answer(
        {
            "id": captcha.id,
            "fileURL": url,
            "kind": kind,
            "prompt": PROMPTS[kind],
            "audioURL": f"{url}.wav" if request.app.state.speaks else None,
            "expires_at": captcha.expires_at,
        }
    )


async def _take(request: Request) -> Issued | None:
    """Take a captcha for this visitor: a harder one in doubt, if there is one."""
    state, site = request.app.state, _hostname(request)
    captcha: Issued | None = None
    if state.doubt and state.doubt.reason(client_of(request), site):
        with suppress(DatabaseError):  # logged by the buffer; the other may still hold some
            captcha = await state.harder_buffer.take()
    captcha = captcha or await state.challenge_buffer.take()
    if state.doubt and captcha:
        state.doubt.note_challenge(captcha.id, site)
    return captcha


router.add_api_route("/challenge", hand_out_nothing, methods=["HEAD"], include_in_schema=False)


async def _read_answer(request: Request) -> Answer:
    body = await read_body(request, _MOST_ANSWER_BYTES, JSON)
    try:
        return Answer.model_validate_json(body)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False, include_input=False)) from error


_NOT_VERIFIED = (*errors.UNREADABLE, errors.TOO_LONG, errors.INVALID, errors.LIMITED, errors.OUT_OF_REACH)


@router.post(
    "/verify",
    dependencies=[Depends(limit_answering)],
    response_class=Response,
    responses={200: {"model": Verified}, **documented(*_NOT_VERIFIED)},
    openapi_extra=documented_body(Answer.model_json_schema(), JSON),
)
async def verify(request: Request) -> Response:
    """Check the only answer that a challenge allows; a right one gets a token."""
    answer = await _read_answer(request)
    attempt, verdict = None, Verdict(None)
    with suppress(ValueError):  # not an id of ours
        attempt = Attempt.of(answer.id, answer.answer, _hostname(request))
    if attempt:
        verdict = await request.app.state.writer.ask(attempt)
        _note(request, attempt.file_id, verdict.state)
    metrics.ANSWERS.labels(verdict.state or "unknown").inc()
    log.info("answer", captcha=attempt and attempt.file_id, result=verdict.state or "unknown")
    if verdict.state is State.SOLVED:
        return json_answer(Verified(success=True, token=verdict.token))
    return json_answer(Verified(success=False, reason="wrong" if verdict.state is State.FAILED else "expired"))


def _note(request: Request, file_id: str, state: State | None) -> None:
    if request.app.state.doubt and state in (State.SOLVED, State.FAILED):
        is_right = state is State.SOLVED
        request.app.state.doubt.note_answer(file_id, client_of(request), _hostname(request), is_right=is_right)


def _hostname(request: Request) -> str:
    """Return the host of the page, from the browser's Origin header if there is one."""
    origin, host = request.headers.get("origin"), request.headers.get("host")
    return _name(origin if origin is not None else f"//{host}" if host else str(request.url))


@lru_cache(256)
def _name(url: str) -> str:
    with suppress(ValueError):
        name = urlsplit(url).hostname  # none in the "null" of a sandboxed page
        if name and _HOSTNAME.fullmatch(name):
            return name
    return ""


async def _read(request: Request) -> SiteverifyRequest:
    """Read a form or JSON, detected by content, since some clients do not declare the type.

    Raises:
        ValueError: a field is not text, or too long.
        HTTPException: it is neither; and the same as `read_body`.
    """
    body = await read_body(request, MOST_TOKEN_BYTES)
    if body.lstrip().startswith(b"{"):
        return SiteverifyRequest.model_validate_json(body)
    fields, files = parse_form(request.headers.get("content-type", ""), body)
    return SiteverifyRequest.model_validate(fields | files)


async def redeem(request: Request, asked: SiteverifyRequest) -> Siteverified:
    """Redeem the token for a caller whose secret was checked."""
    try:
        redemption = Redemption.of(asked.response, asked.idempotency_key)
    except ValueError:
        return failed("bad-request")
    try:
        solved = await request.app.state.writer.ask(redemption)
    except UnknownTokenError:
        return failed("invalid-input-response")
    except SpentTokenError:
        return failed("timeout-or-duplicate")
    except DatabaseError as error:
        log.error("no token can be redeemed", reason=str(error))
        return failed("internal-error")
    metrics.REDEEMED.labels("success").inc()
    return Siteverified(success=True, challenge_ts=f"{solved.at:%Y-%m-%dT%H:%M:%SZ}", hostname=solved.hostname)


def failed(*codes: ErrorCode) -> Siteverified:
    """Answer why no token was redeemed, and count it."""
    for code in codes:
        metrics.REDEEMED.labels(code).inc()
    return Siteverified(success=False, error_codes=list(codes))


_BODY = documented_body(SiteverifyRequest.model_json_schema(), FORM, JSON, MULTIPART)


_REDEEMED: dict[int | str, dict[str, Any]] = {200: {"model": Siteverified}}


@router.post(SITEVERIFY[0], response_class=Response, responses=_REDEEMED, openapi_extra=_BODY)
@router.post(SITEVERIFY[1], include_in_schema=False)
@router.post(SITEVERIFY[2], include_in_schema=False)
async def siteverify(request: Request) -> Response:
    """Tell a form's back end, once, whether its visitor solved a challenge; always 200."""
    try:
        asked = await _read(request)
    except (ValueError, HTTPException):
        return json_answer(failed("bad-request"), Connection="close")  # part of the body may still arrive
    needed: dict[ErrorCode, str] = {"missing-input-secret": asked.secret, "missing-input-response": asked.response}
    if not all(needed.values()):
        return json_answer(failed(*(code for code, given in needed.items() if not given)))
    site = request.app.state.keys.site_secret_name(asked.secret)
    if site is None:
        return json_answer(failed("invalid-input-secret"))
    structlog.contextvars.bind_contextvars(key=site)
    answer = await redeem(request, asked)
    if "internal-error" in answer.error_codes:
        return json_answer(answer, **{"Retry-After": str(errors.RETRY_SECONDS)})
    return json_answer(answer)

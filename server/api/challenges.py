"""For pages of sites: a challenge whose code stays on the server, and the check of its answer."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

import structlog
from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from gantcha.drawing.look import DIFFICULTIES, Difficulty, Kind
from pool.answers import Attempt, Verdict
from pool.errors import DatabaseError
from pool.filling.stocks import harder
from pool.keys_file import Site
from pool.models import State
from pool.pool import Issued
from pool.tokens import Purpose
from server import errors, metrics
from server.access import testing
from server.access.limits import client_of, limit_answering, limit_issuing
from server.api.bodies import JSON, documented_body, read_body
from server.api.captchas import file_url, hand_out_nothing, json_answer, note_issued
from server.errors import documented
from server.schemas import PROMPTS, Answer, Challenge, Verified

log = structlog.get_logger("gantcha.challenges")
router = APIRouter(tags=["challenges"])
MOST_ANSWER_BYTES = 4 * 1024
_CHALLENGED = metrics.ISSUED.labels("challenge")
_CHALLENGED_WITH = {difficulty: metrics.CHALLENGES.labels(difficulty) for difficulty in DIFFICULTIES}
_HOSTNAME = re.compile(r"[A-Za-z0-9._:-]{1,253}")
_NOT_CHALLENGED = (*errors.NOT_FOR_SITE, errors.INVALID, errors.LIMITED, errors.EMPTY, errors.OUT_OF_REACH)


class Place(NamedTuple):
    """Where a challenge is shown."""

    hostname: str
    """of the page, as the browser sent it; empty if it sent none"""
    name: str | None = None
    """of the site"""
    site: Site | None = None
    """None: a page without a sitekey, or with one for tests"""
    outcome: testing.Outcome | None = None
    """what a sitekey for tests makes of answers"""


def find_place(request: Request, sitekey: str | None) -> Place:
    """Return where a challenge with this sitekey is shown.

    Raises:
        HTTPException: 400 if there are sites and none has this sitekey, or it is for tests and this server is not.
    """
    hostname = _hostname(request)
    if sitekey is None:
        return Place(hostname)
    if outcome := testing.SITEKEYS.get(sitekey):
        if not request.app.state.settings.testing:
            raise errors.NOT_TESTING.error()
        return Place(hostname, outcome=outcome)
    keys = request.app.state.keys
    if found := keys.site(sitekey):
        return Place(hostname, *found)
    if keys.names_sites:
        raise errors.NO_SITE.error()
    return Place(hostname)


def check_hostname(place: Place) -> None:
    """Raise a 400 if the sitekey is not for pages of this host."""
    if place.site and not place.site.allows(place.hostname):
        host = place.hostname or "a host without a name"
        raise errors.NOT_ITS_HOST.error(errors.NOT_ITS_HOST.detail.replace("other.example", host))


@router.get(
    "/challenge",
    dependencies=[Depends(limit_issuing)],
    response_class=Response,
    responses={200: {"model": Challenge}, **documented(*_NOT_CHALLENGED)},
)
async def challenge(request: Request, sitekey: str | None = None) -> Response:
    """Hand out a captcha to a browser; its code never leaves the server, and `HEAD` hands out none."""
    request.app.state.advice.look_at(request)
    place = find_place(request, sitekey)
    check_hostname(place)
    return json_answer(await hand_out(request, place))


router.add_api_route("/challenge", hand_out_nothing, methods=["HEAD"], include_in_schema=False)


async def hand_out(request: Request, place: Place) -> dict[str, object]:
    """Hand out a captcha; return what a page may know of it.

    Raises:
        HTTPException: 503 while there is none; 429 if the site has a limit and the client exceeds it.
        DatabaseError: none is held and the database does not answer.
    """
    if place.outcome:
        until = datetime.now(UTC) + timedelta(seconds=request.app.state.settings.ttl_seconds)
        return _described(testing.ID, file_url(request, testing.ID), "plain", None, until)
    _spend_on_site(request, "issue", place)
    captcha = await _take(request, place)
    if captcha is None:
        metrics.EMPTY.labels("challenge").inc()
        raise errors.EMPTY.error()
    _CHALLENGED_WITH[captcha.stock.difficulty].inc()
    url = note_issued(request, captcha, _CHALLENGED)
    sound = f"{url}.wav" if request.app.state.speaks else None
    return _described(captcha.id, url, captcha.stock.kind, sound, captcha.expires_at)


def _described(file_id: str, url: str, kind: Kind, sound: str | None, expires_at: datetime) -> dict[str, object]:
    return {
        "id": file_id,
        "fileURL": url,
        "kind": kind,
        "prompt": PROMPTS[kind],
        "audioURL": sound,
        "expires_at": expires_at,
    }


async def _take(request: Request, place: Place) -> Issued | None:
    """Take a captcha for this visitor: a harder one in doubt, if there is one."""
    state, difficulty = request.app.state, _difficulty(request, place)
    captcha: Issued | None = None
    harder_buffer = state.challenge_buffers.get(harder(difficulty)) if state.doubt else None
    if harder_buffer is not None and state.doubt.reason(client_of(request), place.hostname):
        with suppress(DatabaseError):  # logged by the buffer; the other may still hold some
            captcha = await harder_buffer.take()
    captcha = captcha or await state.challenge_buffers[difficulty].take()
    if state.doubt and captcha:
        state.doubt.note_challenge(captcha.id, place.hostname)
    return captcha


def _difficulty(request: Request, place: Place) -> Difficulty:
    """Return the least difficulty of captchas for this place."""
    return (place.site and place.site.difficulty) or request.app.state.settings.difficulty


def _spend_on_site(request: Request, action: Literal["issue", "answer"], place: Place) -> None:
    """Count an action for the site if it has a limit of its own. Raises a 429 when that is exceeded."""
    if place.site and place.name:
        limit = place.site.issue_limit if action == "issue" else place.site.answer_limit
        if limit:
            request.app.state.limits.spend_on_site(action, client_of(request), place.name, limit)


async def _read_answer(request: Request) -> Answer:
    body = await read_body(request, MOST_ANSWER_BYTES, JSON)
    with fields_checked():
        return Answer.model_validate_json(body)


@contextmanager
def fields_checked() -> Iterator[None]:
    """Turn a ValidationError of fields that the caller sent into a 422."""
    try:
        yield
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False, include_input=False)) from error


_NOT_VERIFIED = (*errors.UNREADABLE, *errors.NOT_FOR_SITE, errors.TOO_LONG, errors.INVALID, errors.LIMITED)


@router.post(
    "/verify",
    dependencies=[Depends(limit_answering)],
    response_class=Response,
    responses={200: {"model": Verified}, **documented(*_NOT_VERIFIED, errors.OUT_OF_REACH)},
    openapi_extra=documented_body(Answer.model_json_schema(), JSON),
)
async def verify(request: Request) -> Response:
    """Check the only answer that a challenge allows; a right one gets a token."""
    answer = await _read_answer(request)
    place = find_place(request, answer.sitekey)
    check_hostname(place)
    return json_answer(await check(request, answer, place))


async def check(request: Request, answer: Answer, place: Place) -> Verified:
    """Check an answer given at this place; one to an easier captcha than it asks for counts as too late.

    Raises:
        HTTPException: 429 if the site has a limit and the client exceeds it.
        DatabaseError: the database does not answer.
    """
    if place.outcome:
        return testing.verified(place.outcome, answer.answer)
    _spend_on_site(request, "answer", place)
    attempt, verdict = None, Verdict(None)
    purpose = Purpose(place.hostname, place.name, answer.action, answer.cdata)
    with suppress(ValueError):  # not an id of ours
        attempt = Attempt.of(answer.id, answer.answer, purpose, _difficulty(request, place))
    if attempt:
        verdict = await request.app.state.writer.ask(attempt)
        _note(request, attempt, verdict.state)
    metrics.ANSWERS.labels(verdict.state or "unknown").inc()
    log.info("answer", captcha=attempt and attempt.file_id, result=verdict.state or "unknown")
    if verdict.state is State.SOLVED:
        return Verified(success=True, token=verdict.token)
    return Verified(success=False, reason="wrong" if verdict.state is State.FAILED else "expired")


def _note(request: Request, attempt: Attempt, state: State | None) -> None:
    if request.app.state.doubt and state in (State.SOLVED, State.FAILED):
        is_right, hostname = state is State.SOLVED, attempt.purpose.hostname
        request.app.state.doubt.note_answer(attempt.file_id, client_of(request), hostname, is_right=is_right)


def _hostname(request: Request) -> str:
    """Return the host of the page, from the browser's Origin header if there is one."""
    origin, host = request.headers.get("origin"), request.headers.get("host")
    return name_of(origin if origin is not None else f"//{host}" if host else str(request.url))


@lru_cache(256)
def name_of(url: str) -> str:
    """Return the host name in a URL; empty if it has none that is valid."""
    with suppress(ValueError):
        name = urlsplit(url).hostname  # none in the "null" of a sandboxed page
        if name and _HOSTNAME.fullmatch(name):
            return name
    return ""

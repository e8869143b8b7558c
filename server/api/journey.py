"""The steps of a visitor's journey, each for several routes: a challenge, the check of its answer, and its token."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import cast

import structlog
from fastapi import Request

from gantcha.drawing.look import DIFFICULTIES, Difficulty, Kind
from pool.answers import Attempt, Verdict
from pool.errors import DatabaseError, SpentTokenError, UnknownTokenError
from pool.filling.stocks import harder
from pool.models import State
from pool.pool import Issued
from pool.tokens import Inquiry, Purpose, Redemption, Solved
from server import errors, metrics
from server.access import testing_keys
from server.access.visits import Visit
from server.api.responses import file_url
from server.schemas import PROMPTS, Answer, ErrorCode, Siteverified, SiteverifyRequest, Verified
from server.services import Services, services_of

log = structlog.get_logger("gantcha.journey")
_CHALLENGED = metrics.ISSUED.labels("challenge")
_CHALLENGED_WITH = {difficulty: metrics.CHALLENGES.labels(difficulty) for difficulty in DIFFICULTIES}


async def hand_out(request: Request, visit: Visit) -> dict[str, object]:
    """Hand out a captcha; return what a page may know of it.

    Raises:
        HTTPException: 503 while there is none; 429 if the site has a limit and the client exceeds it.
        DatabaseError: none is held and the database does not answer.
    """
    services = services_of(request)
    if visit.outcome:
        until = datetime.now(UTC) + timedelta(seconds=services.settings.ttl_seconds)
        return _described(testing_keys.ID, file_url(request, testing_keys.ID), "plain", None, until)
    services.limits.spend_on_site("issue", visit)
    captcha = None
    try:
        captcha = await _take(services, visit)
    finally:
        if captcha is None:  # what was not handed out counts against nobody
            services.limits.refund("issue", visit)
    if captcha is None:
        metrics.EMPTY.labels("challenge").inc()
        raise errors.EMPTY.error()
    _CHALLENGED_WITH[captcha.stock.difficulty].inc()
    _CHALLENGED.inc()
    services.shown.note(captcha.id, captcha.expires_at)
    url = file_url(request, captcha.id)
    sound = f"{url}.wav" if services.speaks else None
    return _described(captcha.id, url, captcha.stock.kind, sound, captcha.expires_at)


def _described(file_id: str, url: str, kind: Kind, sound: str | None, expires_at: datetime) -> dict[str, object]:
    return {
        "id": file_id,
        "fileURL": url,
        "kind": kind,
        "prompt": PROMPTS[kind],
        "audioURL": sound,
        "expires_at": expires_at,
        "expires_in": max(0, round((expires_at - datetime.now(UTC)).total_seconds())),
    }


async def _take(services: Services, visit: Visit) -> Issued | None:
    """Take a captcha for this visitor: a harder one in doubt, or where there is no other and more than a reserve."""
    doubt, buffers, difficulty = services.doubt, services.challenge_buffers, _difficulty(services, visit)
    captcha, harder_one = None, harder(difficulty)
    if doubt and harder_one and harder_one in buffers and doubt.reason(visit.client, visit.hostname):
        with suppress(DatabaseError):  # logged by the buffer; the other may still hold some
            captcha = await buffers[harder_one].take()
    captcha = captcha or await buffers[difficulty].take()
    while captcha is None and harder_one:
        if harder_one in buffers:
            reserve = services.refill.watermarks[buffers[harder_one].stock].low_water
            captcha = await buffers[harder_one].take_spare(reserve)
        harder_one = harder(harder_one)
    if doubt and captcha:
        doubt.note_challenge(captcha.id, visit.hostname)
    return captcha


def _difficulty(services: Services, visit: Visit) -> Difficulty:
    """Return the least difficulty of captchas for this visit."""
    return (visit.site and visit.site.difficulty) or services.settings.difficulty


async def check(request: Request, answer: Answer, visit: Visit) -> Verified:
    """Check an answer; one to an easier captcha than its site asks for counts as too late.

    Raises:
        HTTPException: 429 if the site has a limit and the client exceeds it.
        DatabaseError: the database does not answer.
    """
    services = services_of(request)
    if visit.outcome:
        return testing_keys.verified(visit.outcome, answer.answer)
    services.limits.spend_on_site("answer", visit)
    attempt, verdict = None, Verdict(None)
    purpose = Purpose(visit.hostname, visit.name, answer.action, answer.cdata)
    with suppress(ValueError):  # not an id of ours
        attempt = Attempt.of(answer.id, answer.answer, purpose, _difficulty(services, visit))
    if attempt:
        verdict = cast(Verdict, await services.writer.ask(attempt))
        if services.doubt and verdict.state in (State.SOLVED, State.FAILED):
            is_right = verdict.state is State.SOLVED
            services.doubt.note_answer(attempt.file_id, visit.client, visit.hostname, is_right=is_right)
    metrics.ANSWERS.labels(verdict.state or "unknown").inc()
    log.info("answer", captcha=attempt and attempt.file_id, result=verdict.state or "unknown")
    if verdict.state is State.SOLVED:
        return Verified(success=True, token=verdict.token)
    return Verified(success=False, reason="wrong" if verdict.state is State.FAILED else "expired")


async def is_open(request: Request, text: str) -> bool:
    """Return whether a token can still be redeemed. Raises DatabaseError when the database does not answer."""
    services = services_of(request)
    if services.keys.for_tests and text == testing_keys.TOKEN:
        return True
    return cast(bool, await services.writer.ask(Inquiry.of(text)))


async def redeem(request: Request, asked: SiteverifyRequest, site: str | None = None) -> Siteverified:
    """Redeem the token for a caller whose secret was checked: that of a site, or one of no site."""
    try:
        redemption = Redemption.of(asked.response, asked.idempotency_key, site)
    except ValueError:
        return failed("bad-request")
    try:
        solved = cast(Solved, await services_of(request).writer.ask(redemption))
    except UnknownTokenError:
        return failed("invalid-input-response")
    except SpentTokenError:
        return failed("timeout-or-duplicate")
    except DatabaseError as error:
        log.error("no token can be redeemed", reason=str(error))
        return failed("internal-error")
    metrics.REDEEMED.labels("success").inc()
    challenge_ts, (_, hostname, action, cdata) = f"{solved.at:%Y-%m-%dT%H:%M:%SZ}", solved
    return Siteverified(success=True, challenge_ts=challenge_ts, hostname=hostname, action=action, cdata=cdata)


def failed(*codes: ErrorCode) -> Siteverified:
    """Return why no token was redeemed, and count it."""
    for code in codes:
        metrics.REDEEMED.labels(code).inc()
    return Siteverified(success=False, error_codes=list(codes))

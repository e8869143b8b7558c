"""The steps of a visitor's journey, each for several routes: a challenge, the check of its answer, and its token."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Literal, cast, get_args

import structlog
from fastapi import Request

from gantcha.drawing.look import DIFFICULTIES, Difficulty, Kind
from pool.answers import Attempt, Verdict
from pool.errors import DatabaseError, SpentTokenError, UnknownCaptchaError, UnknownTokenError
from pool.filling.stocks import harder
from pool.models import State
from pool.passes import Pass
from pool.pool import Issued
from pool.storage.files import new_id
from pool.tokens import Inquiry, Purpose, Redemption, Solved
from server import errors, metrics
from server.access import testing_keys
from server.access.visits import Visit, client_of
from server.api.responses import file_url
from server.schemas import PROMPTS, Answer, ErrorCode, Siteverified, SiteverifyRequest, Verified
from server.services import Services, services_of
from server.sounds import SoundKey

log = structlog.get_logger("gantcha.journey")
_CHALLENGED = metrics.ISSUED.labels("challenge")
_CHALLENGED_WITH = {difficulty: metrics.CHALLENGES.labels(difficulty) for difficulty in DIFFICULTIES}


Wish = Literal["quiet", "alternative"]
"""What a page asks for instead of a picture: work alone, as its site allows it to all or to who can't do otherwise."""
# So that nobody works ahead, and old phones have the time.
_PASS_LIFE: dict[Wish, timedelta] = {"quiet": timedelta(minutes=2), "alternative": timedelta(minutes=10)}


async def hand_out(
    request: Request, visit: Visit, use: Literal["picture", "plain"] = "picture", wish: Wish | None = None
) -> dict[str, object]:
    """Hand out a captcha, or the work that is enough for this visitor; return what a page may know of it.

    The page without JavaScript (`plain`) gets a ticket instead of work.

    Raises:
        HTTPException: 503 while there is none; 429 if the site has a limit and the client exceeds it.
        DatabaseError: none is held, or none of the keys that sign, and the database does not answer.
    """
    services = services_of(request)
    if visit.outcome:
        until = datetime.now(UTC) + timedelta(seconds=services.settings.ttl_seconds)
        return _described(testing_keys.ID, file_url(request, testing_keys.ID), 1, "plain", until) | {"ticket": ""}
    services.limits.spend_on_site("issue", visit)
    handed_out = None
    try:
        handed_out = await _hand_out(request, visit, use, wish)
    finally:
        if handed_out is None:  # what was not handed out counts against nobody
            services.limits.refund("issue", visit)
    if handed_out is None:
        metrics.EMPTY.labels("challenge").inc()
        raise errors.EMPTY.error()
    return handed_out


async def _hand_out(
    request: Request, visit: Visit, use: Literal["picture", "plain"], wish: Wish | None
) -> dict[str, object] | None:
    services = services_of(request)
    work, doubt = services.work, services.doubt
    reason = doubt and doubt.reason(visit.client, visit.place)
    in_doubt = reason is not None
    weight = work.weight(use, visit.site, in_doubt=in_doubt)
    if wish or weight or (use == "plain" and work.needs_tickets):
        await work.key()  # before anything is taken or counted
    if wish and _may_pass(services, visit, wish, in_doubt=in_doubt):
        return await _ask_for_work(services, visit, wish)
    captcha = await _take(services, visit, in_doubt=in_doubt)
    if captcha is None:
        return None
    log.debug("challenge", captcha=captcha.id, difficulty=captcha.stock.difficulty, doubt=reason, work=weight)
    _CHALLENGED_WITH[captcha.stock.difficulty].inc()
    _CHALLENGED.inc()
    services.shown.note(captcha.id, captcha.expires_at)
    url = file_url(request, captcha.id)
    kind, _, pixel_ratio = captcha.stock
    described = _described(captcha.id, url, pixel_ratio, kind, captcha.expires_at)
    described["audioURL"] = f"{url}.wav" if services.speaks else None
    described["alternative"] = visit.site is not None and visit.site.alternative is not None
    if weight:
        described["work"] = await work.ask(use, captcha.id, weight, captcha.expires_at)
    if use == "plain":
        described["ticket"] = await work.ticket(captcha.id)
    return described


def _described(
    file_id: str, url: str | None, pixel_ratio: int | None, kind: Kind | Literal["quiet"], expires_at: datetime
) -> dict[str, object]:
    return {
        "id": file_id,
        "fileURL": url,
        "pixel_ratio": pixel_ratio,
        "kind": kind,
        "prompt": PROMPTS[kind] if kind != "quiet" else None,
        "audioURL": None,
        "expires_at": expires_at,
        "expires_in": max(0, round((expires_at - datetime.now(UTC)).total_seconds())),
        "work": None,
        "alternative": False,
    }


def _may_pass(services: Services, visit: Visit, wish: Wish, *, in_doubt: bool) -> bool:
    """Return whether this visitor may have work alone; quiet is for those without doubt."""
    if not _allows(visit, wish) or (wish == "quiet" and in_doubt):
        return False
    return services.limits.admits_pass(wish, visit)


def _allows(visit: Visit, wish: Wish) -> bool:
    return visit.site is not None and wish in visit.site.passes


async def _ask_for_work(services: Services, visit: Visit, wish: Wish) -> dict[str, object]:
    file_id, until = new_id(), datetime.now(UTC) + _PASS_LIFE[wish]
    described = _described(file_id, None, None, "quiet", until)
    weight, sitekey = services.work.weight(wish, visit.site), visit.site.sitekey if visit.site else None
    described["work"] = await services.work.ask(wish, file_id, weight, until, sitekey)
    metrics.ISSUED.labels(wish).inc()
    return described


async def _take(services: Services, visit: Visit, *, in_doubt: bool) -> Issued | None:
    """Take a captcha for this visitor: a harder one in doubt, or where there is no other and more than a reserve."""
    doubt, buffers, difficulty = services.doubt, services.challenge_buffers, _difficulty(services, visit)
    captcha, harder_one = None, harder(difficulty)
    if in_doubt and harder_one and harder_one in buffers:
        with suppress(DatabaseError):  # logged by the buffer; the other may still hold some
            captcha = await buffers[harder_one].take()
    captcha = captcha or await buffers[difficulty].take()
    while captcha is None and harder_one:
        if harder_one in buffers:
            reserve = services.refill.watermarks[buffers[harder_one].stock].low_water
            captcha = await buffers[harder_one].take_spare(reserve)
        harder_one = harder(harder_one)
    if doubt and captcha:
        doubt.note_challenge(captcha.id, visit.client, visit.place)
    return captcha


def _difficulty(services: Services, visit: Visit) -> Difficulty:
    """Return the least difficulty of captchas for this visit."""
    return (visit.site and visit.site.difficulty) or services.settings.difficulty


async def check(request: Request, answer: Answer, visit: Visit, ticket: str | None = None) -> Verified:
    """Check an answer; one to an easier captcha than its site asks for, or doubt, counts as too late.

    Work comes first: without it nothing is looked at, and no attempt is used up. The `ticket` of the page without
    JavaScript takes its place.

    Raises:
        HTTPException: 429 if the site has a limit and the client exceeds it.
        DatabaseError: the database does not answer.
    """
    services = services_of(request)
    if visit.outcome:
        return testing_keys.verified(visit.outcome, answer.answer or "")
    services.limits.spend_on_site("answer", visit)
    purpose = Purpose(visit.hostname, visit.name, answer.action, answer.cdata)
    if answer.answer is None:
        return await _check_work_alone(services, answer, visit, purpose)
    if not await _has_worked(services, answer, visit, ticket):
        return Verified(success=False, reason="work")
    attempt, verdict = None, Verdict(None)
    with suppress(ValueError):  # not an id of ours
        attempt = Attempt.of(answer.id, answer.answer, purpose, await _least(services, visit, answer.id))
    if attempt:
        verdict = cast(Verdict, await services.writer.ask(attempt))
        if services.doubt and verdict.state in (State.SOLVED, State.FAILED):
            is_right = verdict.state is State.SOLVED
            services.doubt.note_answer(attempt.file_id, visit.client, visit.place, is_right=is_right)
    result = _count(verdict, visit)
    log.info("answer", captcha=attempt and attempt.file_id, result=result)
    if verdict.state is State.SOLVED:
        return Verified(success=True, token=verdict.token)
    return Verified(success=False, reason="wrong" if verdict.state is State.FAILED else "expired")


async def _least(services: Services, visit: Visit, file_id: str) -> Difficulty:
    """Return the least difficulty whose answers count.

    While there are harder captchas, who is in doubt by now needs one: or who asks for many before answering the first
    would never meet any.
    """
    least = _difficulty(services, visit)
    above = harder(least)
    if above and above in services.challenge_buffers and _is_doubted(services, visit.client, file_id):
        with suppress(DatabaseError):  # the answer itself will say so
            return above if await services.challenge_buffers[above].has_any() else least
    return least


def _is_doubted(services: Services, client: str, file_id: str) -> bool:
    """Return whether who answers, or who asked for this challenge, is in doubt."""
    doubt = services.doubt
    if doubt is None:
        return False
    return any(doubt.reason(address, "") for address in {doubt.asked_from(file_id) or client, client})


def _count(verdict: Verdict, visit: Visit) -> str:
    """Count an answer, and return what became of it."""
    result = verdict.state or "unknown"
    metrics.ANSWERS.labels(result).inc()
    if visit.name:
        metrics.SITE_ANSWERS.labels(visit.name, result).inc()
    return result


async def _has_worked(services: Services, answer: Answer, visit: Visit, ticket: str | None) -> bool:
    least = services.work.weight("picture", visit.site)
    if not least:
        return True
    if ticket is not None:
        return await services.work.is_ticket(ticket, answer.id)
    return await services.work.check(answer.work, answer.id, {"picture": least}) is not None


async def work_for_sound(
    request: Request, key: SoundKey, given: str | None, ticket: str | None
) -> dict[str, object] | None:
    """Return the work that is needed before a sound; None if none is, or it was done. Each language has its own.

    Raises:
        HTTPException: 404 or 410 for a captcha that is not shown; 429 if the client exceeds the limit of answers.
        DatabaseError: the database does not answer.
    """
    services, client = services_of(request), client_of(request)
    least = services.work.weight("sound", None)
    if not least:
        return None
    if ticket is not None and await services.work.is_ticket(ticket, key.file_id):
        return None
    subject = ".".join(key)
    if given and await services.work.check(given, subject, {"sound": least}):
        return None
    services.limits.spend("answer", client)  # signing takes longer than most answers
    try:
        shown = await services.shown.look_ups.ask(key.file_id)
    except UnknownCaptchaError as error:
        raise errors.UNKNOWN.error() from error
    if not shown.redeemable:
        return None  # its code was told to whoever asked for it
    if shown.expires_at is None or shown.expires_at <= datetime.now(UTC):
        raise errors.EXPIRED.error()
    weight = services.work.weight("sound", None, in_doubt=_is_doubted(services, client, key.file_id))
    return await services.work.ask("sound", subject, weight, shown.expires_at)


async def _check_work_alone(services: Services, answer: Answer, visit: Visit, purpose: Purpose) -> Verified:
    """Check the work of a challenge that asks for nothing else; it earns one token, if its site still allows it."""
    work, wishes = services.work, [wish for wish in get_args(Wish) if _allows(visit, wish)]
    done = await work.check(answer.work, answer.id, {wish: work.weight(wish, visit.site) for wish in wishes})
    if not done or not visit.site or done.sitekey != visit.site.sitekey:
        return Verified(success=False, reason="work")
    verdict = Verdict(None)
    # The budget again: many may have asked for work before the first of them had done it.
    if datetime.now(UTC).timestamp() < done.expires_at and services.limits.take_pass(done.use, visit):
        earned = Pass(answer.id, done.key_id, done.expires_at, purpose, done.use)
        try:
            verdict = cast(Verdict, await services.writer.ask(earned))
        finally:
            if not verdict.token:
                services.limits.refund_pass(done.use, visit)
    result = _count(verdict, visit)
    log.info("work", captcha=answer.id, use=done.use, result=result)
    if not verdict.token:
        return Verified(success=False, reason="expired")
    return Verified(success=True, token=verdict.token)


async def is_open(request: Request, text: str) -> bool:
    """Return whether a token can still be redeemed. Raises DatabaseError when the database does not answer."""
    services = services_of(request)
    if services.keys.for_tests and text == testing_keys.TOKEN:
        return True
    return cast(bool, await services.writer.ask(Inquiry.of(text)))


async def redeem(request: Request, asked: SiteverifyRequest, site: str | None = None) -> Siteverified:
    """Redeem the token for a caller whose secret was checked: that of a site, or one of no site.

    A token that was earned without a picture is spent, but worth nothing, once its site does not allow that any more.
    """
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
    mode = solved.mode or "picture"
    if mode in ("quiet", "alternative") and mode not in services_of(request).keys.passes(site):
        return failed("invalid-input-response")
    metrics.REDEEMED.labels("success").inc()
    metrics.MODES.labels(mode).inc()
    if site:
        metrics.SITE_REDEEMED.labels(site).inc()
    shown = solved._asdict() | {"mode": mode}
    return Siteverified(success=True, challenge_ts=f"{shown.pop('at'):%Y-%m-%dT%H:%M:%SZ}", **shown)


def failed(*codes: ErrorCode) -> Siteverified:
    """Return why no token was redeemed, and count it."""
    for code in codes:
        metrics.REDEEMED.labels(code).inc()
    return Siteverified(success=False, error_codes=list(codes))

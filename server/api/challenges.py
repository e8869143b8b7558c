"""For pages of sites: a challenge whose code stays on the server, and the check of its answer."""

from fastapi import APIRouter, Depends, Request, Response

from server import errors
from server.access.visits import visit_of
from server.api.bodies import JSON, MOST_ANSWER_BYTES, documented_body, fields_checked, read_body
from server.api.checks import limit_answering, limit_issuing
from server.api.journey import Wish, check, hand_out, is_open
from server.api.responses import hand_out_nothing, json_answer
from server.errors import documented
from server.schemas import Answer, Challenge, TokenInquiry, TokenState, Verified
from server.services import services_of

router = APIRouter(tags=["challenges"])
_NOT_CHALLENGED = (
    *errors.NOT_FOR_SITE,
    errors.UNSEEN,
    errors.INVALID,
    errors.LIMITED,
    errors.LONG_URL,
    errors.EMPTY,
    errors.OUT_OF_REACH,
)
_NOT_READ = (*errors.UNREADABLE, errors.UNSEEN, errors.TOO_LONG, errors.INVALID, errors.LIMITED, errors.OUT_OF_REACH)


@router.get(
    "/challenge",
    dependencies=[Depends(limit_issuing)],
    response_class=Response,
    responses={200: {"model": Challenge}, **documented(*_NOT_CHALLENGED)},
)
async def challenge(request: Request, sitekey: str | None = None, mode: Wish | None = None) -> Response:
    """Hand out a captcha to a browser; its code never leaves the server, and `HEAD` hands out none.

    With `mode`, its work alone may be enough: `quiet` for visitors without doubt, `alternative` for those who can
    neither see nor hear, each where the site of the sitekey allows it. Elsewhere the answer has a picture as usual.
    """
    services = services_of(request)
    services.advice.look_at(request)
    visit = visit_of(request, sitekey, services.keys)
    visit.check_hostname()
    return json_answer(await hand_out(request, visit, wish=mode))


router.head("/challenge", include_in_schema=False)(hand_out_nothing)


@router.post(
    "/verify",
    dependencies=[Depends(limit_answering)],
    response_class=Response,
    responses={200: {"model": Verified}, **documented(*errors.NOT_FOR_SITE, *_NOT_READ)},
    openapi_extra=documented_body(Answer.model_json_schema(), JSON),
)
async def verify(request: Request) -> Response:
    """Check the only answer that a challenge allows; a right one gets a token."""
    body = await read_body(request, MOST_ANSWER_BYTES, JSON)
    with fields_checked():
        answer = Answer.model_validate_json(body)
    if answer.answer is None and answer.work is None:
        raise errors.INVALID.error()
    visit = visit_of(request, answer.sitekey, services_of(request).keys)
    visit.check_hostname()
    return json_answer(await check(request, answer, visit))


@router.post(
    "/token",
    dependencies=[Depends(limit_answering)],
    response_class=Response,
    responses={200: {"model": TokenState}, **documented(*_NOT_READ)},
    openapi_extra=documented_body(TokenInquiry.model_json_schema(), JSON),
)
async def token(request: Request) -> Response:
    """Tell a page whose form is sent again whether its token can still be redeemed; this redeems nothing."""
    body = await read_body(request, MOST_ANSWER_BYTES, JSON)
    with fields_checked():
        inquiry = TokenInquiry.model_validate_json(body)
    return json_answer(TokenState(open=await is_open(request, inquiry.token)))

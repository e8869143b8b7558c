"""For back ends of sites: the redeeming of a token, as reCAPTCHA, hCaptcha and Turnstile do it."""

from typing import Any

import structlog
from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from server import errors
from server.access import testing_keys
from server.api.bodies import FORM, JSON, MOST_TOKEN_BYTES, MULTIPART, documented_body, parse_form, read_body
from server.api.journey import failed, redeem
from server.api.responses import json_answer
from server.schemas import ErrorCode, Siteverified, SiteverifyRequest
from server.services import services_of

log = structlog.get_logger("gantcha.siteverify")
router = APIRouter(tags=["challenges"])
SITEVERIFY = ("/siteverify", "/recaptcha/api/siteverify", "/turnstile/v0/siteverify")
"""The same route at three paths: ours, and those of two other products."""
_BODY = documented_body(SiteverifyRequest.model_json_schema(), FORM, JSON, MULTIPART)
_REDEEMED: dict[int | str, dict[str, Any]] = {200: {"model": Siteverified}}


async def _read(request: Request) -> SiteverifyRequest:
    """Read a form or JSON, detected by content, since some clients do not declare the type.

    Raises:
        ValueError: a field is not text, or too long.
        HTTPException: it is neither; and the same as `read_body`.
    """
    body, query = await read_body(request, MOST_TOKEN_BYTES), request.scope["query_string"]
    if not body and any(name in query for name in (b"secret=", b"response=")):
        if not services_of(request).settings.siteverify_query:
            raise errors.IN_QUERY.error()
        fields, _ = parse_form(FORM, query)
        return SiteverifyRequest.model_validate(fields)
    if body.lstrip().startswith(b"{"):
        return SiteverifyRequest.model_validate_json(body)
    fields, files = parse_form(request.headers.get("content-type", ""), body)
    return SiteverifyRequest.model_validate(fields | files)


@router.api_route(SITEVERIFY[0], methods=["GET"], include_in_schema=False)
@router.api_route(SITEVERIFY[1], methods=["GET", "POST"], include_in_schema=False)
@router.api_route(SITEVERIFY[2], methods=["GET", "POST"], include_in_schema=False)
# Last here is first in the table, and `Allow` names the methods of the first: the documented one.
@router.post(SITEVERIFY[0], response_class=Response, responses=_REDEEMED, openapi_extra=_BODY)
async def siteverify(request: Request) -> Response:
    """Tell a form's back end, once, whether its visitor solved a challenge; always 200."""
    try:
        asked = await _read(request)
    except (ValueError, HTTPException) as error:
        detail = errors.IN_QUERY.detail if getattr(error, "detail", "") == errors.IN_QUERY.detail else None
        answer = failed("bad-request").model_copy(update={"detail": detail})
        return json_answer(answer, Connection="close")  # part of the body may still arrive
    needed: dict[ErrorCode, str] = {"missing-input-secret": asked.secret, "missing-input-response": asked.response}
    if not all(needed.values()):
        return json_answer(failed(*(code for code, given in needed.items() if not given)))
    keys = services_of(request).keys
    if outcome := testing_keys.SECRETS.get(asked.secret):
        if keys.for_tests:
            return json_answer(testing_keys.siteverified(outcome))
        log.warning("a secret for tests was refused: set CAPTCHA_TESTING=true, where no real visitor comes")
    owner = None if outcome else keys.owner(asked.secret)
    if owner is None:
        return json_answer(failed("invalid-input-secret"))
    structlog.contextvars.bind_contextvars(key=owner.name)
    answer = await redeem(request, asked, owner.name if owner.is_site else None)
    if "internal-error" in answer.error_codes:
        return json_answer(answer, 200, **{"Retry-After": str(errors.RETRY_SECONDS)})
    return json_answer(answer)

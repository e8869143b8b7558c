"""The errors of all routes: their status, their text, their answers, and their entry in the OpenAPI document."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from fastapi import HTTPException, Request
from fastapi.exception_handlers import http_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException as AnyHTTPException

from gantcha.errors import StorageError
from pool.errors import DatabaseError, SpeechError
from server.schemas import Refused

log = logging.getLogger(__name__)
RETRY_SECONDS = 5


class RouteError(NamedTuple):
    """A status and its reason; raise what `error` returns."""

    status: int
    detail: str
    headers: dict[str, str] | None = None

    def error(self, detail: str | None = None, headers: dict[str, str] | None = None) -> HTTPException:
        """Return the exception; `detail` replaces the usual reason."""
        return HTTPException(self.status, detail or self.detail, headers or self.headers)


_LATER = {"Retry-After": str(RETRY_SECONDS)}

MALFORMED = RouteError(400, "There was an error parsing the body")
NOT_KEPT = RouteError(
    400,
    "This server keeps no captchas of this kind and pixel_ratio; those of CAPTCHA_KIND have 1, those of "
    "CAPTCHA_CHALLENGE_KIND have CAPTCHA_PIXEL_RATIO.",
)
NO_SITE = RouteError(400, "No site has this sitekey; CAPTCHA_KEYS_FILE gives each site its own.")
NOT_ITS_HOST = RouteError(
    400, "This sitekey is not for pages of other.example; CAPTCHA_KEYS_FILE lists the hostnames of its site."
)
NOT_TESTING = RouteError(400, "This is a sitekey for tests, which works only with CAPTCHA_TESTING=true.")
NO_RETURN = RouteError(
    400, "return: visitors may go back only to hosts of the sitekey's site, CAPTCHA_CORS_ORIGINS, or this server."
)
IN_QUERY = RouteError(
    400,
    "Send secret and response in the body, as a form or JSON: proxies log queries. Where none does, "
    "CAPTCHA_SITEVERIFY_QUERY=true reads them from the query.",
)
NO_KEY = RouteError(
    401,
    "This route needs the header `Authorization: Bearer <API key>`, with a key that may use it.",
    {"WWW-Authenticate": "Bearer"},
)
NO_PASSWORD = NO_KEY._replace(headers={"WWW-Authenticate": 'Basic realm="Gantcha", charset="UTF-8"'})
"""For pages: a browser asks for the password."""
NOT_LOCAL = RouteError(
    403, "Without a CAPTCHA_API_KEY this route answers only programs on this machine, not through a proxy."
)
UNKNOWN = RouteError(404, "There is no captcha with this id.")
TOO_SLOW = RouteError(408, "The body took too long to arrive.", {"Connection": "close"})
EXPIRED = RouteError(410, "This captcha has expired; ask for a new one.")
TOO_LARGE = RouteError(413, "The upload is larger than 1 MiB.", {"Connection": "close"})
TOO_LONG = RouteError(413, "The body is larger than 4 KiB.", {"Connection": "close"})
TOO_MANY_PIXELS = RouteError(413, "The picture is more than 2048 pixels wide or high.")
NO_PNG = RouteError(415, "The file is not a valid PNG.")
NO_CHARSET = RouteError(415, "The body must be UTF-8; omit the charset in Content-Type, or set it to utf-8.")
WRONG_TYPE = RouteError(415, "The body must be application/json.")
BAD_CODE = RouteError(422, "The code must be 6 characters of 0-9 and a-z.")
INVALID = RouteError(422, "answer: Field required.")
NO_WORK = RouteError(428, "Solve the work, and send its solution as `work`; the documentation says how.")
LIMITED = RouteError(429, "Too many requests from this address; wait a moment.", {"Retry-After": "42"})
LONG_URL = RouteError(431, "URL or headers are too large; 32 KiB, 100 headers and 100 fields are allowed.")
NO_SPEECH = RouteError(501, "This server can't speak: espeak-ng is not installed on it, or can't name its alphabet.")
SPEAKING = RouteError(503, "Other sounds are being spoken; try again in a moment.", {"Retry-After": "2"})
UNSEEN = RouteError(403, "A page of another site that can't read the answer gets none.")
PREFETCHED = RouteError(503, "A page that is only fetched ahead gets no captcha; load it again to see one.")
EMPTY = RouteError(503, "The pool is empty; new captchas are being drawn.", _LATER)
OUT_OF_REACH = RouteError(503, "The captcha store can't be reached at the moment; try again later.", _LATER)

UNTRUSTED = (NO_KEY, NOT_LOCAL)
"""Errors of routes for trusted callers."""
NOT_FOR_SITE = (NO_SITE, NOT_ITS_HOST, NOT_TESTING)
"""Errors of routes that take a sitekey."""
UNREADABLE = (MALFORMED, TOO_SLOW, NO_CHARSET, WRONG_TYPE)
"""Errors of routes that read a body; the error for its size depends on the route."""
BAD_UPLOAD = (TOO_LARGE, TOO_MANY_PIXELS, NO_PNG, BAD_CODE)


async def _answer_invalid(_request: Request, error: RequestValidationError) -> Response:
    first = error.errors()[0]
    where = first["loc"][-1] if first["loc"] else "body"
    return JSONResponse({"detail": f"{where}: {first['msg']}."}, INVALID.status)


async def _answer_unavailable(request: Request, error: Exception) -> Response:
    # The text names hosts and paths: log it, but do not send it to the caller.
    log.error("%s", error)
    return await http_exception_handler(request, OUT_OF_REACH.error())


HANDLERS: Mapping[type[Exception], Callable[[Request, Any], Awaitable[Response]]] = {
    AnyHTTPException: http_exception_handler,
    RequestValidationError: _answer_invalid,
    DatabaseError: _answer_unavailable,
    StorageError: _answer_unavailable,
    SpeechError: _answer_unavailable,
}
"""Handlers by class of error."""


async def answer(request: Request, error: Exception) -> Response:
    """Answer an error of one of these classes."""
    handler = next(HANDLERS[cls] for cls in type(error).__mro__ if cls in HANDLERS)
    return await handler(request, error)


def documented(*errors: RouteError) -> dict[int | str, dict[str, Any]]:
    """Describe errors for the OpenAPI document, each with its text as an example."""
    documents: dict[int | str, dict[str, Any]] = {}
    for error in errors:
        content: dict[str, Any] = {"application/json": {"examples": {}}}
        document = documents.setdefault(error.status, {"model": Refused, "headers": {}, "content": content})
        document["headers"] |= {name: {"schema": {"type": "string"}} for name in error.headers or ()}
        examples = document["content"]["application/json"]["examples"]
        examples[f"reason {len(examples) + 1}"] = {"value": {"detail": error.detail}}
    return documents

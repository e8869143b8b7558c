"""What is checked before a route runs: keys and limits."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from pool.keys_file import Right
from server import errors
from server.access import auth
from server.access.visits import client_of
from server.services import services_of

_bearer = HTTPBearer(auto_error=False, description="CAPTCHA_API_KEY, or one of the API keys of CAPTCHA_KEYS_FILE")
"""Describes the key in the OpenAPI document; `auth` checks it."""


_RIGHTS: dict[str, Right] = {"/generate": "generate", "/load": "load"}
"""What a key must be allowed, by route; the others tell of the server's state."""
_FETCHING_AHEAD = ("sec-purpose", "purpose", "x-moz", "x-purpose")


# Not in the thread of a route: the key's name would be missing in the log line of the request.
async def is_trusted_caller(request: Request, _key: Annotated[object, Depends(_bearer)] = None) -> bool:
    """Return whether the caller has an API key or, if none is set, is on this machine."""
    services = services_of(request)
    right: Right = _RIGHTS.get(request.scope["route"].path, "metrics")
    return auth.is_trusted_caller(request, services.keys, services.settings, right)


async def require_trusted_caller(request: Request, _key: Annotated[object, Depends(_bearer)] = None) -> None:
    """Raise a 401 for a missing or wrong key, or a 403 for another machine if no key is set."""
    if not await is_trusted_caller(request):
        raise (errors.NO_KEY if services_of(request).keys.guards_api else errors.NOT_LOCAL).error()


async def require_operator(request: Request) -> None:
    """Raise as `require_trusted_caller` does, but have a browser ask for the key as a password."""
    services = services_of(request)
    if not auth.is_trusted_caller(request, services.keys, services.settings, "metrics", basic=True):
        raise (errors.NO_PASSWORD if services.keys.guards_api else errors.NOT_LOCAL).error()


def refuse_prefetch(request: Request) -> None:
    """Raise a 503 if a browser, or a scanner of links, fetches ahead what nobody may ever see."""
    if any(request.headers.get(name, "")[:8].lower() == "prefetch" for name in _FETCHING_AHEAD):
        raise errors.PREFETCHED.error()


def _refuse_unseen(request: Request) -> None:
    """Raise a 403 for what a foreign page has browsers send without reading it, to use up their limits."""
    if request.headers.get("sec-fetch-site") == "cross-site" and request.headers.get("sec-fetch-mode") == "no-cors":
        raise errors.UNSEEN.error()


async def limit_issuing(request: Request) -> None:
    """Count a challenge for this client."""
    refuse_prefetch(request)
    _refuse_unseen(request)
    services_of(request).limits.spend("issue", client_of(request))


async def limit_answering(request: Request) -> None:
    """Count an answer of this client."""
    _refuse_unseen(request)
    services_of(request).limits.spend("answer", client_of(request))

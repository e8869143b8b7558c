"""Who may call the routes that give codes away."""

from ipaddress import ip_address
from typing import Annotated

import structlog
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from server.refusals import NO_KEY, NOT_LOCAL

_FORWARDING_HEADERS = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
_bearer = HTTPBearer(auto_error=False, description="CAPTCHA_API_KEY, or one of the API keys of CAPTCHA_KEYS_FILE")


async def is_trusted_caller(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> bool:
    """Tell the bearer of an API key or, while there is none, callers on this machine."""
    keys = request.app.state.keys
    if not keys.guards_api:
        return _comes_from_this_machine(request)
    name = keys.api_key_name(credentials.credentials) if credentials else None
    if name:
        structlog.contextvars.bind_contextvars(key=name)
    return name is not None


async def require_trusted_caller(request: Request, is_trusted: Annotated[bool, Depends(is_trusted_caller)]) -> None:
    """Let pass trusted callers only.

    Raises:
        HTTPException: 401 for a missing or wrong key, 403 for another machine while there is no key.
    """
    if not is_trusted:
        raise (NO_KEY if request.app.state.keys.guards_api else NOT_LOCAL).error()


def _comes_from_this_machine(request: Request) -> bool:
    """Tell local programs from what reaches the loopback address for others: proxies, and pages in a local browser."""
    if request.client is None or not _is_loopback(request.client.host):
        return False
    if any(name in request.headers for name in _FORWARDING_HEADERS):
        return False
    if not _is_loopback(request.url.hostname or ""):  # a foreign name that resolves to this machine
        return False
    return request.headers.get("sec-fetch-site", "none") in ("none", "same-origin")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False

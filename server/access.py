"""Who may call the routes that give codes away."""

import secrets
from ipaddress import ip_address
from typing import Annotated

from fastapi import Depends, HTTPException, Request, status
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

_FORWARDING_HEADERS = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
_bearer = HTTPBearer(auto_error=False, description="The value of CAPTCHA_API_KEY")


async def require_trusted_caller(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> None:
    """Let pass the API key's bearer or, while no key is set, callers on this machine.

    Raises:
        HTTPException: 401 for a missing or wrong key, 403 for another machine.
    """
    api_key = request.app.state.settings.api_key
    if api_key is not None:
        given = credentials.credentials if credentials else ""
        if not secrets.compare_digest(given.encode(), api_key.get_secret_value().encode()):
            raise HTTPException(
                status.HTTP_401_UNAUTHORIZED,
                "This route needs the header `Authorization: Bearer <API key>`.",
                {"WWW-Authenticate": "Bearer"},
            )
    elif not _comes_from_this_machine(request):
        raise HTTPException(
            status.HTTP_403_FORBIDDEN, "This route answers only this machine until the server has a CAPTCHA_API_KEY."
        )


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

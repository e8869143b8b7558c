"""Who may call the routes that give codes away."""

import secrets
from ipaddress import ip_address
from typing import Annotated

from fastapi import Depends, HTTPException, Request, status
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

_bearer = HTTPBearer(auto_error=False, description="The value of CAPTCHA_API_KEY")


def require_trusted_caller(
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
    elif request.client is None or not ip_address(request.client.host).is_loopback:
        raise HTTPException(
            status.HTTP_403_FORBIDDEN, "This route answers only this machine until the server has a CAPTCHA_API_KEY."
        )

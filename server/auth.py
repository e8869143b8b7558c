"""Who may call the routes that return codes."""

from functools import lru_cache
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit

import structlog
from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from server.errors import NO_KEY, NOT_LOCAL

# Headers that proxies and platforms add.
_FORWARDING_HEADERS = {
    b"client-ip",
    b"max-forwards",
    b"proxy-client-ip",
    b"true-client-ip",
    b"via",
    b"wl-proxy-client-ip",
    b"x-bb-ip",
    b"x-client-ip",
    b"x-cloud-trace-context",
    b"x-cluster-client-ip",
    b"x-coming-from",
    b"x-real-ip",
    b"x-remote-addr",
    b"x-remote-ip",
    b"x-proxyuser-ip",
}
_FORWARDING_PREFIXES = (
    b"akamai-",
    b"ali-cdn-",
    b"cdn-",  # CDN-Loop of RFC 8586, and Bunny
    b"cf-",  # Cloudflare
    b"cloudfront-",
    b"do-connecting-",  # DigitalOcean
    b"fastly-",
    b"fly-",
    b"forwarded",
    b"incap-",
    b"x-akamai-",
    b"x-amz-cf-",
    b"x-amzn-",
    b"x-appengine-",
    b"x-arr-",  # Azure App Service
    b"x-azure-",
    b"x-cdn",
    b"x-envoy-",
    b"x-fd-",  # Azure Front Door
    b"x-forwarded",
    b"x-haproxy-",
    b"x-nf-",  # Netlify
    b"x-original-",
    b"x-sucuri-",
    b"x-varnish",
    b"x-vercel-",
)
bearer = HTTPBearer(auto_error=False, description="CAPTCHA_API_KEY, or one of the API keys of CAPTCHA_KEYS_FILE")
"""Describes the key in the OpenAPI document; `is_trusted_caller` checks it."""


def is_trusted_caller(request: Request) -> bool:
    """Return whether the caller has an API key or, if none is set, is on this machine."""
    keys = request.app.state.keys
    if not keys.guards_api:
        return comes_from_this_machine(request)
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    name = keys.api_key_name(given.strip()) if scheme.lower() == "bearer" else None
    if name:
        structlog.contextvars.bind_contextvars(key=name)
    return name is not None


def check_trusted_caller(request: Request) -> None:
    """Reject callers that are not trusted.

    Raises:
        HTTPException: 401 for a missing or wrong key, 403 for another machine if no key is set.
    """
    if not is_trusted_caller(request):
        raise (NO_KEY if request.app.state.keys.guards_api else NOT_LOCAL).error()


async def require_trusted_caller(request: Request, _key: Annotated[object, Depends(bearer)]) -> None:
    """Reject callers that are not trusted, as a dependency. Raises the same errors as `check_trusted_caller`."""
    check_trusted_caller(request)


def comes_from_this_machine(request: Request) -> bool:
    """Return whether a local program asks, and not a proxy or a web page in a local browser.

    A proxy that adds no header looks like a local program: if the settings mention a proxy, no caller is local.
    """
    settings = request.app.state.settings
    if settings.trusted_proxies or settings.public_url:
        return False
    client, headers = request.scope["client"], dict(request.scope["headers"])
    if client is None or not _is_loopback(client[0]):
        return False
    if not _FORWARDING_HEADERS.isdisjoint(headers) or any(name.startswith(_FORWARDING_PREFIXES) for name in headers):
        return False
    if not _is_loopback(_name(headers.get(b"host", b""))):  # a foreign name that resolves to this machine
        return False
    return headers.get(b"sec-fetch-site", b"none") in (b"none", b"same-origin")


@lru_cache(256)
def _name(host: bytes) -> str:
    try:
        return urlsplit(f"//{host.decode('latin-1')}").hostname or ""
    except ValueError:
        return ""


@lru_cache(256)
def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False

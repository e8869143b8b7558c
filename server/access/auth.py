"""Who may call the routes that return codes."""

from functools import lru_cache
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit

import structlog
from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from server import errors

# Headers that proxies and platforms add, and the beginnings of others.
_FORWARDING_HEADERS = frozenset(
    b"""client-ip max-forwards proxy-client-ip true-client-ip via wl-proxy-client-ip x-bb-ip x-client-ip
    x-cloud-trace-context x-cluster-client-ip x-coming-from x-real-ip x-remote-addr x-remote-ip
    x-proxyuser-ip""".split()
)
_FORWARDING_PREFIXES = tuple(
    b"""akamai- ali-cdn- cdn- cf- cloudfront- do-connecting- fastly- fly- forwarded incap- x-akamai- x-amz-cf- x-amzn-
    x-appengine- x-arr- x-azure- x-cdn x-envoy- x-fd- x-forwarded x-haproxy- x-nf- x-original- x-sucuri- x-varnish
    x-vercel-""".split()
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


async def require_trusted_caller(request: Request, _key: Annotated[object, Depends(bearer)] = None) -> None:
    """Raise a 401 for a missing or wrong key, or a 403 for another machine if no key is set."""
    if not is_trusted_caller(request):
        raise (errors.NO_KEY if request.app.state.keys.guards_api else errors.NOT_LOCAL).error()


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

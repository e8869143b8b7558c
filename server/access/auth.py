"""Who may call the routes that return codes."""

from base64 import b64decode
from contextlib import suppress
from functools import lru_cache
from ipaddress import ip_address

import structlog
from fastapi import Request

from pool.keys_file import Right
from pool.settings import Settings
from server.access.keys import Keys
from server.access.visits import name_of
from server.addresses import plain_address

log = structlog.get_logger("gantcha.auth")
_MOST_LOGGED = 256
_warned: list[bytes] = []  # the first foreign origin, which is logged once
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


def is_trusted_caller(request: Request, keys: Keys, settings: Settings, right: Right, *, basic: bool = False) -> bool:
    """Return whether the caller has an API key with this right or, if no key is set, is on this machine.

    With `basic` the key may also be the password of HTTP Basic. A browser sends that again by itself, also when a page
    of somebody else leads to this server, so it is for pages that only show something.
    """
    if not keys.guards_api:
        return comes_from_this_machine(request, settings)
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    key = given.strip() if scheme.lower() == "bearer" else None
    if basic and scheme.lower() == "basic":
        key = _password(given)
    found = keys.api_key(key) if key else None
    if found is None:
        return False
    structlog.contextvars.bind_contextvars(key=found[0])
    return right in found[1]


def _password(given: str) -> str | None:
    with suppress(ValueError):  # neither Base64 nor text: as good as none
        return b64decode(given).decode().partition(":")[2]
    return None


def comes_from_this_machine(request: Request, settings: Settings) -> bool:
    """Return whether a local program asks, and not a proxy or a web page in a local browser.

    A proxy that adds no header looks like a local program: if the settings mention a proxy, no caller is local.
    """
    if settings.trusted_proxies or settings.public_url:
        return False
    client, headers = request.scope["client"], dict(request.scope["headers"])
    if client is None or not _is_loopback(client[0]):
        return False
    if not _FORWARDING_HEADERS.isdisjoint(headers) or any(name.startswith(_FORWARDING_PREFIXES) for name in headers):
        return False
    host = headers.get(b"host", b"").decode("latin-1")
    if not _is_loopback(name_of(f"//{host}")):  # a foreign name that resolves to this machine
        return False
    origin = headers.get(b"origin")
    if origin is not None and origin.partition(b"://")[2] != headers.get(b"host", b""):
        if not _warned:
            _warned.append(origin)
            log.warning(
                "a page of another origin is no program on this machine", origin=origin[:_MOST_LOGGED].decode("latin-1")
            )
        return False
    return headers.get(b"sec-fetch-site", b"none") in (b"none", b"same-origin")


@lru_cache(256)
def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(plain_address(host)).is_loopback
    except ValueError:
        return False

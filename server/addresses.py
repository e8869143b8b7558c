"""The addresses of clients: IPv4 ones in one spelling, wherever they come from, and none that is long."""

from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_interface, ip_network

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

UNIX = "unix"
"""The client of a Unix socket, which has no address."""
_NETWORK_BITS = {4: 24, 6: 48}
_LONGEST = 64  # characters: an IPv6 address with its zone; forwarded ones may be anything


def plain_address(host: str) -> str:
    """Return an address as it is counted and logged: IPv4 ones that are mapped into IPv6 as IPv4, and not too long."""
    return _plain(host[:_LONGEST])


@lru_cache(4096)  # parsing an address takes as long as the rest of the limits
def _plain(host: str) -> str:
    if ":" in host:
        try:
            address = ip_address(host)
        except ValueError:
            return host
        if isinstance(address, IPv6Address) and address.ipv4_mapped:
            return str(address.ipv4_mapped)
    return host


@lru_cache(4096)  # as above
def network_of(client: str) -> str | None:
    """Return the network of an address, as logs may name it; None for what is no address: a proxy may send anything."""
    if client == UNIX:
        return client
    try:
        address = ip_interface(client).ip  # limits count networks of IPv6, which are longer
    except ValueError:
        return None
    return str(ip_network((address, _NETWORK_BITS[address.version]), strict=False))


class Clients:
    """ASGI middleware, the outermost: who asks, by the connection or by what trusted proxies say."""

    def __init__(self, app: ASGIApp, trusted: tuple[str, ...]) -> None:
        """`trusted` are addresses, networks, and `unix`."""

        async def forwarded(scope: Scope, receive: Receive, send: Send) -> None:
            if client := scope.get("client"):
                scope["client"] = plain_address(client[0]), client[1]
            await app(scope, receive, send)

        self._app: ASGIApp = (
            ProxyHeadersMiddleware(forwarded, list(trusted)) if trusted else app  # type: ignore[arg-type,assignment] # uvicorn has its own types of the same
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] == "http":
            client = scope["client"] or (UNIX, 0)
            scope["client"] = plain_address(client[0]) or UNIX, client[1]
        await self._app(scope, receive, send)

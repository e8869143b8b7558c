"""Who asks for a challenge, or answers one, and on which page."""

import re
from contextlib import suppress
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import NamedTuple
from urllib.parse import urlsplit

from fastapi import Request

from pool.keys_file import Site
from server import errors
from server.access import testing_keys
from server.access.keys import Keys
from server.addresses import plain_address

_IPV6_CUSTOMER = 64  # bits: the network of one subscriber, who can use any address in it
# Hosters give networks of so many bits to one customer. Phones share such networks, so they may do as much as many.
_IPV6_WIDER = {56: 16, 48: 64}
_LONGEST_URL = 8 * 1024  # characters: splitting normalises Unicode, and the results are remembered
_HOSTNAME = re.compile(r"[A-Za-z0-9._:-]{1,253}")


class Visit(NamedTuple):
    """Who asks, and where the challenge is shown."""

    client: str
    """address, or for IPv6 the network of the subscriber"""
    hostname: str
    """host of the page, as the browser sent it; empty if it sent none"""
    name: str | None = None
    """name of the site"""
    site: Site | None = None
    """None: a page without a sitekey, or with one for tests"""
    outcome: testing_keys.Outcome | None = None
    """what a sitekey for tests makes of answers"""

    @property
    def place(self) -> str:
        """What doubt counts for: the site, whatever page of it is named, or the host of a page without a sitekey."""
        return f"site {self.name}" if self.name else self.hostname

    def check_hostname(self) -> None:
        """Raise a 400 if the sitekey is not for pages of this host."""
        if self.site and not self.site.allows(self.hostname):
            host = self.hostname or "a host without a name"
            raise errors.NOT_ITS_HOST.error(errors.NOT_ITS_HOST.detail.replace("other.example", host))


def visit_of(request: Request, sitekey: str | None, keys: Keys) -> Visit:
    """Return who asks, and where a challenge with this sitekey is shown.

    Raises:
        HTTPException: 400 if there are sites and none has this sitekey, or it is for tests and this server is not.
    """
    visit = Visit(client_of(request), _hostname(request))
    if sitekey is None:
        return visit
    if outcome := testing_keys.SITEKEYS.get(sitekey):
        if not keys.for_tests:
            raise errors.NOT_TESTING.error()
        return visit._replace(outcome=outcome)
    if found := keys.site(sitekey):
        return visit._replace(name=found[0], site=found[1])
    if keys.names_sites:
        raise errors.NO_SITE.error()
    return visit


def client_of(request: Request) -> str:
    """Return the client's address, or for IPv6 the network of the subscriber."""
    return _client(request.client.host if request.client else "")


@lru_cache(4096)  # parsing an address takes as long as the rest of the limits
def _client(host: str) -> str:
    plain = plain_address(host)
    try:
        address = ip_address(plain)
    except ValueError:
        return plain
    if isinstance(address, IPv6Address):
        return str(ip_network((address, _IPV6_CUSTOMER), strict=False))
    return plain


@lru_cache(4096)
def wider(client: str) -> list[tuple[str, int]]:
    """Return the networks around an IPv6 client, each with the number of clients that all of it counts as."""
    if "/" not in client:
        return []
    network = ip_network(client)
    return [(str(network.supernet(new_prefix=bits)), clients) for bits, clients in _IPV6_WIDER.items()]


def _hostname(request: Request) -> str:
    """Return the host of the page, from the browser's Origin header if there is one."""
    origin, host = request.headers.get("origin"), request.headers.get("host")
    return name_of(origin if origin is not None else f"//{host}" if host else str(request.url))


def name_of(url: str) -> str:
    """Return the host name in a URL; empty if it has none that is valid, or the URL is too long."""
    return _name_of(url) if len(url) <= _LONGEST_URL else ""


@lru_cache(256)
def _name_of(url: str) -> str:
    with suppress(ValueError):
        name = urlsplit(url).hostname  # none in the "null" of a sandboxed page
        if name and _HOSTNAME.fullmatch(name):
            return name.removesuffix(".")  # the same host
    return ""

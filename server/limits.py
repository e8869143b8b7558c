"""How often one client may ask for a challenge, and how often it may answer; counted in this process."""

import time
from ipaddress import IPv6Address, ip_address, ip_network

import structlog
from fastapi import Request
from limits import RateLimitItem, RateLimitItemPerMinute, parse_many
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from pool.settings import Settings
from server import errors, metrics

log = structlog.get_logger("gantcha.limits")
_LOG_LIMIT = RateLimitItemPerMinute(1)  # log at most once a minute per client
_IPV6_CUSTOMER = 64  # bits: the network of one subscriber, who can use any address in it


class Limits:
    """Counts the requests of each client."""

    def __init__(self, settings: Settings) -> None:
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._items = {"issue": parse_many(settings.issue_limit), "answer": parse_many(settings.answer_limit)}

    def spend(self, action: str, client: str) -> None:
        """Count one `issue` or `answer`. Raises a 429 with the seconds to wait when the limit is exceeded."""
        for item in self._items[action]:
            if not self._limiter.hit(item, action, client):
                metrics.LIMITED.labels(action).inc()
                if self._limiter.hit(_LOG_LIMIT, "log", action, client):
                    log.warning("a client is limited", action=action, client=client, limit=str(item))
                raise errors.LIMITED.error(headers={"Retry-After": str(self._wait(item, action, client))})

    def _wait(self, item: RateLimitItem, action: str, client: str) -> int:
        return max(1, round(self._limiter.get_window_stats(item, action, client).reset_time - time.time() + 0.5))


async def limit_issuing(request: Request) -> None:
    """Count a challenge or a sound for this client."""
    request.app.state.limits.spend("issue", client_of(request))


async def limit_answering(request: Request) -> None:
    """Count an answer of this client."""
    request.app.state.limits.spend("answer", client_of(request))


def client_of(request: Request) -> str:
    """Return the client's address, or for IPv6 the network of the subscriber."""
    host = request.client.host if request.client else ""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ip_network((address, _IPV6_CUSTOMER), strict=False))
    return host

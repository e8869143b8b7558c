"""Warnings for the operator: requests show which settings are missing."""

import time

import structlog
from fastapi import Request

from pool.settings import Settings

log = structlog.get_logger("gantcha.advice")
_FORWARDED = frozenset((b"forwarded", b"x-forwarded-for", b"x-real-ip"))
_PAUSE_SECONDS = 60


class Advice:
    """Looks at requests for challenges: every visitor makes one. Lives in one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._origins = settings.cors_origins
        self._may_have_proxy = not settings.trusted_proxies
        self._silent_until = 0.0  # by the monotonic clock

    def look_at(self, request: Request) -> None:
        """Warn once of a proxy, and at most once a minute of pages of other origins that get no captcha."""
        if self._may_have_proxy and not _FORWARDED.isdisjoint(name for name, _ in request.scope["headers"]):
            self._may_have_proxy = False
            log.warning(
                "requests come through a proxy that CAPTCHA_TRUSTED_PROXIES does not name, so all visitors share one "
                "limit: set it to the proxy's address",
                client=request.client and request.client.host,
            )
        # Browsers send it with a GET only where the page is of another origin.
        origin = request.headers.get("origin")
        if origin and "*" not in self._origins and origin not in self._origins:
            now = time.monotonic()
            if now >= self._silent_until:
                self._silent_until = now + _PAUSE_SECONDS
                log.warning("a page of another origin gets no captcha: add it to CAPTCHA_CORS_ORIGINS", origin=origin)

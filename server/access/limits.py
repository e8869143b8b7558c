"""How often one client may ask for a challenge, and how often it may answer; counted over all processes of the pool."""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple, Self

import structlog

from pool.counters import Counters, Window
from pool.settings import Settings
from server import errors, metrics
from server.access.visits import Visit, wider

log = structlog.get_logger("gantcha.limits")
_SHARE = 16  # a client who takes this fraction of a limit (1/16) here is told to the other processes at once
_MOST_FRESH = 10_000
_PASSES = {"quiet": "10/minute;60/hour", "alternative": "10/hour"}
"""How many tokens without a picture an address may ask for; beyond that its visitors see pictures."""
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}


class _Limit(NamedTuple):
    most: int
    window: Window
    text: str

    @classmethod
    def read(cls, action: str, text: str) -> Self:
        """Read one limit such as `60/minute`."""
        most, _, unit = text.partition("/")
        return cls(int(most), Window(action, _SECONDS[unit]), f"{most} per 1 {unit}")


@lru_cache(256)
def _read_limits(action: str, text: str) -> list[_Limit]:
    return [_Limit.read(action, one) for one in text.split(";")]


def _site_limits(action: Literal["issue", "answer"], visit: Visit) -> Sequence[_Limit]:
    """Return the limits of the site alone, which few have."""
    text = visit.site and (visit.site.issue_limit if action == "issue" else visit.site.answer_limit)
    return _read_limits(action, text) if text else ()


def _pass_limits(mode: Literal["quiet", "alternative"], visit: Visit) -> Sequence[_Limit]:
    """Return the site's own limits of tokens without a picture."""
    return _read_limits("passes", visit.site.quiet_limit) if visit.site and mode == "quiet" else ()


def _on_site(visit: Visit) -> str:
    return f"{visit.client} on {visit.name}"


class Limits:
    """Counts the requests of each client."""

    def __init__(self, settings: Settings, counters: Counters, hurry: Callable[[], None] = lambda: None) -> None:
        """`hurry` shares the counters with the other processes soon."""
        self._counters, self._hurry = counters, hurry
        self._fresh: dict[str, int] = {}  # counted here since the last hurry
        texts = {"issue": settings.issue_limit, "answer": settings.answer_limit}
        self._limits = {action: _read_limits(action, text) for action, text in texts.items()}

    def spend(self, action: str, client: str) -> None:
        """Count one `issue` or `answer` of a client. Raises a 429 with the seconds to wait when a limit is exceeded."""
        limits = self._limits[action]
        for network, clients in wider(client):
            self._spend(action, client, network, limits, clients)
        self._spend(action, client, client, limits)

    def spend_on_site(self, action: Literal["issue", "answer"], visit: Visit) -> None:
        """Count an action for the site alone if it has a limit of its own. Raises as `spend` does."""
        if limits := _site_limits(action, visit):
            self._spend(action, visit.client, _on_site(visit), limits)

    def admits_pass(self, mode: Literal["quiet", "alternative"], visit: Visit) -> bool:
        """Return whether this visitor may ask for a token without a picture, and count it for the address if so."""
        of_address = _read_limits(mode, _PASSES[mode])
        if not self._admits(visit.client, of_address) or not self._admits(visit.name or "", _pass_limits(mode, visit)):
            return False
        self._count(visit.client, of_address)
        return True

    def take_pass(self, mode: Literal["quiet", "alternative"], visit: Visit) -> bool:
        """Count a token that is earned without a picture for its site, and return True, unless its budget is used up.

        It counts when it is earned, not when it is asked for: strangers who do no work use up no budget.
        """
        limits, site = _pass_limits(mode, visit), visit.name or ""
        if not self._admits(site, limits):
            return False
        self._count(site, limits)
        return True

    def refund_pass(self, mode: Literal["quiet", "alternative"], visit: Visit) -> None:
        """Take back what `take_pass` may have counted for work that earned nothing."""
        self._count(visit.name or "", _pass_limits(mode, visit), -1)

    def refund(self, action: Literal["issue", "answer"], visit: Visit) -> None:
        """Take back what `spend` and `spend_on_site` counted for an action that came to nothing."""
        for subject in [visit.client, *(network for network, _ in wider(visit.client))]:
            self._count(subject, self._limits[action], -1)
        self._count(_on_site(visit), _site_limits(action, visit), -1)

    def _admits(self, subject: str, limits: Sequence[_Limit]) -> bool:
        return not any(self._counters.wait(subject, limit.window, limit.most) for limit in limits)

    def _count(self, subject: str, limits: Sequence[_Limit], by: int = 1) -> None:
        for limit in limits:
            self._counters.count(subject, limit.window, by)

    def _spend(self, action: str, client: str, subject: str, limits: Sequence[_Limit], clients: int = 1) -> None:
        """Count an action for a subject, which may do as much as so many clients."""
        for limit in limits:
            if wait := self._counters.wait(subject, limit.window, limit.most * clients):
                metrics.LIMITED.labels(action).inc()
                self._log(action, client, limit)
                raise errors.LIMITED.error(headers={"Retry-After": str(max(1, math.ceil(wait)))})
        self._count(subject, limits)
        self._fresh[subject] = self._fresh.get(subject, 0) + 1
        if self._fresh[subject] * _SHARE >= min(limit.most for limit in limits) * clients:
            del self._fresh[subject]
            self._hurry()
        elif len(self._fresh) > _MOST_FRESH:
            self._fresh.clear()

    def _log(self, action: str, client: str, limit: _Limit) -> None:
        logged = Window(f"{action} logged", 60)  # log at most once a minute per client
        if not self._counters.wait(client, logged, 1):
            self._counters.count(client, logged)
            log.warning("a client is limited", action=action, client=client, limit=limit.text)

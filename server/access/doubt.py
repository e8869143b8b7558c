"""Doubt: whether an address, or the visitors of a site, should get a harder challenge than usual."""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from enum import StrEnum

from pool.counters import Counters, Window
from server import metrics

_SECONDS = 300  # an attack shows within seconds; a visitor who failed has forgotten the form after a few minutes
_ANSWERS, _WRONG, _FAST = (Window(name, _SECONDS) for name in ("answers", "wrong", "fast"))
_OF_SITE, _WRONG_OF_SITE = (Window(name, _SECONDS) for name in ("site answers", "site wrong"))

_WRONG_AT_LEAST = 4  # a person, wrong one time in eight, is wrong four times in a row once in 4,000
_WRONG_SHARE = 0.5
_MANY_ANSWERS = 20  # a person needs one or two; an office behind one address seldom this many in five minutes
_TYPING_SECONDS = 1.5  # to load, read and type six characters takes longer
_FAST_AT_LEAST = 3
_ANSWERS_AT_LEAST = min(_WRONG_AT_LEAST, _MANY_ANSWERS, _FAST_AT_LEAST)
_SITE_ANSWERS_AT_LEAST = 30  # people who are wrong one time in five get 60 % of 30 wrong once in millions
_SITE_WRONG_SHARE = 0.6
_MOST_OPEN = 50_000  # challenges that are remembered until they are answered


class Reason(StrEnum):
    """Why there is doubt."""

    WRONG = "wrong"  #: most answers of the address are wrong
    MANY = "many"  #: it sends more answers than people do
    FAST = "fast"  #: it answers sooner than people can type
    SITE = "site"  #: most answers of all visitors of the site are wrong


for _reason in Reason:
    metrics.DOUBTED.labels(_reason)  # begins at 0, as the other counters do


def doubt_address(answers: float, wrong: float, fast: float) -> Reason | None:
    """Judge an address by its answers in the window: all, the wrong ones, and those that came too soon."""
    if wrong >= _WRONG_AT_LEAST and wrong > answers * _WRONG_SHARE:
        return Reason.WRONG
    if fast >= _FAST_AT_LEAST:
        return Reason.FAST
    return Reason.MANY if answers > _MANY_ANSWERS else None


def doubt_site(answers: float, wrong: float) -> Reason | None:
    """Judge a site by the answers of its visitors in the window."""
    is_doubted = answers >= _SITE_ANSWERS_AT_LEAST and wrong > answers * _SITE_WRONG_SHARE
    return Reason.SITE if is_doubted else None


class Doubt:
    """Notes answers in counters that all processes share, and judges by them; safe to share between threads."""

    def __init__(self, counters: Counters, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` tells how long an answer took."""
        self._counters, self._clock = counters, clock
        self._lock = threading.Lock()
        # When handed out here, to which address, and for which site.
        self._open: OrderedDict[str, tuple[float, str, str]] = OrderedDict()

    def reason(self, address: str, site: str) -> Reason | None:
        """Return why a visitor at this address and on this site is in doubt; None if not."""
        return self._of_address(address) or self._of_site(site)

    def asked_from(self, file_id: str) -> str | None:
        """Return the address that asked for an open challenge; None if this process did not hand it out."""
        with self._lock:
            return self._open[file_id][1] if file_id in self._open else None

    def note_challenge(self, file_id: str, address: str, site: str) -> None:
        """Remember when a challenge is handed out, to which address, and for which site."""
        with self._lock:
            self._open[file_id] = (self._clock(), address, site)
            if len(self._open) > _MOST_OPEN:
                self._open.popitem(last=False)

    def note_answer(self, file_id: str, address: str, site: str, *, is_right: bool) -> None:
        """Count an answer to a challenge that was open.

        It counts for the address that answers and, if this process knows it, for the one that asked: or who asks from
        an address that never answers would never be in doubt.

        A site counts the answers of addresses that are not in doubt themselves, so no single address can bring a site
        into doubt; and only of challenges that this process handed out for the same site, so who asks in the name of
        another site, to get easy ones, does not make it harder for the visitors of this one.
        """
        with self._lock:
            handed_out_at, asked_from, asked_by = self._open.pop(file_id, (-math.inf, address, None))
        doubted = self._of_address(address)
        is_fast = self._clock() - handed_out_at < _TYPING_SECONDS
        for one in {address, asked_from}:
            before = self._of_address(one)
            self._counters.count(one, _ANSWERS)
            if not is_right:
                self._counters.count(one, _WRONG)
            if is_fast:
                self._counters.count(one, _FAST)
            _count_new(before, self._of_address(one))
        if site and asked_by == site and not doubted:
            site_doubted = self._of_site(site)
            self._counters.count(site, _OF_SITE)
            if not is_right:
                self._counters.count(site, _WRONG_OF_SITE)
            _count_new(site_doubted, self._of_site(site))

    def _of_address(self, address: str) -> Reason | None:
        answers = self._counters.recent(address, _ANSWERS)
        if answers < _ANSWERS_AT_LEAST:  # most addresses: their other counts need not be read
            return None
        return doubt_address(answers, *(self._counters.recent(address, window) for window in (_WRONG, _FAST)))

    def _of_site(self, site: str) -> Reason | None:
        answers = self._counters.recent(site, _OF_SITE)
        if answers < _SITE_ANSWERS_AT_LEAST:
            return None
        return doubt_site(answers, self._counters.recent(site, _WRONG_OF_SITE))


def _count_new(before: Reason | None, after: Reason | None) -> None:
    if after and not before:
        metrics.DOUBTED.labels(after).inc()

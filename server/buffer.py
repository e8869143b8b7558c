"""Captchas popped ahead of the requests for them, so that a request costs no round trip to the database."""

import asyncio
import logging
import math
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from pool.errors import DatabaseError
from pool.models import Stock
from pool.pool import Issued, Pool, UnconfirmedPopError

log = logging.getLogger(__name__)
LARGEST = 2048
_SMALLEST = 2
_HORIZON = 0.5  # seconds of demand that the buffer should cover
_WINDOWS = (0.1, 1.0)  # seconds over which hand-outs are counted: the short one shows a sudden load within milliseconds
_AHEAD = 8  # pop so many for each request that waits: a sudden load has no hand-outs yet that could be counted
_MOST_AHEAD = 512
_SHARE = 8  # hold at most this fraction (1/8) of the ready captchas: other workers and hosts need the rest
_LEVEL_SECONDS = 0.25  # seconds between two counts of the level
_HOLD = timedelta(seconds=30)  # the longest that a captcha is held, unless the database can't be reached
_IDLE_SECONDS = 2  # keep no more than were handed out within these seconds, apart from a minimum
_UPKEEP = timedelta(seconds=1)
_RETRY_SECONDS = 1


def _is_expected(error: BaseException) -> bool:
    return isinstance(error, DatabaseError)  # its one line is enough; for other errors the traceback is logged


class Buffer:
    """Captchas of one stock that this process has popped and nobody has seen yet; lives in one event loop.

    The buffer is topped up in the background to half a second of the current demand, and to at most an eighth of the
    ready captchas: when few are left, each request pops its own. Captchas that nobody asks for go back to the pool
    within seconds, or once the database is back. A killed server loses what it holds.
    """

    def __init__(self, pool: Pool, stock: Stock, on_pop: Callable[[Stock, int], None], *, redeemable: bool) -> None:
        """`on_pop` is called with the stock and the number of captchas that each pop took from it.

        Where they are `redeemable`, its other sources help out while the stock is empty.
        """
        self.stock = stock
        self._pool, self._on_pop, self._redeemable = pool, on_pop, redeemable
        self._held: deque[Issued] = deque()  # the oldest first
        # To be given back; never handed out again, since giving back may have taken effect.
        self._returning: list[Issued] = []
        self._handed_out: deque[float] = deque(maxlen=math.ceil(LARGEST / _HORIZON))  # when, by the monotonic clock
        self._hold = min(_HOLD, pool.ttl / 4)
        self._shortest_life = pool.ttl / 2
        self._size = self._waiting = self._level = 0
        self._recount_at = self._retry_at = 0.0
        self._popping: asyncio.Future[list[Issued] | None] | None = None
        self._closing = asyncio.Event()
        self._upkeep: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """Return how many captchas are held."""
        return len(self._held)

    def open(self) -> None:
        """Start the upkeep of the buffer."""
        self._upkeep = asyncio.create_task(self._keep_up())

    async def close(self) -> None:
        """Give back what was not handed out; call it when no request is running."""
        self._closing.set()
        if self._upkeep:
            await self._upkeep
        if self._popping:
            await asyncio.wait([self._popping])  # an error is logged already
        self._returning += self._held
        self._held.clear()
        try:
            await self._give_back()
        except DatabaseError as error:
            log.error("%d captchas were not given back and will expire: %s", len(self._returning), error)

    async def take(self) -> Issued | None:
        """Hand one out; None when the stock is empty.

        It lives for the time to live and up to half a minute longer; while the database can't be reached, for at least
        half of the time to live. `expires_at` is the same as in the database.

        Raises:
            DatabaseError: none is held and the database does not answer.
        """
        while (issued := self.take_held()) is None:
            self._waiting += 1
            try:
                popped = await asyncio.shield(self._pop_under_way())  # shielded, since others wait for the same pop
            finally:
                self._waiting -= 1
            if popped == []:
                return None
        return issued

    async def take_spare(self, reserve: int) -> Issued | None:
        """Hand one out as `take` does, but only while more than `reserve` are ready; None otherwise.

        Raises:
            DatabaseError: the database does not answer.
        """
        level = await asyncio.to_thread(self._count_level)
        return await self.take() if level > reserve else None

    async def has_any(self) -> bool:
        """Return whether it holds some, or some are ready. Raises DatabaseError as `take` does."""
        return bool(self._held) or await asyncio.to_thread(self._count_level) > 0

    def take_held(self) -> Issued | None:
        """Hand one out as `take` does, but without waiting; None when none is held."""
        self._set_aside(self._shortest_life)
        if not self._held:
            return None
        issued = self._held.popleft()
        now = time.monotonic()
        self._handed_out.append(now)
        if len(self._held) <= self._size * 3 // 4 and now >= self._retry_at:
            self._pop_under_way()
        return issued

    def _pop_under_way(self) -> asyncio.Future[list[Issued] | None]:
        if self._popping is None or self._popping.done():
            self._popping = asyncio.get_running_loop().run_in_executor(None, self._pop)
            self._popping.add_done_callback(self._note_pop)
        return self._popping

    def _pop(self) -> list[Issued] | None:
        """Pop what is missing and add it to the buffer; None if nothing is missing.

        This runs in a thread, which adds to the buffer itself: a busy event loop would only see the result a tenth of
        a second later. Only the event loop removes from the deque, and a deque may be extended at the same time.
        """
        ahead = min(_AHEAD * (self._waiting - 1), _MOST_AHEAD)
        self._size = min(max(self._demand(), ahead), self._count_level() // _SHARE)
        lacking = self._waiting + self._size - len(self._held)
        if lacking <= 0:
            return None
        try:
            popped = self._pool.pop(lacking, stock=self.stock, redeemable=self._redeemable, hold=self._hold)
        except UnconfirmedPopError as error:
            self._returning += error.issued
            raise
        self._level -= len(popped)
        self._held.extend(popped)
        return popped

    def _demand(self) -> int:
        """Estimate the demand within the horizon from the latest hand-outs."""
        rate = max((self._handed_out_within(seconds) - 1) / seconds for seconds in _WINDOWS)
        return min(max(_SMALLEST, math.ceil(rate * _HORIZON)), LARGEST)

    def _handed_out_within(self, seconds: float) -> int:
        return len(self._handed_out) - bisect_left(self._handed_out, time.monotonic() - seconds)

    def _count_level(self) -> int:
        """Count the ready captchas of the first source that has any, up to what the buffer needs.

        Raises:
            DatabaseError: as the pool does.
        """
        now = time.monotonic()
        if now >= self._recount_at:
            sources = self.stock.sources if self._redeemable else (self.stock,)
            levels = (self._pool.level(source, at_most=_SHARE * LARGEST) for source in sources)
            self._level = next(filter(None, levels), 0)
            self._recount_at = now + _LEVEL_SECONDS
        return self._level

    def _note_pop(self, popping: asyncio.Future[list[Issued] | None]) -> None:
        if popping.cancelled():
            return
        if error := popping.exception():
            self._retry_at = time.monotonic() + _RETRY_SECONDS
            log.error("no captcha can be popped: %s", error, exc_info=None if _is_expected(error) else error)
        elif (popped := popping.result()) is not None:
            self._on_pop(self.stock, sum(one.stock == self.stock for one in popped))

    async def _keep_up(self) -> None:
        """Give back what nobody asks for; retry after any error until it succeeds."""
        logged = ""
        while not self._closing.is_set():
            try:
                await self._tidy()
                logged = ""
            except Exception as error:
                if logged != (logged := str(error)):  # logged once, not every second of an outage
                    log.error("unused captchas can't be given back yet: %s", error, exc_info=not _is_expected(error))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), min(_UPKEEP, self._hold / 4).total_seconds())

    async def _tidy(self) -> None:
        if self._held:
            # Fails first while the database can't be reached, so what is held may still be handed out then.
            share = await asyncio.to_thread(self._count_level) // _SHARE
            most = max(self._handed_out_within(_IDLE_SECONDS), min(share, _SMALLEST))
            self._set_aside(self._pool.ttl + self._hold / 2, self._waiting + most)
        await self._give_back()

    def _set_aside(self, life: timedelta, most: int = LARGEST) -> None:
        """Move captchas with less than `life` left, and those beyond `most`, to the ones to be given back."""
        expiring = datetime.now(UTC) + life
        while self._held and (self._held[0].expires_at < expiring or len(self._held) > most):
            self._returning.append(self._held.popleft())

    async def _give_back(self) -> None:
        if returning := self._returning.copy():
            await asyncio.to_thread(self._pool.give_back, returning)
            del self._returning[: len(returning)]

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
from pool.pool import Issued, Pool, UnconfirmedPopError

log = logging.getLogger(__name__)
LARGEST = 2048
_SMALLEST = 2
_HORIZON = 0.5  # seconds for which what is held should last
_WINDOWS = (0.1, 1.0)  # seconds over which hand-outs are counted: a sudden load shows in the short one within some ms
_SHARE = 8  # at most one in so many ready captchas is held beforehand: other workers and hosts need theirs
_LEVEL_SECONDS = 0.25  # for so long the level is not counted again
_HOLD = timedelta(seconds=30)  # longer is nothing held, unless the database is out of reach
_IDLE_SECONDS = 2  # more than were handed out within these is not kept, but for the smallest stock
_UPKEEP = timedelta(seconds=1)
_RETRY_SECONDS = 1


def _is_foreseen(error: BaseException) -> bool:
    return isinstance(error, DatabaseError)  # one line says it all; of others a traceback is logged


class Buffer:
    """Captchas that this process has popped and nobody has seen yet; lives in one event loop.

    It is topped up in the background to what half a second of the present demand takes, unless that is more than an
    eighth of the ready ones: where few are left each request pops its own. What nobody asks for goes back within
    seconds, or once the database is back. A killed server wastes what it holds.
    """

    def __init__(self, pool: Pool, on_pop: Callable[[int], None], *, redeemable: bool) -> None:
        """`on_pop` is told how many captchas each pop brought."""
        self._pool, self._on_pop, self._redeemable = pool, on_pop, redeemable
        self._held: deque[Issued] = deque()  # the oldest first
        self._returning: list[Issued] = []  # to be given back; never handed out, for that may have taken effect
        self._handed_out: deque[float] = deque(maxlen=math.ceil(LARGEST / _HORIZON))  # when, by the monotonic clock
        self._hold = min(_HOLD, pool.ttl / 4)
        self._shortest_life = pool.ttl / 2
        self._size = self._waiting = self._level = 0
        self._recount_at = self._retry_at = 0.0
        self._popping: asyncio.Future[int | None] | None = None
        self._closing = asyncio.Event()
        self._upkeep: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """Count what is held."""
        return len(self._held)

    def open(self) -> None:
        """Look after what is held from now on."""
        self._upkeep = asyncio.create_task(self._keep_up())

    async def close(self) -> None:
        """Give back what was not handed out; to be called when no request is under way."""
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
        """Hand one out; None when the pool is empty.

        It lives for the time to live and up to half a minute longer, or at least half of it while the database is out
        of reach: `expires_at` says until when, and is what the database has.

        Raises:
            DatabaseError: none is held and the database does not answer.
        """
        while (issued := self.take_held()) is None:
            self._waiting += 1
            try:
                popped = await asyncio.shield(self._pop_under_way())  # shielded, for others wait for the same pop
            finally:
                self._waiting -= 1
            if popped == 0:
                return None
        return issued

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

    def _pop_under_way(self) -> asyncio.Future[int | None]:
        if self._popping is None or self._popping.done():
            self._popping = asyncio.get_running_loop().run_in_executor(None, self._pop)
            self._popping.add_done_callback(self._look_at_pop)
        return self._popping

    def _pop(self) -> int | None:
        """Pop what lacks, and add it to what is held; None if nothing lacks.

        This happens in a thread: a busy event loop would only look at a result a tenth of a second later. Only the
        loop takes away; a deque may be extended meanwhile.
        """
        self._size = min(self._demand(), self._count_level() // _SHARE)
        lacking = self._waiting + self._size - len(self._held)
        if lacking <= 0:
            return None
        try:
            popped = self._pool.pop(lacking, redeemable=self._redeemable, hold=self._hold)
        except UnconfirmedPopError as error:
            self._returning += error.issued
            raise
        self._level -= len(popped)
        self._held.extend(popped)
        return len(popped)

    def _demand(self) -> int:
        """Say how many captchas will be asked for within the horizon, going by those handed out of late."""
        rate = max((self._handed_out_within(seconds) - 1) / seconds for seconds in _WINDOWS)
        return min(max(_SMALLEST, math.ceil(rate * _HORIZON)), LARGEST)

    def _handed_out_within(self, seconds: float) -> int:
        return len(self._handed_out) - bisect_left(self._handed_out, time.monotonic() - seconds)

    def _count_level(self) -> int:
        """Count the ready captchas, as far as that matters here. Raises DatabaseError as the pool does."""
        now = time.monotonic()
        if now >= self._recount_at:
            self._level = self._pool.level(at_most=_SHARE * LARGEST)
            self._recount_at = now + _LEVEL_SECONDS
        return self._level

    def _look_at_pop(self, popping: asyncio.Future[int | None]) -> None:
        if popping.cancelled():
            return
        if error := popping.exception():
            self._retry_at = time.monotonic() + _RETRY_SECONDS
            log.error("no captcha can be popped: %s", error, exc_info=None if _is_foreseen(error) else error)
        elif (popped := popping.result()) is not None:
            self._on_pop(popped)

    async def _keep_up(self) -> None:
        """Give back what nobody asks for, again and again until that succeeds, whatever goes wrong."""
        said = ""
        while not self._closing.is_set():
            try:
                await self._tidy()
                said = ""
            except Exception as error:
                if said != (said := str(error)):  # told once, not each second of an outage
                    log.error("unused captchas can't be given back yet: %s", error, exc_info=not _is_foreseen(error))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), min(_UPKEEP, self._hold / 4).total_seconds())

    async def _tidy(self) -> None:
        if self._held:
            # Not even tried while the database is out of reach: what is held may still be handed out then.
            share = await asyncio.to_thread(self._count_level) // _SHARE
            most = max(self._handed_out_within(_IDLE_SECONDS), min(share, _SMALLEST))
            self._set_aside(self._pool.ttl + self._hold / 2, self._waiting + most)
        await self._give_back()

    def _set_aside(self, life: timedelta, most: int = LARGEST) -> None:
        """Take out what has less than this life left, and what is more than `most`, to be given back."""
        expiring = datetime.now(UTC) + life
        while self._held and (self._held[0].expires_at < expiring or len(self._held) > most):
            self._returning.append(self._held.popleft())

    async def _give_back(self) -> None:
        if returning := self._returning.copy():
            await asyncio.to_thread(self._pool.give_back, returning)
            del self._returning[: len(returning)]

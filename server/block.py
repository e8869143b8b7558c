"""A block of popped captchas in memory, so that a request costs no round trip to the database."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from pool.errors import DatabaseError
from pool.pool import Issued, Pool

log = logging.getLogger(__name__)
LARGEST = 2048
_SMALLEST = 4
_HOLD = timedelta(seconds=30)  # what nobody asked for by then goes back to the pool
_LOOK_SECONDS = 5
_FAST, _SLOW = timedelta(seconds=0.5), timedelta(seconds=5)
_RETRY = timedelta(seconds=1)


class Block:
    """Captchas that this process has popped and nobody has seen yet; lives in one event loop.

    It is topped up in the background when a quarter of it is used. It doubles while it is used up fast and halves while
    it is not, so that a busy server seldom asks the database, and one that nobody asks soon holds nothing. A killed
    server wastes what it holds: one block at the most.
    """

    def __init__(self, pool: Pool, on_pop: Callable[[int], None], *, redeemable: bool) -> None:
        """`on_pop` is told how many captchas each pop brought."""
        self._pool, self._on_pop, self._redeemable = pool, on_pop, redeemable
        self._held: deque[tuple[Issued, datetime]] = deque()  # each with the time when it goes back
        self._stale: list[str] = []
        self._size = _SMALLEST
        self._hold = min(_HOLD, pool.ttl / 4)
        self._popping: asyncio.Future[int] | None = None
        self._popped_at = self._retry_at = datetime.now(UTC)
        self._idle_at = self._popped_at
        self._freshening: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """Count what is held."""
        return len(self._held)

    def open(self) -> None:
        """Exchange what gets stale from now on."""
        self._freshening = asyncio.create_task(self._keep_fresh())

    async def close(self) -> None:
        """Return what was not handed out; to be called when no request is under way."""
        if self._freshening:
            self._freshening.cancel()
        with suppress(DatabaseError):  # logged already
            if self._popping:
                await self._popping
        self._stale += [issued.id for issued, _ in self._held]
        self._held.clear()
        await self._give_back()

    async def take(self) -> Issued | None:
        """Hand one out, its time to live counting from now; None when the pool is empty.

        Raises:
            DatabaseError: none is held and the database does not answer.
        """
        while (issued := self.take_held()) is None:
            # Shielded, for others wait for the same pop.
            if not await asyncio.shield(self._pop_under_way()):
                return None
        return issued

    def take_held(self) -> Issued | None:
        """Hand one out as `take` does, but without waiting; None when none is held."""
        now = datetime.now(UTC)
        self._idle_at = now + self._hold
        self._set_stale_aside(now)
        if not self._held:
            return None
        (file_id, code, _), _ = self._held.popleft()
        if len(self._held) <= self._size * 3 // 4 and now >= self._retry_at:
            self._pop_under_way()
        return Issued(file_id, code, now + self._pool.ttl)

    def _pop_under_way(self) -> asyncio.Future[int]:
        if self._popping is None or self._popping.done():
            lacking = max(1, self._size - len(self._held))
            self._popping = asyncio.get_running_loop().run_in_executor(None, self._pop, lacking)
            self._popping.add_done_callback(self._look_at_pop)
        return self._popping

    def _pop(self, lacking: int) -> int:
        """Add to what is held, from a thread: a busy event loop would only look at a result a tenth of a second later.

        Only the loop takes away; a deque may be extended meanwhile.
        """
        stale_at = datetime.now(UTC) + self._hold
        popped = self._pool.pop(lacking, redeemable=self._redeemable, hold=self._hold)
        self._held.extend((issued, stale_at) for issued in popped)
        return len(popped)

    def _look_at_pop(self, popping: asyncio.Future[int]) -> None:
        if popping.cancelled():
            return
        now = datetime.now(UTC)
        if error := popping.exception():
            self._retry_at = now + _RETRY
            log.error("%s", error)
            return
        if popping.result():
            since, self._popped_at = now - self._popped_at, now
            if since < _FAST:
                self._size = min(2 * self._size, LARGEST)
            elif since > _SLOW:
                self._size = max(self._size // 2, _SMALLEST)
        self._on_pop(popping.result())

    async def _keep_fresh(self) -> None:
        while True:
            self._set_stale_aside(datetime.now(UTC))
            if not self._held and datetime.now(UTC) < self._idle_at:
                with suppress(DatabaseError):  # logged already
                    await asyncio.shield(self._pop_under_way())  # which a stop must not cut short
            await self._give_back()
            await asyncio.sleep(_LOOK_SECONDS)

    def _set_stale_aside(self, now: datetime) -> None:
        while self._held and self._held[0][1] <= now:
            self._stale.append(self._held.popleft()[0].id)

    async def _give_back(self) -> None:
        stale, self._stale = self._stale, []
        if stale:
            try:
                await asyncio.to_thread(self._pool.give_back, stale)
            except DatabaseError as error:
                log.error("%d captchas were not given back and will expire: %s", len(stale), error)

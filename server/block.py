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
_FAST, _SLOW = timedelta(seconds=1), timedelta(seconds=10)
_RETRY = timedelta(seconds=1)


class Block:
    """Captchas that this process has popped and nobody has seen yet; lives in one event loop.

    It is topped up in the background when half of it is left. It doubles while it is used up fast and halves while it
    is not, so that a busy server seldom asks the database, and one that nobody asks soon holds nothing. A killed server
    wastes what it holds: one block at the most.
    """

    def __init__(self, pool: Pool, on_pop: Callable[[int], None], *, redeemable: bool) -> None:
        """`on_pop` is told how many captchas each pop brought."""
        self._pool, self._on_pop, self._redeemable = pool, on_pop, redeemable
        self._held: deque[tuple[Issued, datetime]] = deque()  # each with the time when it goes back
        self._stale: list[str] = []
        self._size = _SMALLEST
        self._hold = min(_HOLD, pool.ttl / 4)
        self._pop_task: asyncio.Task[int] | None = None
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
            if self._pop_task:
                await self._pop_task
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
            if not await asyncio.shield(self._pop_task_under_way()):
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
        if len(self._held) <= self._size // 2 and now >= self._retry_at:
            self._pop_task_under_way()
        return Issued(file_id, code, now + self._pool.ttl)

    def _pop_task_under_way(self) -> asyncio.Task[int]:
        if self._pop_task is None or self._pop_task.done():
            self._pop_task = asyncio.create_task(self._pop())
            self._pop_task.add_done_callback(self._look_at_pop)
        return self._pop_task

    async def _pop(self) -> int:
        now = datetime.now(UTC)
        lacking = max(1, self._size - len(self._held))
        popped = await asyncio.to_thread(self._pool.pop, lacking, redeemable=self._redeemable, hold=self._hold)
        self._held.extend((issued, now + self._hold) for issued in popped)
        if popped:
            since, self._popped_at = now - self._popped_at, now
            if since < _FAST:
                self._size = min(2 * self._size, LARGEST)
            elif since > _SLOW:
                self._size = max(self._size // 2, _SMALLEST)
        self._on_pop(len(popped))
        return len(popped)

    def _look_at_pop(self, task: asyncio.Task[int]) -> None:
        if not task.cancelled() and (error := task.exception()):
            self._retry_at = datetime.now(UTC) + _RETRY
            log.error("%s", error)

    async def _keep_fresh(self) -> None:
        while True:
            self._set_stale_aside(datetime.now(UTC))
            if not self._held and datetime.now(UTC) < self._idle_at:
                with suppress(DatabaseError):  # logged already
                    await asyncio.shield(self._pop_task_under_way())  # which a stop must not cut short
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

"""Whether captchas can be handed out: one check for all who ask, at most once a second."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import inf
from types import MappingProxyType

import structlog

from gantcha.errors import StorageError
from pool.errors import DatabaseError
from pool.filling import fills, lease
from pool.models import Stock
from pool.pool import Pool
from server.access.keys import Keys
from server.buffer import Buffer
from server.refill import Refill
from server.schemas import Readiness, StockLevel

log = structlog.get_logger("gantcha.readiness")
_EVERY_SECONDS = 1  # a check writes a row and a file, so callers must not cause many
_HANGING_SECONDS = 2  # a folder may hang for ever
_HANGS = f"database and files were not checked within {_HANGING_SECONDS} s: find out which hangs"


class ReadinessChecks:
    """Checks in a thread of its own, so that nobody waits long for a database or a folder that hangs."""

    def __init__(self, pool: Pool, refill: Refill, buffers: Sequence[Buffer], keys: Keys) -> None:
        self._pool, self._refill, self._buffers, self._keys = pool, refill, buffers, keys
        self._thread = ThreadPoolExecutor(1, "readiness")
        self._check: asyncio.Future[None] | None = None
        self._result: Readiness
        self._begun_at = self._ended_at = -inf

    async def latest(self) -> Readiness:
        """Return the latest result, or wait for the next one if it is old; while a check hangs, nothing is ready."""
        now = time.monotonic()
        if self._check is None or (self._check.done() and now >= self._ended_at + _EVERY_SECONDS):
            self._check = asyncio.get_running_loop().run_in_executor(self._thread, self._run)
            self._begun_at = now
        if now >= self._ended_at + _HANGING_SECONDS:
            done, _ = await asyncio.wait([self._check], timeout=max(0, self._begun_at + _HANGING_SECONDS - now))
            if not done:
                return self._describe([_HANGS])
        return self._result

    def _run(self) -> None:
        try:
            self._result = self._describe(*self._look())
        except Exception:
            log.exception("the check failed")
            self._result = self._describe(["the check failed: see the traceback in the log"])
        self._ended_at = time.monotonic()

    def _look(self) -> tuple[list[str], list[str], dict[Stock, int]]:
        """Return problems, warnings and levels."""
        problems, warnings, levels = [], [], {}
        stocks = self._refill.stocks
        try:
            self._pool.check()
            levels = {stock: self._pool.level(stock) for stock in stocks.all}
            next_from = {
                stock: next((one for one in stock.sources if levels.get(one) or self._pool.level(one, 1)), None)
                for stock in stocks.all
            }
            held = {buffer.stock for buffer in self._buffers if len(buffer)}
            empty = [stock for stock, source in next_from.items() if not source and stock not in held]
            problems += [f"the pool has no {stock} captchas" for stock in empty if stock in stocks.usual]
            in_doubt = [stock for stock in empty if stock not in stocks.usual]
            warnings += [f"the pool has no {stock} captchas for visitors in doubt" for stock in in_doubt]
            leases = lease.current(self._pool.engine)
            warnings += lease.explanations(leases) if empty else []
            warnings += lease.warnings(leases)
            marks = self._refill.watermarks
            low = {stock: level for stock, level in levels.items() if level < marks[stock].low_water}
            is_filling = any(held.name == lease.FILLING for held in leases)
            warnings += fills.warnings(fills.last_outcome(self._pool.engine), low, is_filling=is_filling)
            self._pool.check_files()
            for source in dict.fromkeys(next_from[stock] for stock in stocks.usual):
                if source:
                    self._pool.check_picture(source)
        except (DatabaseError, StorageError) as error:
            problems.append(str(error))
        try:
            self._pool.files.probe()
        except StorageError as error:
            problems += [reason] if (reason := str(error)) not in problems else []
        for problem in problems:
            log.error("not ready", reason=problem)
        return problems, warnings, levels

    def _describe(
        self, problems: list[str], warnings: Sequence[str] = (), levels: Mapping[Stock, int] = MappingProxyType({})
    ) -> Readiness:
        return Readiness(
            ready=not problems,
            problems=problems,
            warnings=[*warnings],
            stocks=[
                StockLevel(**stock._asdict(), level=levels.get(stock), **marks._asdict())
                for stock, marks in self._refill.watermarks.items()
            ],
            refill_error=self._refill.error,
            keys_error=self._keys.error,
        )

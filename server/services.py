"""What the routes share: the pool, what stands before it, and who may ask how often."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Self

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from gantcha.drawing.look import Difficulty
from pool.answers import Attempt, Verdict
from pool.counters import Counters
from pool.database import REQUEST_TIMEOUT
from pool.errors import UnknownCaptchaError
from pool.hourly import HourlySums
from pool.models import Stock
from pool.passes import Pass
from pool.pool import Pool
from pool.settings import Settings
from pool.tokens import Inquiry, Redemption, Solved
from pool.work_keys import work_keys
from server import errors, espeak, metrics
from server.access.advice import Advice
from server.access.doubt import Doubt
from server.access.keys import Keys
from server.access.limits import Limits
from server.access.sharing import Sharing
from server.access.work import Work
from server.buffer import Buffer
from server.group_commit import GroupCommit
from server.metrics import PoolCollector
from server.readiness import ReadinessChecks
from server.refill import Refill
from server.shown import ShownPictures
from server.sounds import SoundKey, Sounds


@dataclass(frozen=True)
class Services:
    """What the routes share; `services_of` finds it."""

    settings: Settings
    pool: Pool
    refill: Refill
    buffers: Mapping[Stock, Buffer]
    """for callers that get the code; none where nobody may"""
    challenge_buffers: Mapping[Difficulty, Buffer]
    writer: GroupCommit[Attempt | Pass | Redemption | Inquiry, Verdict | Solved | bool]
    shown: ShownPictures
    sharing: Sharing
    keys: Keys
    limits: Limits
    advice: Advice
    doubt: Doubt | None
    """None where nobody gets a harder captcha, or more work"""
    work: Work
    readiness: ReadinessChecks
    pool_metrics: PoolCollector
    public_url: str | None
    speaks: bool
    sounds: Sounds

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Open the pool and prepare the rest, which `running` starts.

        Raises:
            StorageError: a folder of the pool can't be made or written.
            SettingsError: the file of keys can't be read.
        """
        pool = Pool.open(settings, REQUEST_TIMEOUT)
        refill, counters, keys = Refill(settings, pool), Counters(), Keys(settings)
        own = settings.challenge_stock
        generated = {settings.stock, own} if settings.generate else set()
        buffers = {stock: Buffer(pool, stock, refill.count_pop, redeemable=False) for stock in generated}
        challenge_buffers = {
            stock.difficulty: Buffer(pool, stock, refill.count_pop, redeemable=True)
            for stock in refill.stocks.all
            if (stock.kind, stock.pixel_ratio) == (own.kind, own.pixel_ratio)
        }
        sharing = Sharing(counters, HourlySums(metrics.counts), pool)
        limits = Limits(settings, counters, sharing.hurry)
        return cls(
            settings=settings,
            pool=pool,
            refill=refill,
            buffers=buffers,
            challenge_buffers=challenge_buffers,
            writer=GroupCommit("writer", pool.settle),
            shown=ShownPictures(pool),
            sharing=sharing,
            keys=keys,
            limits=limits,
            advice=Advice(settings),
            doubt=Doubt(counters) if settings.doubt else None,
            work=Work(settings, keys, partial(work_keys, pool.engine)),
            readiness=ReadinessChecks(pool, refill, [*buffers.values(), *challenge_buffers.values()], keys),
            pool_metrics=PoolCollector(pool, refill.watermarks),
            public_url=str(settings.public_url).rstrip("/") if settings.public_url else None,
            speaks=settings.audio and espeak.can_say(settings.alphabet),
            sounds=Sounds(limits, partial(_speak, pool, settings.alphabet)),
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run what works in the background; at the end, return unused captchas and close the pool."""
        buffers = [*self.buffers.values(), *self.challenge_buffers.values()]
        self.refill.start()
        self.sharing.start()
        for buffer in buffers:
            buffer.open()
        self.writer.open()
        self.shown.look_ups.open()
        yield
        try:
            await asyncio.gather(
                self.writer.close(), self.shown.look_ups.close(), *(buffer.close() for buffer in buffers)
            )
        finally:
            self.sounds.close()
            self.work.close()
            await run_in_threadpool(self.sharing.stop)
            await run_in_threadpool(self.refill.stop)
            self.pool.engine.dispose()


def _speak(pool: Pool, alphabet: str, key: SoundKey) -> bytes:
    """Speak the code of a captcha. Raises a 404 or 410 if there is nothing to be said, and what `speech.say` raises."""
    try:
        code, until, redeemable = pool.look_up(key.file_id)
    except UnknownCaptchaError as error:
        raise errors.UNKNOWN.error() from error
    if until and until <= datetime.now(UTC):
        raise errors.EXPIRED.error()
    if code is None:
        raise errors.UNKNOWN.error("There is no sound for this picture.")
    if redeemable and not pool.note_spoken(*key):
        raise errors.EXPIRED.error("This captcha was spoken in another language; ask for a new one.")
    from server import speech  # noqa: PLC0415 - NumPy, which a server that nobody listens to does without

    return speech.say(code, alphabet, key.language, speech.rng_for(*key, pool.secret()))


def services_of(request: Request) -> Services:
    """Return what the routes share."""
    services: Services = request.app.state.services
    return services

"""Answers to challenges and redemptions of tokens, one by one, and by a process as several servers do at once."""

import os
import random
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from gantcha.errors import GantchaError
from pool import database
from pool.answers import Attempt, Verdict
from pool.errors import DatabaseError
from pool.passes import Pass
from pool.pool import Pool
from pool.storage.files import FileStore
from pool.tokens import Purpose, Redemption, Solved
from pool.work_keys import work_keys

_BATCH = 40


def check(pool: Pool, file_id: str, answer: str, hostname: str = "") -> Verdict:
    """Answer a challenge as the server does."""
    (verdict,) = pool.settle([Attempt.of(file_id, answer, Purpose(hostname))], database.BATCH_TIMEOUT)
    assert isinstance(verdict, Verdict)
    return verdict


def earn(pool: Pool, file_id: str) -> str | None:
    """Redeem work as the server does; return its token, or None if it was spent before."""
    key, until = work_keys(pool.engine)[0], int(time.time()) + 120
    (verdict,) = pool.settle([Pass(file_id, key.id, until, Purpose(), "quiet")], database.BATCH_TIMEOUT)
    assert isinstance(verdict, Verdict)
    return verdict.token


def redeem(pool: Pool, token: str, idempotency_key: str | None = None) -> Solved:
    """Redeem a token as the server does; raise its error."""
    (solved,) = pool.settle([Redemption.of(token, idempotency_key)], database.BATCH_TIMEOUT)
    if isinstance(solved, Solved):
        return solved
    assert isinstance(solved, GantchaError)
    raise solved


def settle_on(database_url: str, folder: Path, ids: list[str], code: str, passes: list[Pass], log: Path) -> None:
    """Answer and redeem what others do as well, until killed; note in `log` what succeeded, once it is committed."""
    pool = Pool(database.connect(database_url, database.REQUEST_TIMEOUT), FileStore(folder), timedelta(minutes=10))
    note = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    rng = random.SystemRandom()
    while True:
        lines = [line.split() for file in log.parent.glob("settled-*") for line in file.read_text().splitlines()]
        tokens = [line[2] for line in lines if line[0] == "solved"]
        answered = rng.sample(ids, _BATCH)
        passed = rng.sample(passes, _BATCH)
        redeemed = rng.sample(tokens, min(len(tokens), _BATCH))
        asked = [*(Attempt.of(one, code) for one in answered), *passed, *map(Redemption.of, redeemed)]
        with suppress(DatabaseError):
            results = pool.settle(asked, database.REQUEST_TIMEOUT)
            done = [
                f"solved {what} {result.token}\n" if isinstance(result, Verdict) else f"redeemed {what}\n"
                for what, result in zip([*answered, *(one.id for one in passed), *redeemed], results, strict=True)
                if isinstance(result, Solved) or (isinstance(result, Verdict) and result.token)
            ]
            os.write(note, "".join(done).encode())

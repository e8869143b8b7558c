"""A process that answers challenges and redeems tokens, as several servers do at once."""

import os
import random
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from pool import database
from pool.answers import Attempt, Verdict
from pool.errors import DatabaseError
from pool.pool import Pool
from pool.storage.files import FileStore
from pool.tokens import Redemption, Solved

_BATCH = 40


def settle_on(database_url: str, folder: Path, ids: list[str], code: str, log: Path) -> None:
    """Answer and redeem what others do as well, until killed; note in `log` what succeeded, once it is committed."""
    pool = Pool(database.connect(database_url, database.REQUEST_TIMEOUT), FileStore(folder), timedelta(minutes=10))
    note = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    rng = random.SystemRandom()
    while True:
        lines = [line.split() for file in log.parent.glob("settled-*") for line in file.read_text().splitlines()]
        tokens = [line[2] for line in lines if line[0] == "solved"]
        answered = rng.sample(ids, _BATCH)
        redeemed = rng.sample(tokens, min(len(tokens), _BATCH))
        asked = [*(Attempt.of(one, code) for one in answered), *map(Redemption.of, redeemed)]
        with suppress(DatabaseError):
            results = pool.settle(asked, database.REQUEST_TIMEOUT)
            done = [
                f"solved {what} {result.token}\n" if isinstance(result, Verdict) else f"redeemed {what}\n"
                for what, result in zip([*answered, *redeemed], results, strict=True)
                if isinstance(result, Solved) or (isinstance(result, Verdict) and result.token)
            ]
            os.write(note, "".join(done).encode())

"""A process that pops all it gets, as several servers do at once."""

import multiprocessing.synchronize
from datetime import timedelta
from pathlib import Path

from pool import database
from pool.models import Stock
from pool.pool import Pool
from pool.storage.files import FileStore


def pop_all(url: str, folder: Path, start: multiprocessing.synchronize.Barrier, out: Path) -> None:
    """Pop challenges of both densities until there are none, from the same moment as the others; write the codes."""
    pool = Pool(database.connect(url), FileStore(folder), timedelta(1))
    start.wait(timeout=120)
    with open(out, "w") as file:
        while popped := pool.pop(7, stock=Stock("plain", "standard", 2), redeemable=True):
            file.writelines(f"{issued.code}\n" for issued in popped)
    pool.engine.dispose()

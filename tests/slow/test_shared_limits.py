"""Limits under a burst that many workers meet at once."""

import http.client
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from urllib.parse import urlsplit

from pool.pool import Pool
from tests.conftest import PLAIN, Server, drawn


def test_a_burst_gets_little_more_than_the_limit(
    pool: Pool, settings: dict[str, object], serve: Callable[..., Server]
) -> None:
    limit, workers, asked = 60, 4, 400
    pool.add(drawn(asked), PLAIN)
    server = serve(settings | {"ISSUE_LIMIT": f"{limit}/day"}, workers=workers)

    def status(_: int) -> int:
        connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
        connection.request("GET", "/challenge")
        with closing(connection):
            return connection.getresponse().status

    with ThreadPoolExecutor(16) as threads:
        statuses = list(threads.map(status, range(asked)))
    admitted = statuses.count(200)
    assert limit <= admitted < 170  # four separate counts admit 240

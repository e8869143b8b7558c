"""Captchas whose pictures are elsewhere, gone, or not ours to read: that is told, and the captchas are removed."""

import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from gantcha.errors import StorageError
from pool import database
from pool.models import captcha
from pool.pool import Pool
from pool.storage.files import FileStore
from pool.storage.objects import ObjectStore
from pool.sweep import Sweep, Swept
from tests.conftest import PLAIN, Server, drawn, row_ids, run, wait_until
from tests.process.test_challenges import counted
from tests.process.test_readiness import problem
from tests.process.test_several_machines import bucket, shared  # noqa: F401 - fixtures
from tests.support.settling import check


def test_an_empty_place_is_not_taken_for_that_of_a_full_pool(
    pool: Pool, settings: dict[str, object], serve: Callable[..., Server], tmp_path: Path
) -> None:
    pool.add(drawn(20), PLAIN)
    elsewhere = settings | {"FILES_DIR": tmp_path / "elsewhere"}
    server = serve(elsewhere)
    assert "elsewhere is empty, and the database has captchas ready whose pictures are elsewhere" in problem(server)
    assert any("is empty" in line.get("reason", "") for line in server.logged())
    refused = run("pool.sweep", **elsewhere)
    assert (refused.returncode, pool.level(PLAIN)) == (1, 20)
    assert "python -m pool.sweep --discard" in refused.stderr
    filled = run("batch.fill", "--count", 1, **elsewhere)
    assert filled.returncode == 1
    assert not (tmp_path / "elsewhere" / ".pool").exists()
    discarded = run("pool.sweep", "--discard", **elsewhere)
    assert discarded.stdout == "20 captchas and all tokens discarded; fill the pool again\n"
    assert run("batch.fill", "--count", 1, **elsewhere).returncode == 0
    wait_until(lambda: server.get("/readyz").ok, "the server to find the place its own")


def test_an_empty_bucket_is_not_taken_either(shared: Pool) -> None:  # noqa: F811 - the fixture
    shared.add(drawn(3), PLAIN)
    shared.files.remove([*row_ids(shared)])
    with pytest.raises(StorageError, match=r"the picture [0-9a-f]{32} is not in s3://captchas/production"):
        shared.check_picture(PLAIN)
    moved = Pool(shared.engine, ObjectStore("s3://captchas/elsewhere"), shared.ttl)
    with pytest.raises(StorageError, match="s3://captchas/elsewhere is empty"):
        moved.check_files()
    assert Sweep(shared, timedelta(0), lost_age=timedelta(0)).all() == Swept(0, 0, 0, lost=3)


def test_pictures_that_are_lost_are_told_counted_and_swept(
    pool: Pool, settings: dict[str, object], serve: Callable[..., Server]
) -> None:
    ids = pool.add(drawn(40), PLAIN)
    server = serve(settings)
    assert server.get("/readyz").ok
    shown = server.get("/generate").json()["id"]
    for file_id in ids[:30]:
        pool.files.path(file_id).unlink(missing_ok=True)
    lost = server.get(f"/{shown}")
    assert lost.status_code == 503
    assert counted(server, "gantcha_missing_pictures_total") == 1
    wait_until(lambda: not server.get("/readyz").ok, "the next look")
    assert "was a disk or a bucket emptied" in problem(server)
    assert any(f"the picture {shown} is not in" in line["event"] for line in server.logged())
    left = set(ids[30:])
    sweep = Sweep(pool, timedelta(0))
    assert sweep.all() == Swept(0, 0, 0, lost=0)  # a listing may be older than they are
    with database.transaction(pool.engine) as connection:
        connection.execute(update(captcha).values(created_at=datetime.now(UTC) - timedelta(minutes=3)))
    swept = sweep.all()
    assert swept
    assert swept.lost > 0
    # A sweep may be refused while the server's own runs.
    wait_until(
        lambda: sweep.all() is not None and server.get("/readyz").ok and pool.level(PLAIN) <= len(left), "the recovery"
    )
    assert left <= row_ids(pool)


def test_a_folder_that_was_copied_without_its_owner_is_claimed(pool: Pool) -> None:
    ids = pool.add(drawn(3), PLAIN)
    (pool.files.folder / ".pool").unlink()
    copied = Pool(pool.engine, FileStore(pool.files.folder), pool.ttl)
    assert len(copied.add(drawn(1), PLAIN)) == 1
    assert Sweep(copied, timedelta(0), lost_age=timedelta(0)).all() == Swept(0, 0, 0)
    assert set(ids) < row_ids(pool)


def test_an_unmounted_disk_loses_no_rows(pool: Pool) -> None:
    pool.add(drawn(5), PLAIN)
    shutil.move(pool.files.folder, pool.files.folder.with_name("moved"))
    for files in (pool.files, FileStore(pool.files.folder)):
        pool.files.folder.mkdir(exist_ok=True)
        with pytest.raises(StorageError):
            Sweep(Pool(pool.engine, files, pool.ttl), timedelta(0), lost_age=timedelta(0)).all()
    assert pool.level(PLAIN) == 5


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_pictures_of_another_user_are_told(pool: Pool, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    (tmp_path / "pool.db").chmod(0o666)
    usual = os.umask(0o077)
    try:
        pool.add(drawn(1), PLAIN)
        os.seteuid(65534)
        with pytest.raises(StorageError, match=r"Permission denied: fill and serve as the same user, or .* umask 022"):
            pool.check_picture(PLAIN)
    finally:
        os.seteuid(0)
        os.umask(usual)


def test_what_is_ready_or_open_is_discarded_with_its_tokens(pool: Pool, settings: dict[str, object]) -> None:
    pool.add(drawn(4), PLAIN)
    solved, opened = pool.pop(2, redeemable=True, stock=PLAIN)
    assert check(pool, solved.id, solved.code).token
    finished = run("pool.sweep", "--discard", **settings)
    assert finished.stdout == "3 captchas and all tokens discarded; fill the pool again\n"
    assert row_ids(pool) == {solved.id}
    assert [path.stem for path in pool.files.folder.rglob("*.png")] == [solved.id]
    assert check(pool, opened.id, opened.code).state is None

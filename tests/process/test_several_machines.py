"""Servers and fills that share nothing but a PostgreSQL and a bucket of an S3-compatible server."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import requests

from gantcha.errors import StorageError
from pool import database
from pool.pool import Drawn, Pool
from pool.storage.files import PREFIXES, new_id
from pool.storage.objects import ObjectStore
from pool.sweep import Sweep
from tests.conftest import PLAIN, Server, a_png, drawn, free_port, only_line, refusal, run


@pytest.fixture
def bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """URL of an empty bucket; the AWS_ variables lead to its server."""
    for name, value in {"ENDPOINT_URL": s3_server, "ACCESS_KEY_ID": "us", "SECRET_ACCESS_KEY": "no secret"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    return "s3://captchas/production"


@pytest.fixture
def shared(database_url: str, bucket: str) -> Iterator[Pool]:
    engine = database.connect(database_url)
    yield Pool(engine, ObjectStore(bucket), timedelta(minutes=10))
    engine.dispose()


@pytest.fixture
def machine(database_url: str, bucket: str, tmp_path: Path) -> Callable[[str], dict[str, object]]:
    """Settings of a machine of its own."""
    return lambda name: {
        "DATABASE_URL": database_url,
        "FILES_URL": bucket,
        "FILES_DIR": tmp_path / name / "unused",
        "TARGET": 0,
        "LOW_WATER": 0,
    }


def test_a_redirect_leads_to_the_picture(
    machine: Callable[[str], dict[str, object]], shared: Pool, serve: Callable[..., Server]
) -> None:
    shared.add([Drawn("abc234", a_png())], PLAIN)
    server = serve(machine("one") | {"FILES_REDIRECT": "true"})
    url = server.get("/generate").json()["fileURL"]
    redirected = requests.get(url, timeout=30, allow_redirects=False)
    assert redirected.status_code == 307
    assert redirected.headers["Cache-Control"] == "no-store"
    picture = requests.get(url, timeout=30)
    assert picture.content == a_png()
    assert picture.headers["Content-Type"] == "image/png"
    assert "img-src *" in server.get("/demo").headers["Content-Security-Policy"]  # pictures come from the bucket
    assert server.get(f"/{new_id()}").status_code == 404


def test_what_expired_is_removed_and_what_is_new_is_not(shared: Pool) -> None:
    """An object without a row may be one whose row is about to be committed."""
    shared.ttl = timedelta(seconds=-1)
    (expired,) = shared.add([Drawn(None, a_png())], PLAIN)
    (orphan,) = shared.files.write_all([(new_id(), a_png())])
    sweep = Sweep(shared, timedelta(0))
    assert sweep.all().purged == 1
    assert [name for prefix in PREFIXES for name in shared.files.names(prefix)] == [f"{orphan}.png"]
    with pytest.raises(FileNotFoundError):
        shared.files.read(expired)


def test_another_database_may_not_have_the_bucket(shared: Pool, tmp_path: Path) -> None:
    shared.add(drawn(1), PLAIN)
    url = f"sqlite:///{tmp_path}/other.db"
    assert run("alembic", "upgrade", "head", DATABASE_URL=url).returncode == 0
    line = only_line(run("batch.fill", "--count", 1, DATABASE_URL=url, FILES_URL=shared.files.url))
    assert "s3://captchas/production holds the files of another database: set CAPTCHA_FILES_URL" in line


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_bucket_out_of_reach_is_told(
    machine: Callable[[str], dict[str, object]],
    shared: Pool,
    serve: Callable[..., Server],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shared.add(drawn(3), PLAIN)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    server = serve(machine("one"))
    assert server.get(server.get("/generate").json()["fileURL"].removeprefix(server.url)).status_code == 503
    readiness = server.get("/readyz")
    assert readiness.status_code == 503
    assert server.get("/healthz").ok
    assert any("s3://captchas/production does not work" in line.get("reason", "") for line in server.logged())
    with pytest.raises(StorageError, match="does not work"):
        next(iter(ObjectStore(shared.files.url).write_all([(new_id(), a_png())])))


def test_a_place_for_files_that_is_none_is_refused(tmp_path: Path) -> None:
    for url in ("ftp://host/files", "s3://", "captchas"):
        assert "CAPTCHA_FILES_URL: must look like" in refusal("batch.fill", "--count", 1, FILES_URL=url)
    assert "CAPTCHA_FILES_REDIRECT needs" in refusal("batch.fill", "--count", 1, FILES_REDIRECT="true")
    url = f"sqlite:///{tmp_path}/pool.db"
    assert run("alembic", "upgrade", "head", DATABASE_URL=url).returncode == 0
    folder = tmp_path / "with a blank"
    assert run("batch.fill", "--count", 1, DATABASE_URL=url, FILES_URL=folder.as_uri()).returncode == 0
    assert len(list(folder.rglob("*.png"))) == 1

"""docs/recovery.md, block by block, as an operator types them in: on a PostgreSQL, or a standby, that really failed."""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from pool import database
from pool.pool import Pool
from pool.settings import Settings
from tests.conftest import NO_LIMITS, PLAIN, ROOT, Site, drawn, only_line, run, running_site, wait_until
from tests.support.cluster import PROGRAMS, Cluster, running_cluster
from tests.support.documents import Reader, under
from tests.support.programs import needs

PAGE = "docs/recovery.md"
BLOCKS = (
    "Two roles",
    "From one role to two",
    "Backup of SQLite",
    "Restore of SQLite",
    "Backup of PostgreSQL",
    "Restore of PostgreSQL",
    "Failover",
    "Lost pictures",
    "A lost database",
    "A full disk",
    "An upgrade without a stop",
)
OWNER, SMALL = "gantcha_owner", "gantcha"


def test_every_block_of_the_page_is_typed_in() -> None:
    sections = re.split(r"^## ", (ROOT / PAGE).read_text(), flags=re.MULTILINE)[1:]
    assert tuple(one.partition("\n")[0] for one in sections if "```" in one) == BLOCKS
    assert all(one.count("```") in (0, 2) for one in sections)
    typed = Path(__file__).read_text().partition("def test_every_block")[2]
    assert all(f'"{heading}"' in typed for heading in BLOCKS)


class Operator(Reader):
    """Who reads the page when something has failed."""

    def do(self, heading: str) -> None:
        self.type(under(PAGE, heading))

    def settings(self) -> dict[str, object]:
        """Settings of a server in the clone."""
        return {"DATABASE_URL": self.variables["CAPTCHA_DATABASE_URL"], "FILES_DIR": self.folder / "var/files"} | {
            "TARGET": 0,
            "LOW_WATER": 0,
            "DOUBT": "false",
            "PIXEL_RATIO": 1,
        }

    @contextmanager
    def pool(self) -> Iterator[Pool]:
        settings = self.settings()
        pool = Pool.open(Settings(database_url=str(settings["DATABASE_URL"]), files_dir=settings["FILES_DIR"]))
        yield pool
        pool.engine.dispose()


_Hire = Callable[..., Operator]


@pytest.fixture
def operator(tmp_path: Path) -> _Hire:
    """Make the operator of a database; on PostgreSQL, one of this cluster."""

    def make(cluster: Cluster | None = None, **names: str) -> Operator:
        variables = {"CAPTCHA_DATABASE_URL": f"sqlite:///{tmp_path}/gantcha/var/pool.db", "CAPTCHA_PIXEL_RATIO": "1"}
        variables |= {"CAPTCHA_DOUBT": "false", "CAPTCHA_GENERATE": "true"}
        if cluster:
            names |= {"@db1/": "@/"}
            variables |= {"PGHOST": str(cluster.folder), "PGUSER": "postgres"}
        made = Operator(tmp_path, names, variables)
        made.variables["PATH"] = f"{PROGRAMS}:{made.variables['PATH']}"
        return made

    return make


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with running_cluster() as running:
        yield running


def _visit(site: Site) -> str:
    """Solve a challenge, and redeem its token."""
    token = site.token()
    assert site.siteverify(token)["success"]
    return token


def test_a_role_that_may_only_read_and_write_rows_is_enough(operator: _Hire, cluster: Cluster) -> None:
    """Servers with all that they keep, fills, sweeps, and migrations that have nothing to do."""
    reader = operator(cluster)
    reader.do("Two roles")
    url = cluster.url("gantcha", SMALL)
    settings = reader.settings() | {"DATABASE_URL": url, "WORK": "light", "DOUBT": "true", "KEEP_SECONDS": 0}
    engine = create_engine(url)
    with engine.connect() as connection, pytest.raises(Exception, match="permission denied for schema public"):
        connection.execute(text("CREATE TABLE ours (id integer)"))
    engine.dispose()
    with running_site(NO_LIMITS | settings | {"WORK": "off"}, workers=2) as site:
        _visit(site)
        assert site.server.get("/generate").ok
        png = (next(site.pool.files.folder.rglob("*.png"))).read_bytes()
        assert site.server.post("/load", files={"file": ("one.png", png, "image/png")}, data={"code": "abc234"}).ok
        wait_until(lambda: site.server.get("/readyz").ok, "the check that writes")
        wait_until(lambda: _count(cluster, "counter") > 0, "the counters")
    with running_site(settings) as site:
        assert site.server.get("/challenge").json()["work"]
        assert _count(cluster, "work_key") > 0
    for words in (["pool.status"], ["pool.sweep"], ["batch.fill", "--count", 5], ["pool.sweep", "--discard"]):
        finished = run(*words, **settings)
        assert finished.returncode == 0, finished.stderr
    reader.variables["CAPTCHA_DATABASE_URL"] = url
    reader.do("An upgrade without a stop")
    reader.type("alembic upgrade head")


def _count(cluster: Cluster, table: str) -> int:
    engine = create_engine(cluster.url("gantcha"))
    with engine.connect() as connection:
        rows = int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())  # noqa: S608 - ours
    engine.dispose()
    return rows


def test_a_migration_by_the_wrong_role_says_who_must_do_it(operator: _Hire, cluster: Cluster) -> None:
    reader = operator(cluster)
    reader.do("Two roles")
    urls = {user: cluster.url("gantcha", user) for user in (OWNER, SMALL, "postgres")}
    down = (
        "from alembic import command; from alembic.config import Config; command.downgrade(Config('alembic.ini'), %r)"
    )
    for revision, said in (("0007", "would belong to postgres and not to gantcha_owner"), ("0008", None)):
        reader.variables["CAPTCHA_DATABASE_URL"] = urls[OWNER]
        reader.run_python(down % revision)
        refused = only_line(run("gantcha", "migrate", DATABASE_URL=urls[SMALL]))
        assert "lets its user change no tables" in refused
        assert "run `python -m gantcha migrate` once as the role that owns them" in refused
        if said:
            assert said in only_line(run("gantcha", "migrate", DATABASE_URL=urls["postgres"]))
        reader.do("An upgrade without a stop")
        assert run("batch.fill", "--count", 3, **reader.settings() | {"DATABASE_URL": urls[SMALL]}).returncode == 0


def test_a_database_of_one_role_is_given_two_while_it_serves(operator: _Hire, cluster: Cluster) -> None:
    reader = operator(cluster)
    reader.type(
        """psql postgres --command "CREATE ROLE gantcha LOGIN PASSWORD 'password'"
        createdb --owner gantcha gantcha"""
    )
    settings = reader.settings() | {"DATABASE_URL": cluster.url("gantcha", SMALL)}
    assert run("gantcha", "migrate", **settings).returncode == 0
    assert run("batch.fill", "--count", 30, **settings).returncode == 0
    with running_site(settings) as site:
        _visit(site)
        reader.do("From one role to two")
        _visit(site)
        assert run("batch.fill", "--count", 30, **settings).returncode == 0
    assert "lets its user change no tables" in run("alembic", "downgrade", "-1", **settings).stderr


@pytest.mark.parametrize(
    ("backup", "restore"),
    [
        pytest.param("Backup of SQLite", "Restore of SQLite", marks=needs("sqlite3")),
        ("Backup of PostgreSQL", "Restore of PostgreSQL"),
    ],
)
def test_a_restored_backup_repeats_nothing(
    backup: str, restore: str, operator: _Hire, request: pytest.FixtureRequest
) -> None:
    """What was handed out after the backup is not handed out again; what it lacks becomes an orphan."""
    if backup == "Backup of SQLite":
        reader = operator()
        reader.type("python -m gantcha migrate\npython -m batch.fill --target 40")
    else:
        cluster = request.getfixturevalue("cluster")
        reader = operator(cluster)
        reader.do("Two roles")
        reader.variables["CAPTCHA_DATABASE_URL"] = cluster.url("gantcha", SMALL)
    with running_site(reader.settings()) as site:
        reader.do(backup)
        token = site.token()
        shown = {site.challenge()[0] for _ in range(10)}
    with reader.pool() as pool:
        pool.add(drawn(3), PLAIN)
    reader.do(restore)
    with running_site(reader.settings()) as site:
        assert site.siteverify(token)["error-codes"] == ["invalid-input-response"]
        assert not {site.challenge()[0] for _ in range(10)} & shown
        _visit(site)


def test_a_standby_takes_over_and_repeats_nothing(operator: _Hire, cluster: Cluster) -> None:
    """It lacks what the primary committed last; the server goes on by itself."""
    with running_cluster(cluster) as standby:
        reader = operator(cluster, **{"--host db2": f"--host {standby.folder}"})
        reader.do("Two roles")
        hosts = "&".join(f"host={one.folder}:5432" for one in (cluster, standby))
        url = f"postgresql+psycopg://{SMALL}@/gantcha?{hosts}&target_session_attrs=read-write"
        reader.variables["CAPTCHA_DATABASE_URL"] = url
        with running_site(reader.settings()) as site:
            _visit(site)
            wait_until(lambda: _replayed(standby) == _replayed(cluster), "the standby to follow")
            standby.run("psql", "--command", "ALTER SYSTEM SET primary_conninfo = ''", "--command", _RELOAD, "postgres")
            wait_until(lambda: not _replicates(cluster), "the standby to lose its primary")
            token, shown = site.token(), {site.challenge()[0] for _ in range(10)}
            cluster.stop("immediate")
            reader.do("Failover")
            wait_until(lambda: site.server.get("/readyz").ok, "the server to find the standby")
            assert site.siteverify(token)["error-codes"] == ["invalid-input-response"]
            with reader.pool() as pool:
                assert not shown & _ids(pool)
                # Of those that it held in memory the rows are gone.
                wait_until(lambda: site.server.get("/challenge").json()["id"] in _ids(pool), "captchas of the standby")


_RELOAD = "SELECT pg_reload_conf()"


def _ask(cluster: Cluster, question: str) -> Any:
    engine = create_engine(cluster.url("postgres"))
    with engine.connect() as connection:
        answer = connection.execute(text(question)).scalar_one()
    engine.dispose()
    return answer


def _replayed(cluster: Cluster) -> Any:
    """Where a server is in the log that both have."""
    return _ask(
        cluster,
        "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text",
    )


def _replicates(cluster: Cluster) -> bool:
    return bool(_ask(cluster, "SELECT count(*) FROM pg_stat_replication"))


def _ids(pool: Pool) -> set[str]:
    with database.transaction(pool.engine) as connection:
        return set(connection.scalars(text("SELECT id FROM captcha")))


def _start(reader: Operator) -> None:
    reader.type("python -m gantcha migrate\npython -m batch.fill --target 40")


def test_pictures_that_are_lost_are_drawn_again(operator: _Hire) -> None:
    reader = operator()
    _start(reader)
    shutil.rmtree(reader.folder / "var/files")
    with running_site(reader.settings()) as site:
        assert "captchas ready whose pictures are elsewhere" in str(site.server.get("/readyz").json())
        reader.do("Lost pictures")
        wait_until(lambda: site.server.get("/readyz").ok, "the server to recover")
        _visit(site)


def test_a_lost_database_is_begun_anew(operator: _Hire) -> None:
    reader = operator()
    _start(reader)
    (reader.folder / "var/pool.db").unlink()
    reader.type("python -m gantcha migrate")
    assert "holds the files of another database" in only_line(run("batch.fill", "--count", 1, **reader.settings()))
    reader.do("A lost database")
    with running_site(reader.settings()) as site:
        _visit(site)


def test_what_is_over_makes_room_at_once(operator: _Hire) -> None:
    reader = operator()
    _start(reader)
    with reader.pool() as pool:
        popped = pool.pop(10, stock=PLAIN)
        with database.transaction(pool.engine) as connection:
            connection.execute(text("UPDATE captcha SET expires_at = '2026-01-01' WHERE state = 'issued'"))
        reader.do("A full disk")
        assert "10 expired captchas" in reader.printed
        assert not {one.id for one in popped} & _ids(pool)

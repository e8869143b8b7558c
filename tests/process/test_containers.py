"""A root that can't be written, any user, temporary files that somebody tidies up, and stores that are not quite S3."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import psutil
import pytest
import requests

from gantcha.errors import StorageError
from pool.storage.files import new_id
from pool.storage.objects import ObjectStore
from server.metrics import MULTIPROCESS_DIR
from tests.conftest import ROOT, Server, answers, environment, free_port, refusal, wait_until
from tests.process.test_several_machines import bucket  # noqa: F401 - a fixture
from tests.support.images import Image
from tests.support.programs import needs

_READ_ONLY = """
mount --bind {data} /mnt && mount --bind {root} /srv && mount -o remount,bind,ro /srv || exit 77
for place in /tmp /var/tmp {also}; do mount -t tmpfs -o ro none $place || exit 77; done
cd /srv && exec {python} -m server --port {port} --workers 2
"""


def _start(settings: dict[str, object], tmp_path: Path, port: int, also: str) -> subprocess.Popen[str]:
    """Start a server whose root is read-only but for its data."""
    script = _READ_ONLY.format(
        data=tmp_path, root=ROOT, also=also, python=Path(sys.prefix).resolve() / "bin/python", port=port
    )
    inside = {"DATABASE_URL": "sqlite:////mnt/one.db", "FILES_DIR": "/mnt/files"}
    command = ["unshare", "--mount", "sh", "-c", script]
    return subprocess.Popen(command, env=environment(settings | inside), stderr=subprocess.PIPE, text=True)


@needs("unshare")
@needs("mount")
def test_workers_on_a_read_only_root(sqlite_settings: dict[str, object], tmp_path: Path) -> None:
    hidden = {Path("/tmp"), Path("/var/tmp")}  # noqa: S108
    if any(hidden & {*place.parents} for place in (ROOT, Path(sys.prefix).resolve())):
        pytest.skip("this clone or its environment lies in /tmp or /var/tmp, over which an empty folder is mounted")
    port = free_port()
    with _start(sqlite_settings, tmp_path, port, also="") as server:
        wait_until(lambda: server.poll() is not None or answers(f"http://127.0.0.1:{port}/healthz"), "the server")
        if server.poll() == 77 or (server.poll() and "unshare failed" in (server.stderr or sys.stdin).read()):
            pytest.skip("only root can make a file system read-only")
        assert requests.get(f"http://127.0.0.1:{port}/metrics", timeout=30).ok
        server.send_signal(signal.SIGINT)
    with _start(sqlite_settings, tmp_path, port, also="/dev/shm") as server:  # noqa: S108
        _, printed = server.communicate(timeout=60)
    assert printed == (
        "error: several workers need a temporary folder: mount one on /tmp, set TMPDIR, or use --workers 1\n"
    )


# It may read all, since the Python of these tests may lie in somebody's home; what it may write is the question.
_ANYBODY = """
mount --bind {volume} /mnt && mount --bind {app} /srv && mount -o remount,bind,ro /srv && mount -t tmpfs none /tmp \\
    && mount -o remount,bind,ro / || exit 77
cd /srv && exec setpriv --reuid 12345 --regid 0 --clear-groups --no-new-privs --bounding-set -all,+dac_read_search \\
    --inh-caps -all,+dac_read_search --ambient-caps -all,+dac_read_search "$@"
"""


@needs("unshare")
@needs("mount")
@needs("setpriv")
def test_the_images_run_as_anybody_on_a_read_only_root(tmp_path: Path) -> None:
    """As orchestrators choose a user: of the group 0, with a volume of this group, and without rights."""
    hidden = {Path("/tmp"), Path("/var/tmp")}  # noqa: S108
    if any(hidden & {*place.parents} for place in (ROOT, Path(sys.prefix).resolve())):
        pytest.skip("this clone or its environment lies in /tmp or /var/tmp, over which an empty folder is mounted")
    volume, port = tmp_path / "volume", str(free_port())
    volume.mkdir(mode=0o770)
    volume.chmod(0o770)
    (tmp_path / "of_server").mkdir()
    (tmp_path / "of_refill").mkdir()
    server, refill = Image("server", tmp_path / "of_server"), Image("refill", tmp_path / "of_refill")
    places = {"CAPTCHA_DATABASE_URL": "sqlite:////mnt/pool.db", "CAPTCHA_FILES_DIR": "/mnt/files"}
    for image in (server, refill):
        image.variables |= places | {"CAPTCHA_GENERATE": "false", "CAPTCHA_DOUBT": "false", "HOME": "/"}
    refill.variables |= {"CAPTCHA_TARGET": "30", "CAPTCHA_LOW_WATER": "20"}

    def anybody(image: Image) -> list[str]:
        return ["unshare", "--mount", "sh", "-c", _ANYBODY.format(volume=volume, app=image.folder), "sh"]

    outside = ["python", "-c", "open('/var/tmp/outside', 'w')"]
    with server.start(outside, anybody(server), stderr=subprocess.PIPE) as writing:
        _, printed = writing.communicate(timeout=60)
    if writing.returncode == 77 or "unshare failed" in printed:
        pytest.skip("only root can make a file system read-only")
    assert "Read-only file system" in printed

    assert server.run(["alembic", "upgrade", "head"], anybody(server)) == 0
    url, quietly = f"http://127.0.0.1:{port}", {"stderr": subprocess.DEVNULL}
    with (
        refill.start(refill.command, anybody(refill), **quietly) as filling,
        server.start([*server.command, "--port", port], anybody(server), **quietly) as serving,
    ):
        try:
            wait_until(lambda: filling.poll() or serving.poll() or answers(f"{url}/readyz"), "the pool")
            challenge = requests.get(f"{url}/challenge", timeout=30).json()
            assert requests.get(challenge["fileURL"], timeout=30).ok
        finally:
            filling.send_signal(signal.SIGTERM)
            serving.send_signal(signal.SIGTERM)
    assert filling.returncode == 0


@needs("unshare")
@needs("mount")
def test_a_fill_without_shared_memory_says_what_to_mount(sqlite_settings: dict[str, object]) -> None:
    words = f"mount -t tmpfs -o ro none /dev/shm || exit 77; exec {sys.executable} -m batch.fill --count 1"
    finished = subprocess.run(
        ["unshare", "--mount", "sh", "-c", words], env=environment(sqlite_settings), capture_output=True, text=True
    )
    if finished.returncode == 77 or "unshare failed" in finished.stderr:
        pytest.skip("only root can make a file system read-only")
    assert finished.returncode == 1
    assert finished.stderr.endswith(
        "error: no process can start to draw (Read-only file system): mount a temporary folder on /dev/shm\n"
    )


@pytest.mark.parametrize("removed", ["files", "folder"])
def test_metrics_survive_those_who_tidy_up(
    sqlite_settings: dict[str, object], serve: Callable[..., Server], removed: str
) -> None:
    server = serve(sqlite_settings, workers=2)
    workers = [
        one for one in psutil.Process(server.process.pid).children() if "--multiprocessing-fork" in one.cmdline()
    ]
    folder = Path(workers[0].environ()[MULTIPROCESS_DIR])
    assert server.get("/metrics").ok
    shutil.rmtree(folder)
    if removed == "files":
        folder.mkdir()
    assert "gantcha_issued" in server.get("/metrics").text
    for worker in workers:
        worker.kill()
    wait_until(lambda: answers(server.url + "/healthz"), "another worker")
    assert "gantcha_issued" in server.get("/metrics").text
    assert "Traceback" not in server.printed()


@contextmanager
def _lacking_store(upstream: str, *, tells: bool) -> Iterator[str]:
    """An S3-compatible store without conditional writes: it refuses them, or writes all the same."""

    class Handler(BaseHTTPRequestHandler):
        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("If-None-Match") and tells:
                self.send_response(501)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            kept = {name: value for name, value in self.headers.items() if name.lower() != "if-none-match"}
            answer = requests.request(self.command, upstream + self.path, data=body, headers=kept, timeout=30)
            self.send_response(answer.status_code)
            for name in ("ETag", "Last-Modified", "Content-Type"):
                if name in answer.headers:
                    self.send_header(name, answer.headers[name])
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_PUT = _pass_on  # noqa: N815 - names of the base class

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("tells", [True, False])
def test_a_store_without_conditional_writes(
    bucket: str,  # noqa: F811 - the fixture
    monkeypatch: pytest.MonkeyPatch,
    tells: bool,
) -> None:
    with _lacking_store(os.environ["AWS_ENDPOINT_URL"], tells=tells) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        ours = new_id()
        ObjectStore(bucket).belong_to(ours, claim=True)
        ObjectStore(bucket).belong_to(ours, claim=False)
        with pytest.raises(StorageError, match="holds the files of another database"):
            ObjectStore(bucket).belong_to(new_id(), claim=True)
        ObjectStore(bucket).belong_to(ours, claim=True)


def test_variables_of_a_bucket_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "minio:9000")
    told = refusal("pool.sweep", FILES_URL="s3://captchas")
    assert told == "error: AWS_ENDPOINT_URL must begin with http:// or https://"
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(StorageError, match="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        ObjectStore("s3://captchas").probe()

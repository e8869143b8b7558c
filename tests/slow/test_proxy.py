"""examples/nginx before two servers that are restarted in turn, under load; nginx, TLS and the servers are real."""

import functools
import signal
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPSConnection
from pathlib import Path

import pytest

from pool.pool import Drawn, Pool
from tests.conftest import PLAIN, ROOT, a_png, free_port, running_server, wait_until
from tests.support.nginx import write_settings
from tests.support.programs import needs
from tests.support.visitors import Visitors

KEY = "an-api-key-of-sixteen-or-more"
CODE = "abc234"

pytestmark = [needs("nginx"), needs("openssl")]


@pytest.fixture
def backend() -> str:
    return "postgresql"


class Front:
    """nginx with the file of the examples, in which only addresses, ports and the certificate are others."""

    def __init__(self, folder: Path, servers: list[int]) -> None:
        self._folder, self._port = folder, free_port()
        certificate, key = folder / "certificate", folder / "key"
        subprocess.run(
            [
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "1",
                "-subj",
                "/CN=test",
                "-addext",
                "subjectAltName=IP:127.0.0.1",
                "-keyout",
                key,
                "-out",
                certificate,
            ],
            check=True,
            capture_output=True,
        )
        text = (ROOT / "examples" / "nginx" / "gantcha.conf").read_text()
        for named, ours in {
            "10.0.0.1:8000": f"127.0.0.1:{servers[0]}",
            "10.0.0.2:8000": f"127.0.0.1:{servers[1]}",
            "/etc/ssl/www.example.com.crt": str(certificate),
            "/etc/ssl/www.example.com.key": str(key),
            "listen 443": f"listen 127.0.0.1:{self._port}",
            "listen [::]:443": f"listen [::1]:{self._port}",
            "listen 80": f"listen 127.0.0.1:{free_port()}",
            "listen [::]:80": f"listen [::1]:{free_port()}",
        }.items():
            assert named in text
            text = text.replace(named, ours)
        self._tls = ssl.create_default_context(cafile=certificate)
        (folder / "gantcha.conf").write_text(text)
        write_settings(folder, f"include {folder}/gantcha.conf;")
        self.url = f"https://127.0.0.1:{self._port}/captcha"

    @contextmanager
    def running(self) -> Iterator["Front"]:
        command = ["nginx", "-p", str(self._folder), "-c", str(self._folder / "nginx.conf")]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as nginx:
            try:
                wait_until((self._folder / "pid").exists, "nginx")
                yield self
            finally:
                nginx.terminate()

    def errors(self) -> str:
        return (self._folder / "error.log").read_text()

    def visitors(self) -> Visitors:
        return Visitors(self.connect, KEY, lambda _: CODE)

    def connect(self, address: str) -> HTTPSConnection:
        """Connect from an address of this machine: all of 127.0.0.0/8 are."""
        return HTTPSConnection("127.0.0.1", self._port, context=self._tls, source_address=(address, 0), timeout=30)


def requirements(front: Front) -> dict[str, object]:
    """What the file says to set. The limits are the usual ones: all visitors together are above them."""
    return {"API_KEY": KEY, "PUBLIC_URL": front.url, "TRUSTED_PROXIES": "127.0.0.1"}


def stock(pool: Pool) -> None:
    pool.add([Drawn(CODE, a_png())] * 10_000, PLAIN)


def all_succeeded(visitors: Visitors) -> bool:
    routes = {"/generate 200", "/challenge 200", "/{id} 200", "/verify 200"}
    return set(visitors.outcomes) == routes and visitors.outcomes.total() > 2000


def test_a_rolling_restart_fails_nobody(pool: Pool, settings: dict[str, object], tmp_path: Path) -> None:
    stock(pool)
    ports = [free_port(), free_port()]
    front = Front(tmp_path, ports)
    with ExitStack() as stack:
        servers = [stack.enter_context(ExitStack()) for _ in ports]

        def start(number: int) -> None:
            servers[number].enter_context(running_server(settings | requirements(front), port=ports[number]))

        start(0)
        start(1)
        stack.enter_context(front.running())
        with front.visitors() as visitors:
            for number in (0, 1, 0, 1):
                visitors.wait_for_visits(80)
                servers[number].close()
                visitors.wait_for_visits(20)
                start(number)
    assert all_succeeded(visitors), visitors.outcomes


@pytest.mark.skipif(signal.getsignal(signal.SIGHUP) is signal.SIG_IGN, reason="nohup has programs ignore a hang-up")
def test_a_reload_of_one_server_fails_nobody(pool: Pool, settings: dict[str, object], tmp_path: Path) -> None:
    stock(pool)
    port = free_port()
    front = Front(tmp_path, [port, port])
    with (
        running_server(settings | requirements(front), port=port, workers=2) as server,
        front.running(),
        front.visitors() as visitors,
    ):
        for restarted in (2, 4):
            visitors.wait_for_visits(80)
            server.process.send_signal(signal.SIGHUP)
            finished = functools.partial(lambda count: server.printed().count("Finished server") == count, restarted)
            wait_until(finished, "new workers", 120)
        visitors.wait_for_visits(80)
    assert all_succeeded(visitors), visitors.outcomes


class _Dying(socketserver.BaseRequestHandler):
    """A server that ends once it has read a request."""

    def handle(self) -> None:
        self.request.recv(65536)


@pytest.fixture
def dying_server() -> Iterator[int]:
    """The port of a server that answers nobody."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Dying) as server:
        threading.Thread(target=server.serve_forever).start()
        yield server.server_address[1]
        server.shutdown()


def test_what_a_dying_server_took_is_answered_by_the_other(
    pool: Pool, settings: dict[str, object], dying_server: int, tmp_path: Path
) -> None:
    stock(pool)
    port = free_port()
    front = Front(tmp_path, [dying_server, port])
    with running_server(settings | requirements(front), port=port), front.running():
        with front.visitors() as visitors:
            visitors.wait_for_visits(20)
        assert "upstream prematurely closed connection" in front.errors()
    assert set(visitors.outcomes) == {"/generate 200", "/challenge 200", "/{id} 200", "/verify 200"}


def test_a_visitor_is_limited_and_counts_by_the_real_address(
    pool: Pool, settings: dict[str, object], tmp_path: Path
) -> None:
    stock(pool)
    port = free_port()
    front = Front(tmp_path, [port, port])
    with running_server(settings | requirements(front), port=port) as server, front.running():
        with closing(front.connect("127.9.9.9")) as visitor:

            def ask(path: str, forwarded: str, size: int = 0) -> int:
                visitor.request(
                    "POST" if size else "GET", f"/captcha{path}", b"x" * size, {"X-Forwarded-For": forwarded}
                )
                answer = visitor.getresponse()
                answer.read()
                return answer.status

            assert ask("/verify", "203.0.113.1", 33 * 1024) == 413
            assert ask("/load", "203.0.113.1", 1024 * 1024) == 401
            challenges = [ask("/challenge", f"203.0.113.{number}") for number in range(70)]
            assert challenges.count(200) == 60
            flood = [ask("/healthz", f"198.51.100.{number}") for number in range(250)]
            assert set(flood) == {200, 429}
        log = server.stop()
    assert '"client":"127.9.9.9"' in log
    assert "203.0.113." not in log

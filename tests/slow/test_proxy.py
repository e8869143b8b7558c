"""What `examples` puts in front of two servers, which restart in turn under load; all programs and TLS are real."""

import functools
import signal
import socketserver
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from pool.pool import Drawn, Pool
from tests.conftest import PLAIN, a_png, free_port, running_server, wait_until
from tests.support.fronts import Caddy, Front, HAProxy, Nginx
from tests.support.programs import needs
from tests.support.visitors import Visitors

KEY = "an-api-key-of-sixteen-or-more"
CODE = "abc234"

pytestmark = needs("openssl")


@pytest.fixture
def backend() -> str:
    return "postgresql"


FRONTS = [pytest.param(front, marks=needs(front.program), id=front.program) for front in (Nginx, Caddy, HAProxy)]
in_front_of_it = pytest.mark.parametrize("program", FRONTS)


def requirements(front: Front) -> dict[str, object]:
    """What the file says to set. The limits are the usual ones: all visitors together are above them."""
    return {"API_KEY": KEY, "PUBLIC_URL": front.url, "TRUSTED_PROXIES": "127.0.0.1"}


def stock(pool: Pool) -> None:
    pool.add([Drawn(CODE, a_png())] * 10_000, PLAIN)


def all_succeeded(visitors: Visitors, front: Front) -> bool:
    routes = {"/generate 200", "/challenge 200", "/{id} 200", "/verify 200"}
    failed = sum(visitors.outcomes[name] for name in front.may_fail)
    return set(visitors.outcomes) - front.may_fail == routes and visitors.outcomes.total() > 2000 > 100 * failed


def visitors_of(front: Front) -> Visitors:
    return Visitors(front.connect, KEY, lambda _: CODE)


@in_front_of_it
def test_a_rolling_restart_fails_nobody(
    pool: Pool, settings: dict[str, object], program: type[Front], tmp_path: Path
) -> None:
    stock(pool)
    ports = [free_port(), free_port()]
    front = program(tmp_path, ports)
    with ExitStack() as stack:
        servers = [stack.enter_context(ExitStack()) for _ in ports]

        def start(number: int) -> None:
            servers[number].enter_context(running_server(settings | requirements(front), port=ports[number]))

        start(0)
        start(1)
        stack.enter_context(front.running())
        with visitors_of(front) as visitors:
            for number in (0, 1, 0, 1):
                visitors.wait_for_visits(80)
                servers[number].close()
                visitors.wait_for_visits(20)
                start(number)
    assert all_succeeded(visitors, front), visitors.outcomes


@needs("nginx")
@pytest.mark.skipif(signal.getsignal(signal.SIGHUP) is signal.SIG_IGN, reason="nohup has programs ignore a hang-up")
def test_a_reload_of_one_server_fails_nobody(pool: Pool, settings: dict[str, object], tmp_path: Path) -> None:
    stock(pool)
    port = free_port()
    front = Nginx(tmp_path, [port, port])
    with (
        running_server(settings | requirements(front), port=port, workers=2) as server,
        front.running(),
        visitors_of(front) as visitors,
    ):
        for restarted in (2, 4):
            visitors.wait_for_visits(80)
            server.process.send_signal(signal.SIGHUP)
            finished = functools.partial(lambda count: server.printed().count("Finished server") == count, restarted)
            wait_until(finished, "new workers", 120)
        visitors.wait_for_visits(80)
    assert all_succeeded(visitors, front), visitors.outcomes


class _Dying(socketserver.BaseRequestHandler):
    """A server that ends once it has read a request."""

    took: list[bytes] = []  # noqa: RUF012 - there is one at a time

    def handle(self) -> None:
        self.took.append(self.request.recv(65536))


@pytest.fixture
def dying_server() -> Iterator[int]:
    """The port of a server that answers nobody."""
    _Dying.took.clear()
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Dying) as server:
        threading.Thread(target=server.serve_forever).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.mark.parametrize("program", [FRONTS[0], FRONTS[2]])  # Caddy leaves such a server out
def test_what_a_dying_server_took_is_answered_by_the_other(
    pool: Pool, settings: dict[str, object], dying_server: int, program: type[Front], tmp_path: Path
) -> None:
    stock(pool)
    port = free_port()
    front = program(tmp_path, [dying_server, port])
    with (
        running_server(settings | requirements(front), port=port),
        front.running(),
        visitors_of(front) as visitors,
    ):
        visitors.wait_for_visits(20)
    assert {request.split()[0] for request in _Dying.took} >= {b"GET", b"POST"}
    assert set(visitors.outcomes) == {"/generate 200", "/challenge 200", "/{id} 200", "/verify 200"}


@in_front_of_it
def test_a_visitor_is_limited_and_counts_by_the_real_address(
    pool: Pool, settings: dict[str, object], program: type[Front], tmp_path: Path
) -> None:
    stock(pool)
    port = free_port()
    front = program(tmp_path, [port, port])
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
            assert set(flood) == ({200, 429} if front.limits_rates else {200})
        log = server.stop()
    assert '"client":"127.9.9.9"' in log
    assert "203.0.113." not in log

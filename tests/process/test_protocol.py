"""What a connection may send, in bytes and in seconds: the server's memory stays, and nobody else waits."""

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from tests.conftest import ROOT, Server, answers, environment, free_port, running_server, wait_until
from tests.support.watch import Watch

_GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
_POST = b"POST /healthz HTTP/1.1\r\nHost: x\r\n"
_CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
_ENDLESS = b"Content-Length: 999999999999\r\n\r\n"
_MEBIBYTE = 2**20
_SENT = 56 * _MEBIBYTE
_MOST_GROWN = 60  # MiB
_MOST_WAIT = 3  # seconds: the machine may be busy with other tests


@contextmanager
def _connected(server: Server) -> Iterator[socket.socket]:
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=60) as connection:
        yield connection


def _exchange(server: Server, start: bytes, repeated: bytes) -> tuple[int, bytes]:
    """Send until the server hangs up or 56 MiB are sent; tell how much it was, and what came back."""
    piece = repeated * (65536 // len(repeated) + 1)
    with _connected(server) as connection:
        sent, answered = 0, b""
        try:
            connection.sendall(start)
            while sent < _SENT:
                sent += connection.send(piece)
        except ConnectionError:
            pass
        try:
            while got := connection.recv(65536):
                answered += got
        except (ConnectionError, TimeoutError):
            pass
        return sent, answered


@pytest.mark.parametrize(
    ("start", "repeated", "statuses"),
    [
        (_GET, b"A: b\r\n", {b"431"}),
        (_GET + b"A: ", b"b", {b"431"}),
        (b"GET /", b"a", {b"431"}),
        (b"", b"\r\n", set()),
        (_POST + _CHUNKED + b"1\r\nx\r\n0\r\n", b"A: b\r\n", {b"405", b"431"}),
        (_POST + _CHUNKED + b"1\r\nx\r\n0\r\nA: ", b"b", {b"405", b"431"}),
        (_POST + _CHUNKED + b"1;", b"x", {b"405", b"431"}),
        (_POST + _CHUNKED, b"1;" + b"x" * 999 + b"\r\nx\r\n", {b"405", b"413"}),
        (_GET + _ENDLESS, b"x", {b"200", b"413"}),
        (_GET + _CHUNKED, b"10000\r\n" + bytes(65536) + b"\r\n", {b"200", b"413"}),
        (_POST + _ENDLESS, b"x", {b"405", b"413"}),
        (b"", _GET + b"\r\n", {b"200"}),
        (_GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", b"x", {b"200"}),
    ],
    ids=[
        "headers",
        "a header",
        "the URL",
        "empty lines",
        "trailers",
        "a trailer",
        "a chunk extension",
        "chunk extensions",
        "the body of a GET",
        "its chunks",
        "a body after the answer",
        "pipelined requests",
        "after an upgrade",
    ],
)
def test_nothing_goes_on_without_an_end(
    idle_server: Server, start: bytes, repeated: bytes, statuses: set[bytes]
) -> None:
    with Watch(idle_server.url, idle_server.process.pid) as watch, ThreadPoolExecutor(4) as threads:
        came = list(threads.map(lambda _: _exchange(idle_server, start, repeated), range(4)))
    assert watch.error is None
    assert watch.grown_mebibytes < _MOST_GROWN
    assert watch.worst_seconds < _MOST_WAIT
    assert max(sent for sent, _ in came) < 24 * _MEBIBYTE  # much of it lies in the buffers of the two sockets
    # An answer may be lost with the connection, or the bound met before a route has answered.
    assert {answered.split()[1] for _, answered in came if answered} <= statuses


def test_a_head_as_large_as_browsers_send_is_taken(idle_server: Server) -> None:
    cookies = {f"Cookie-{number}": "c" * 300 for number in range(80)}
    assert idle_server.get("/healthz", headers=cookies).ok
    assert idle_server.get("/healthz", headers={"Cookie": "c" * 30_000}).ok
    too_many = idle_server.get("/healthz", headers={f"a{number}": "b" for number in range(120)})
    assert (too_many.status_code, too_many.headers["connection"]) == (431, "close")
    assert "100 headers" in too_many.json()["detail"]
    assert idle_server.get("/" + "a" * 9000).status_code == 431


def test_pipelined_requests_are_answered_in_order(idle_server: Server) -> None:
    paths = ["healthz", "nothing", "challenge", "healthz"] * 4
    sent = b"".join(f"GET /{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for path in paths)
    with _connected(idle_server) as connection:
        connection.sendall(sent)
        answered = b""
        while answered.count(b"HTTP/1.1 ") < len(paths) and (got := connection.recv(65536)):
            answered += got
    assert re.findall(rb"HTTP/1.1 (\d+)", answered) == [b"200", b"404", b"503", b"200"] * 4


def test_a_pipeline_that_breaks_leaves_no_traceback(sqlite_settings: dict[str, object]) -> None:
    broken = {
        "ends in no HTTP": b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n" % (b"0" * 32) + _GET + b"\r\n\0",
        "is left": b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n" % (b"0" * 32) + (_GET + b"\r\n") * 3,
        "has a body to come": _POST + b"Content-Length: 9\r\n\r\n123456789" + _POST + b"Content-Length: 9\r\n\r\n\0",
    }
    with running_server(sqlite_settings) as server:
        for sent in broken.values():
            for _ in range(20):
                with _connected(server) as connection:
                    connection.sendall(sent)
                    if sent.endswith(b"\0"):
                        connection.recv(65536)
        log = server.stop()
    assert "Traceback" not in log
    assert len(log) < 20_000 + 60 * 4 * 300


def test_trailers_do_not_join_the_headers(idle_server: Server) -> None:
    body = b'{"secret": "x"}'
    sent = b"POST /siteverify HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + _CHUNKED
    with _connected(idle_server) as connection:
        connection.sendall(sent + b"%x\r\n" % len(body) + body + b"\r\n0\r\nX-Request-ID: of-a-trailer\r\n\r\n")
        answered = b""
        while got := connection.recv(65536):
            answered += got
    assert b" 200 " in answered
    assert b"of-a-trailer" not in answered


def _dribble(server: Server, start: bytes, piece: bytes) -> float:
    """Send a byte a second; tell after how many the server hung up."""
    with _connected(server) as connection:
        connection.sendall(start)
        connection.settimeout(1)
        began = time.monotonic()
        while time.monotonic() - began < 40:
            try:
                while connection.recv(65536):
                    pass
                break
            except TimeoutError:
                pass
            except ConnectionError:
                break
            try:
                connection.sendall(piece)
            except ConnectionError:
                break
        return time.monotonic() - began


def test_connections_that_dribble_are_closed(idle_server: Server) -> None:
    attacks = [
        (b"", b""),
        (b"", b"\r\n"),
        (b"GET /heal", b"t"),
        (_GET + b"A: b", b"c"),
        (_GET + b"Content-Length: 1000\r\n\r\n", b"x"),
        (_POST + b"Content-Length: 1000\r\n\r\n", b"x"),
        (_POST + _CHUNKED, b"1\r\nx\r\n"),
    ]
    with ThreadPoolExecutor(len(attacks)) as threads:
        seconds = list(threads.map(lambda attack: _dribble(idle_server, *attack), attacks))
    assert max(seconds) < 30
    wait_until(lambda: not psutil.Process(idle_server.process.pid).net_connections()[1:], "the connections to go")


def test_workers_end_with_their_killed_supervisor(sqlite_settings: dict[str, object]) -> None:
    with running_server(sqlite_settings, workers=2) as server:
        workers = psutil.Process(server.process.pid).children(recursive=True)
        assert len(workers) >= 2
        server.stop(signal.SIGKILL)
        _, alive = psutil.wait_procs(workers, timeout=30)
        for worker in alive:
            worker.kill()
        assert not alive
        with socket.create_server(("127.0.0.1", urlsplit(server.url).port or 0)):
            pass  # the port is free


@pytest.mark.parametrize("options", [[], ["--http", "server.protocol:BoundedProtocol", "--ws", "none"]])
def test_uvicorn_alone_says_what_it_does_not_bound(
    sqlite_settings: dict[str, object], tmp_path: Path, options: list[str]
) -> None:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "server.app:application", "--port", str(port), *options]
    log = tmp_path / "log"
    with open(log, "w") as file:
        process = subprocess.Popen(command, cwd=ROOT, env=environment(sqlite_settings), stderr=file, stdout=file)
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/healthz"), "the server to answer")
    finally:
        process.terminate()
        process.wait(timeout=30)
    assert ("limits neither the size nor the duration" in log.read_text()) == (not options)

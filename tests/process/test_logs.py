"""A log that nobody reads keeps nobody waiting."""

import fcntl
import json
import re
import signal
import socket
import subprocess
import sys

import pytest
import requests

from tests.conftest import ROOT, answers, environment, free_port, wait_until

_LINES = 3000  # more than the pipe and the queue take
_AT_ONCE = 20
_GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


def _ask_many(port: int) -> int:
    """Ask so many times; return how often the answer was 200."""
    count = 0
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        for _ in range(_LINES // _AT_ONCE):
            connection.sendall(_GET * _AT_ONCE)
            answered = b""
            while answered.count(b'{"status":"ok"}') < _AT_ONCE:
                piece = connection.recv(65536)
                assert piece
                answered += piece
            count += answered.count(b"HTTP/1.1 200")
    return count


@pytest.mark.parametrize("workers", [1, 2])
def test_a_log_that_nobody_reads_stops_no_request_and_no_end(sqlite_settings: dict[str, object], workers: int) -> None:
    port = free_port()
    command = [sys.executable, "-m", "server", "--port", str(port), "--workers", str(workers)]
    with subprocess.Popen(command, cwd=ROOT, env=environment(sqlite_settings), stderr=subprocess.PIPE) as process:
        assert process.stderr
        fcntl.fcntl(process.stderr, fcntl.F_SETPIPE_SZ, 4096)
        try:
            wait_until(lambda: answers(f"http://127.0.0.1:{port}/healthz"), "the server to answer")
            assert sum(_ask_many(port) for _ in range(workers)) == _LINES * workers
            metrics = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=30).text
            dropped = re.search(r"gantcha_log_lines_dropped_total (\d+)", metrics)
            assert dropped
            assert workers > 1 or int(dropped[1]) > 0
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) in (0, -signal.SIGTERM)
        finally:
            process.kill()


def test_a_log_that_is_read_again_says_what_is_missing(sqlite_settings: dict[str, object]) -> None:
    port = free_port()
    command = [sys.executable, "-m", "server", "--port", str(port)]
    with subprocess.Popen(command, cwd=ROOT, env=environment(sqlite_settings), stderr=subprocess.PIPE) as process:
        assert process.stderr
        fcntl.fcntl(process.stderr, fcntl.F_SETPIPE_SZ, 4096)
        try:
            wait_until(lambda: answers(f"http://127.0.0.1:{port}/healthz"), "the server to answer")
            _ask_many(port)
            for line in process.stderr:
                if "log lines were dropped" in (event := json.loads(line)["event"]):  # each line is whole
                    break
            assert int(event.split()[0]) > 100
            process.terminate()
            assert "Finished server process" in process.stderr.read().decode()  # the last line of all
        finally:
            process.kill()

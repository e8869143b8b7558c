"""`HEAD`, request ids, the log's characters, who may use the demo, and who counts as forwarded."""

import os
import pty
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest
import requests

from tests.conftest import ROOT, Server, Site, answers, environment, free_port, running_server, wait_until

_SEQUENCES = "%1b%5d0;owned%07%c2%9b31m%e2%80%aegnp.exe"
_SECOND_LINE = "%0aa-second-line"


def _head(url: str, **headers: str) -> requests.Response:
    return requests.head(url, timeout=30, headers=headers)


def test_head_is_answered_as_get_without_a_body(site: Site) -> None:
    server = site.server
    file_id, _ = site.challenge()
    paths = [
        "/healthz",
        "/readyz",
        "/metrics",
        "/operator",
        "/demo",
        "/widget.js",
        "/openapi.json",
        "/docs",
        f"/{file_id}",
        "/nothing",
    ]
    for path in paths:
        got, asked = server.get(path, headers={"Accept-Encoding": "identity"}), _head(server.url + path)
        assert asked.status_code == got.status_code, path
        assert asked.content == b""
        for name in ("content-type", "cache-control", "etag"):
            assert asked.headers.get(name) == got.headers.get(name), path
    assert _head(f"{server.url}/{file_id}").headers["content-length"] == str(len(server.get(f"/{file_id}").content))


def test_head_hands_out_nothing(site: Site) -> None:
    server = site.server

    def issued() -> list[str]:
        return [line for line in server.get("/metrics").text.splitlines() if line.startswith("gantcha_issued_total")]

    server.get("/generate"), server.get("/challenge")
    before = issued()
    for path in ("/generate", "/challenge"):
        for _ in range(5):
            asked = _head(server.url + path)
            assert (asked.status_code, asked.content) == (200, b"")
            assert asked.headers["content-type"] == "application/json"
            assert asked.headers["cache-control"] == "no-store"
    assert issued() == before
    assert _head(f"{server.url}/generate", Via="1.1 proxy").status_code == 403


def test_ids_of_requests_tell_nothing(idle_server: Server) -> None:
    ids = [idle_server.get("/healthz").headers["x-request-id"] for _ in range(20)]
    assert len({request_id[:6] for request_id in ids}) > 15
    assert len({request_id[-6:] for request_id in ids}) > 15


def test_a_path_gives_a_terminal_no_orders(sqlite_settings: dict[str, object]) -> None:
    ours, theirs = pty.openpty()
    port = free_port()
    command = [sys.executable, "-m", "server", "--port", str(port)]
    with subprocess.Popen(command, cwd=ROOT, env=environment(sqlite_settings), stderr=theirs) as process:
        os.close(theirs)
        shown: list[bytes] = []

        def read() -> None:
            try:
                while piece := os.read(ours, 65536):
                    shown.append(piece)
            except OSError:  # the other end is closed
                pass

        reader = threading.Thread(target=read)
        reader.start()
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/healthz"), "the server to answer")
        requests.get(f"http://127.0.0.1:{port}/{_SEQUENCES}", timeout=30)
        process.terminate()
        process.wait(timeout=30)
        reader.join()
    os.close(ours)
    text = b"".join(shown).decode()
    (line,) = [line for line in text.splitlines() if "owned" in line]
    assert "\\x1b]0;owned\\x07\\x9b31m\\u202egnp.exe" in line
    assert "\x1b]" not in text
    assert not {"\x07", "\x9b", "\u202e"} & set(text)


def test_a_path_gives_the_log_no_orders(idle_server: Server) -> None:
    idle_server.get(f"/{_SEQUENCES}{_SECOND_LINE}")
    wait_until(lambda: "owned" in idle_server.printed(), "the line, which is written after the answer")
    printed = idle_server.printed().replace("\n", "")
    assert printed.isprintable()
    assert any("\\x9b31m" in line.get("path", "") for line in idle_server.logged())


@pytest.mark.parametrize(
    "header",
    [
        "Akamai-Origin-Hop",
        "CDN-Loop",
        "CF-Ray",
        "CloudFront-Viewer-Address",
        "Client-IP",
        "Fastly-Client-IP",
        "Fly-Client-IP",
        "Forwarded",
        "True-Client-IP",
        "Via",
        "X-Amz-Cf-Id",
        "X-Amzn-Trace-Id",
        "X-AppEngine-User-IP",
        "X-ARR-LOG-ID",
        "X-Azure-ClientIP",
        "X-Client-IP",
        "X-Cluster-Client-IP",
        "X-Envoy-External-Address",
        "X-Forwarded",
        "X-Forwarded-For",
        "X-NF-Client-Connection-IP",
        "X-Original-Forwarded-For",
        "X-Real-IP",
        "X-Vercel-Forwarded-For",
    ],
)
def test_what_a_proxy_brings_is_not_local(idle_server: Server, header: str) -> None:
    assert idle_server.post("/load", headers={header: "127.0.0.1"}).status_code == 403


def test_the_demo_redeems_on_this_machine_unless_it_is_opened(
    sqlite_settings: dict[str, object], serve: Callable[..., Server]
) -> None:
    sent, forwarded = {"gantcha-response": "x"}, {"X-Forwarded-For": "203.0.113.9"}
    closed = serve(sqlite_settings)
    assert "invalid-input-response" in closed.post("/demo", data=sent).text
    refused = closed.post("/demo", data=sent, headers=forwarded)
    assert refused.status_code == 403
    assert "CAPTCHA_DEMO=true" in refused.text
    assert refused.headers["content-type"].startswith("text/html")
    assert closed.get("/demo", headers=forwarded).ok
    closed.stop()
    with running_server(sqlite_settings | {"DEMO": "true"}) as opened:
        assert "invalid-input-response" in opened.post("/demo", data=sent, headers=forwarded).text

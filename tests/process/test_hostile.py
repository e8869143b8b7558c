"""Requests that mean harm: refused clearly, and the server's memory stays bounded."""

import io
import json
import socket
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import psutil
import pytest
import requests

from tests.conftest import Server, Site, a_png, running_site, wait_until

_MEBIBYTE = 1024 * 1024


def _raw(server: Server, sent: bytes, seconds: float = 30) -> bytes:
    """Send bytes as they are and return all that comes back."""
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=seconds) as connection:
        connection.sendall(sent)
        answered = b""
        while piece := connection.recv(65536):
            answered += piece
    return answered


@pytest.mark.parametrize("path", ["/verify", "/load", "/demo"])
def test_a_hundred_mebibytes_are_refused_unread(idle_server: Server, path: str) -> None:
    process = psutil.Process(idle_server.process.pid)
    before = process.memory_info().rss
    form = {"Content-Type": "application/x-www-form-urlencoded"}

    def endless() -> Iterator[bytes]:
        yield from (bytes(_MEBIBYTE) for _ in range(100))

    def send(chunked: bool) -> int:
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
        if not chunked:
            declared = f"Content-Length: {100 * _MEBIBYTE}\r\n\r\n".encode()
            return int(_raw(idle_server, head.encode() + declared).split()[1])
        try:
            return requests.post(idle_server.url + path, data=endless(), headers=form, timeout=30).status_code
        except requests.ConnectionError:
            return 413  # the server had answered and hung up before all was sent

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(send, [True, False] * 8)) <= {413, 400}  # 400: one field of a form was too long
    assert process.memory_info().rss - before < 64 * _MEBIBYTE
    assert idle_server.get("/healthz").ok


def test_siteverify_says_no_to_what_it_does_not_read(site: Site) -> None:
    head, too_many = b"POST /siteverify HTTP/1.1\r\nHost: x\r\n", 32 * 1024 + 1
    for sent in (
        b"Content-Length: 104857600\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % too_many + bytes(too_many),
        b"Content-Length: 100\r\n\r\nsecret=",
    ):
        answered = _raw(site.server, head + sent)
        assert answered.split()[1] == b"200"
        assert json.loads(answered.partition(b"\r\n\r\n")[2])["error-codes"] == ["bad-request"]


def test_who_hangs_up_in_the_middle_is_no_error_of_ours(sqlite_settings: dict[str, object]) -> None:
    with running_site(sqlite_settings) as site:
        address = urlsplit(site.server.url)
        for path in ("/siteverify", "/verify"):
            with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
                head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100"
                connection.sendall(f"{head}\r\n\r\n{{".encode())
                time.sleep(0.2)  # for the server to wait for the rest
        wait_until(lambda: '"path":"/verify"' in site.server.printed(), "the last line of the log")
        statuses = {line.get("path"): line.get("status") for line in site.server.logged()}
        assert (statuses["/siteverify"], statuses["/verify"]) == (200, 400)
        assert "Traceback" not in site.server.printed()


def test_a_token_of_any_length_is_refused_on_a_page(site: Site) -> None:
    for token in ("x" * 5000, "я" * 4097):
        answer = site.server.post("/demo", data={"gantcha-response": token})
        assert answer.status_code == 200
        assert "bad-request" in answer.text


def test_slow_bodies_are_given_up_and_keep_nobody_waiting(idle_server: Server) -> None:
    head = b"POST /verify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    with ThreadPoolExecutor(60) as threads:
        slow = [threads.submit(_raw, idle_server, head) for _ in range(60)]
        time.sleep(0.5)
        assert idle_server.get("/healthz").ok
        assert idle_server.get("/demo").ok
        statuses = {one.result().split()[1] for one in slow}
    assert statuses == {b"408"}


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _png(width: int, height: int, *chunks: bytes) -> bytes:
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + _chunk(b"IEND", b"")


_BOMB = zlib.compress(bytes(300 * _MEBIBYTE), 9)


@pytest.mark.parametrize(
    "bomb",
    [
        _png(60_000, 60_000, _chunk(b"IDAT", _BOMB)),
        _png(2_000, 100, _chunk(b"IDAT", _BOMB)),
        _png(8, 8, _chunk(b"zTXt", b"Comment\0\0" + _BOMB), _chunk(b"IDAT", zlib.compress(bytes(72)))),
        _png(8, 8, _chunk(b"iCCP", b"icc\0\0" + _BOMB), _chunk(b"IDAT", zlib.compress(bytes(72)))),
    ],
    ids=["dimensions", "pixels", "text", "profile"],
)
def test_png_bombs_do_not_go_off(idle_server: Server, bomb: bytes) -> None:
    process = psutil.Process(idle_server.process.pid)
    peak, before, done = 0, process.memory_info().rss, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.005):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    status = idle_server.post("/load", files={"file": bomb}).status_code
    done.set()
    watcher.join()
    assert status in (200, 413, 415)
    assert peak - before < 100 * _MEBIBYTE


def test_a_polyglot_is_a_picture_and_nothing_else(site: Site) -> None:
    script = b"<script>alert(1)</script>"
    polyglot = a_png()[:-12] + _chunk(b"tEXt", b"x\0" + script) + a_png()[-12:] + script + b"PK\x05\x06" + bytes(18)
    loaded = site.server.post("/load", files={"file": ("x.html", io.BytesIO(polyglot), "text/html")})
    shown = requests.get(loaded.json()["fileURL"], timeout=10)
    assert shown.content.startswith(b"\x89PNG")
    assert script not in shown.content
    assert b"PK" not in shown.content
    assert shown.headers["content-type"] == "image/png"
    assert shown.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "target",
    [
        "/../pool.db",
        "/..%2fpool.db",
        "/%2e%2e/%2e%2e/etc/passwd",
        "//etc/passwd",
        "/.pool",
        "/.lock",
        "/%00",
        "/" + "a" * 32 + "%0a",
        "/" + "a" * 32 + ".png",
        "/../../etc/passwd.wav",
        "/%2e%2e%2f.wav",
        "/" + "a" * 32 + "%00.wav",
        "/" + "ａ" * 32,  # noqa: RUF001 - full-width
    ],
)
def test_no_path_leads_to_another_file(site: Site, target: str) -> None:
    answered = _raw(site.server, f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert answered.split()[1] in (b"404", b"400")
    assert b"root:" not in answered


def test_an_answer_can_be_anything(site: Site) -> None:
    for answer in ("\0", "'; DROP TABLE captcha; --", "я" * 64, "\u202e", "\ufdfa" * 64):
        file_id, _ = site.challenge()
        assert site.answer(file_id, answer)["success"] is False
    for body in (b'{"id": "\\ud800", "answer": ""}', b"[]", b"null", b"{" * 100_000, b"\xff", b""):
        answered = site.server.post("/verify", data=body, headers={"Content-Type": "application/json"})
        assert answered.status_code in (400, 413, 422)
        assert json.loads(answered.text)["detail"]
    assert site.answer(*site.challenge())["success"]


_FORM, _IN_PARTS = "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"
_MARKS = "\u0301\u0316".encode() * 12_000  # each pair is in the wrong order: to sort them takes quadratic time
_LONG_CODE = (
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n%b\r\n'
    b'--b\r\nContent-Disposition: form-data; name="code"\r\n\r\n%b\r\n--b--' % (a_png(), _MARKS)
)


@pytest.mark.parametrize(
    ("line", "header", "body", "answered"),
    [
        ("POST /verify", "Content-Type: " + "charset" * 4400, b"", b"415"),
        ("POST /siteverify", "Content-Type: " + "charset" * 4400, b"", b"bad-request"),
        ("POST /demo", f"Content-Type: {_FORM}", b"%" * 32_700, b"400"),
        ("POST /siteverify", f"Content-Type: {_FORM}", b"%" * 32_700, b"bad-request"),
        ("GET /plain", "Accept-Language: " + "," * 31_000, b"", b"200"),
        ("GET /plain", "Accept-Language: " + "-" * 31_000, b"", b"200"),
        ("GET /challenge", "Origin: http://" + "\xa8" * 31_000, b"", b"200"),
        ("POST /load", f"Content-Type: {_IN_PARTS}", _LONG_CODE, b"422"),
        (f"GET /{'%' * 8000}", "X: y", b"", b"400"),
        (f"GET /plain?{'a&' * 4000}", "X: y", b"", b"431"),
        ("GET /healthz", f"Connection: upgrade{',' * 31_000}\r\nUpgrade: websocket", b"", b"200"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_no_header_or_field_takes_long_to_read(
    site: Site, line: str, header: str, body: bytes, answered: bytes
) -> None:
    head = f"{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {len(body)}\r\n{header}\r\n\r\n"
    process = psutil.Process(site.server.process.pid)
    before, count = process.cpu_times().user, 8
    for _ in range(count):
        assert answered in _raw(site.server, head.encode("latin-1") + body)
    assert (process.cpu_times().user - before) / count < 0.025  # processor time, which a busy machine hardly changes

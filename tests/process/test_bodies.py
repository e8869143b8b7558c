"""Bodies: looked at only after key and limits, in UTF-8 only, and never for long."""

import json
import socket
import struct
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from tests.conftest import Server, Site, a_png, running_server
from tests.support.watch import Watch

_KEY = "a-key-of-sixteen-or-more"
_SITEVERIFY = ("/siteverify", "/recaptcha/api/siteverify", "/turnstile/v0/siteverify")


def _multipart(charset: str, name: str, value: str) -> tuple[dict[str, str], bytes]:
    part = f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n--b--\r\n'
    return {"Content-Type": f"multipart/form-data; boundary=b; charset={charset}"}, part.encode()


@pytest.mark.parametrize("charset", ["punycode", '"PunyCode"', "idna", "utf-16", "utf-7", "latin-1", "unicode_escape"])
def test_a_body_is_utf_8_or_refused_before_it_is_parsed(site: Site, charset: str) -> None:
    server = site.server
    headers, body = _multipart(charset, "response", "xn--" + "a" * 12_000)
    with Watch(server.url, server.process.pid) as watch, ThreadPoolExecutor(3) as threads:
        verified = list(threads.map(lambda path: server.post(path, data=body, headers=headers), _SITEVERIFY))
        others = list(threads.map(lambda path: server.post(path, data=body, headers=headers), ("/load", "/demo")))
        plain = {"Content-Type": f"application/json; charset={charset}"}
        others.append(server.post("/verify", data=b'{"id": "x", "answer": "y"}', headers=plain))
    for answer in verified:
        assert (answer.status_code, answer.json()["error-codes"]) == (200, ["bad-request"])
    for answer in others:
        assert answer.status_code == 415
        assert "UTF-8" in answer.json()["detail"]
    assert watch.error is None
    assert watch.worst_seconds < 3


def test_utf_8_may_be_said(site: Site) -> None:
    for charset in ("utf-8", '"UTF-8"', "utf8"):
        headers, body = _multipart(charset, "response", "я")
        answer = site.server.post("/siteverify", data=body, headers=headers)
        assert answer.json()["error-codes"] == ["missing-input-secret"]


def test_keys_and_limits_are_looked_at_before_the_body(sqlite_settings: dict[str, object]) -> None:
    with running_server(sqlite_settings | {"API_KEY": _KEY, "ANSWER_LIMIT": "1/hour"}) as server:
        server.post("/verify", json={})
        address = urlsplit(server.url)
        for path, kind, status in (
            ("/load", "multipart/form-data; boundary=b", b"401"),
            ("/load", "multipart/form-data; boundary=b; charset=punycode", b"401"),
            ("/verify", "application/json", b"429"),
            ("/demo", "application/x-www-form-urlencoded", b"429"),
        ):
            with socket.create_connection((address.hostname, address.port), timeout=60) as connection:
                head = (
                    f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: 1000\r\n\r\n"
                )
                started = time.monotonic()
                connection.sendall(head.encode())  # and no body
                assert connection.recv(65536).split()[1] == status
                assert time.monotonic() - started < 8  # a body is waited for 10 s


@pytest.mark.parametrize(("path", "most"), [("/verify", 4), ("/demo", 32), ("/siteverify", 32)])
def test_bodies_are_bounded_by_route(idle_server: Server, path: str, most: int) -> None:
    kind = "application/json" if path == "/verify" else "application/x-www-form-urlencoded"
    for is_chunked in (False, True):
        body = b"{" + b" " * (most * 1024)
        sent = iter([body]) if is_chunked else body
        answer = idle_server.post(path, data=sent, headers={"Content-Type": kind})
        if path == "/siteverify":
            assert answer.json()["error-codes"] == ["bad-request"]
        else:
            assert answer.status_code == 413
            assert f"{most} KiB" in answer.json()["detail"]


def test_a_form_has_few_parts(idle_server: Server) -> None:
    form = "&".join(f"f{number}=x" for number in range(50))
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert idle_server.post("/demo", data=form, headers=headers).status_code == 400
    files = [(f"f{number}", b"x") for number in range(50)]
    assert idle_server.post("/demo", files=files).status_code == 400
    assert idle_server.post("/load", files=[*files, ("file", a_png())]).status_code == 400
    assert idle_server.post("/siteverify", files=files).json()["error-codes"] == ["bad-request"]


def test_an_empty_code_is_no_code(idle_server: Server) -> None:
    refused = idle_server.post("/load", files={"file": a_png()}, data={"code": ""})
    assert refused.status_code == 422
    assert "6 characters" in refused.json()["detail"]


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def test_texts_of_a_picture_are_not_unpacked(idle_server: Server) -> None:
    png = a_png()
    text = zlib.compress(("a" * (1024 * 1024 - 8) + "\U0001f600").encode(), 9)
    chunks = b"".join(_chunk(b"iTXt", b"%d\0\1\0\0\0" % number + text) for number in range(60))
    with Watch(idle_server.url, idle_server.process.pid) as watch:
        answer = idle_server.post("/load", files={"file": png[:33] + chunks + png[33:]})
    assert answer.status_code == 200
    assert watch.grown_mebibytes < 60


def test_json_of_any_depth_and_size_is_refused(idle_server: Server) -> None:
    for body in (
        b'{"id":' * 600,
        b"[" * 4000,
        b'{"id": %s}' % (b"9" * 4000),
        b'{"id": "\xff", "answer": ""}',
        b"\xef\xbb\xbf{}",
    ):
        answer = idle_server.post("/verify", data=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 422, body[:20]
        assert json.loads(answer.text)["detail"]
    answer = idle_server.post("/verify", data=b'{"id": "x", "answer": "y"}', headers={"Content-Type": "text/plain"})
    assert answer.status_code == 415

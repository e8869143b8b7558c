"""The routes of the journey are answered without FastAPI, to the byte as FastAPI answers them."""

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import delete, text, update

from pool import database
from pool.models import captcha, counter
from pool.pool import Drawn, Pool
from pool.settings import Settings
from pool.storage.files import new_id
from tests.conftest import PLAIN, ROOT, Server, Site, a_png, answers, environment, free_port, running_server, wait_until

_SLOW = """
import sys, uvicorn
from server.app import application
from server.middleware import FastWay
from server.protocol import BoundedProtocol
application.user_middleware = [one for one in application.user_middleware if one.cls is not FastWay]
uvicorn.run(application, port=int(sys.argv[1]), http=BoundedProtocol, ws="none", log_config=None, proxy_headers=False,
            server_header=False)
"""
_ORIGIN = "https://www.example.com"
_JSON, _FORM = "application/json", "application/x-www-form-urlencoded"
_MASKS = {
    rb"[0-9a-f]{32}": b"ID",
    rb'"token":"[\w-]{43}"': b"TOKEN",
    rb"\d{4}-\d\d-\d\dT[\d:.]+Z": b"TIME",
    rb'"expires_in":\d+': b"SECONDS",
    rb"\r\n(date|retry-after): [^\r]*": rb"\r\n\1",
    rb"127\.0\.0\.1:\d+": b"HOST",
}


@contextmanager
def _slow_server(settings: dict[str, object], log: Path) -> Iterator[Server]:
    port = free_port()
    command = [sys.executable, "-c", _SLOW, str(port)]
    with (
        open(log, "w") as file,
        subprocess.Popen(command, cwd=ROOT, env=environment(settings), stdout=file, stderr=file, text=True) as process,
    ):
        server = Server(process, f"http://127.0.0.1:{port}", log)
        wait_until(lambda: answers(server.url + "/healthz"), "the server to answer")
        yield server
        server.stop()


def _send(server: Server, line: str, body: bytes = b"", **headers: str) -> bytes:
    """Send a request; return all that is answered, without what differs from one request to the next."""
    address = urlsplit(server.url)
    given = {"Host": address.netloc, "X-Request-ID": "mine", "Connection": "close"}
    if body:
        given["Content-Length"] = str(len(body))
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    answered = b""
    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        connection.sendall(f"{line} HTTP/1.1\r\n{head}\r\n".encode() + body)
        while piece := connection.recv(65536):
            answered += piece
    for pattern, instead in _MASKS.items():
        answered = re.sub(pattern, instead, answered)
    return answered


def _verify(file_id: str, answer: str = "abc234") -> bytes:
    return json.dumps({"id": file_id, "answer": answer}).encode()


def _journey(server: Server, pool: Pool, ids: list[str]) -> list[bytes]:
    """Take every step in every way, and note the answers; of `ids` the last one has expired."""
    challenges = [server.get("/challenge").json()["id"] for _ in range(4)]
    token = server.post("/verify", data=_verify(challenges[0]), headers={"Content-Type": _JSON}).json()["token"]
    redeem = f"secret={Site.SECRET}&response={token}".encode()
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(_verify(challenges[3])), _verify(challenges[3]))
    noted = [
        *(_send(server, f"{method} /generate") for method in ("GET", "HEAD", "POST")),
        *(_send(server, f"GET /generate?kind={kind}") for kind in ("plain", "crossed-out", "none")),
        _send(server, "GET /generate", Via="1.1 proxy"),
        _send(server, "GET /generate", Origin=_ORIGIN),
        *(_send(server, f"{method} /challenge") for method in ("HEAD", "PUT")),
        _send(server, "OPTIONS /challenge", Origin=_ORIGIN, Access_Control_Request_Method="GET"),
        *(_send(server, f"GET /{file_id}", Origin=_ORIGIN) for file_id in (*ids, new_id(), ids[0].upper())),
        *(_send(server, f"{method} /{ids[0]}") for method in ("HEAD", "DELETE")),
        *(_send(server, f"GET /{ids[0]}{rest}") for rest in ("?x=1", "/", ".png")),
        _send(server, f"HEAD /{new_id()}"),
        _send(server, "POST /verify", _verify(challenges[1], "wrong"), Content_Type=_JSON, Origin=_ORIGIN),
        _send(server, "POST /verify", _verify(challenges[1]), Content_Type=f"{_JSON}; charset=utf-8"),
        _send(server, "POST /verify", _verify(challenges[2]), Content_Type=_JSON),
        _send(server, "POST /verify", chunked, Content_Type=_JSON, Content_Length="", Transfer_Encoding="chunked"),
        _send(server, "POST /verify?x=1", _verify(new_id()), Content_Type=_JSON),
        _send(server, "POST /verify", _verify("../../etc/passwd"), Content_Type=_JSON),
        _send(server, "POST /verify", Content_Type=_JSON, Content_Length="0"),
        *(_send(server, "POST /verify", body, Content_Type=_JSON) for body in (b"{", b"[]", b'{"id": "x"}', b"\xff")),
        _send(server, "POST /verify", _verify(new_id()), Content_Type=_FORM),
        _send(server, "POST /verify", _verify(new_id()), Content_Type=f"{_JSON}; charset=utf-7"),
        _send(server, "POST /verify", b"x" * 5000, Content_Type=_JSON),
        _send(server, "GET /verify"),
        *(_send(server, "POST /siteverify", redeem, Content_Type=_FORM) for _ in range(2)),
        _send(server, "POST /siteverify", json.dumps({"secret": Site.SECRET, "response": "x"}).encode()),
        _send(server, "POST /recaptcha/api/siteverify", b"secret=wrong&response=x", Content_Type=_FORM),
        _send(server, "POST /turnstile/v0/siteverify", b"secret=wrong", Content_Type=_FORM),
        *(_send(server, "POST /siteverify", body, Content_Type=_JSON) for body in (b"{", b"x" * 40_000)),
        _send(server, "GET /siteverify"),
    ]
    with database.transaction(pool.engine) as connection:
        for table in ("captcha", "token"):
            connection.execute(text(f"ALTER TABLE {table} RENAME TO {table}_elsewhere"))
    noted += [
        _send(server, f"GET /{ids[0]}"),
        _send(server, f"GET /{new_id()}"),
        _send(server, "POST /verify", _verify(new_id()), Content_Type=_JSON),
        _send(server, "POST /siteverify", redeem, Content_Type=_FORM),
    ]
    with database.transaction(pool.engine) as connection:
        for table in ("captcha", "token"):
            connection.execute(text(f"ALTER TABLE {table}_elsewhere RENAME TO {table}"))
    for path in ("/generate", "/challenge"):
        while (answer := _send(server, f"GET {path}")).startswith(b"HTTP/1.1 200"):
            noted += [] if answer in noted else [answer]  # how many there are depends on the buffers
        noted.append(answer)
    return noted + [_send(server, "POST /verify", _verify(new_id()), Content_Type=_JSON) for _ in range(10)]


def _lines(server: Server) -> list[dict[str, object]]:
    kept = ("event", "method", "path", "status", "captcha", "result", "action", "reason", "key", "level", "request_id")
    lines = [{name: line.get(name) for name in kept} for line in server.logged() if line.get("request_id") == "mine"]
    text_of_lines = re.sub(r"[0-9a-fA-F]{32}", "ID", json.dumps(lines))
    return [line for line in json.loads(text_of_lines) if line["path"] not in ("/generate", "/challenge")]


def _counts(server: Server) -> set[str]:
    lines = server.get("/metrics").text.splitlines()
    names = ("gantcha_request_seconds_count", "gantcha_answers", "gantcha_redeemed", "gantcha_empty", "gantcha_limited")
    counts = {line for line in lines if line.startswith(names)}
    taken = ('route="/generate",status="200"', 'route="/challenge",status="200"', "/healthz")
    return {line for line in counts if not any(one in line for one in taken)}


def test_every_answer_is_the_one_of_fastapi(sqlite_settings: dict[str, object], tmp_path: Path) -> None:
    settings = sqlite_settings | {"SITE_SECRET": Site.SECRET, "CORS_ORIGINS": _ORIGIN}
    settings |= {"ANSWER_LIMIT": "20/hour", "ISSUE_LIMIT": "1000/hour"}
    pool = Pool.open(Settings(database_url=str(settings["DATABASE_URL"]), files_dir=settings["FILES_DIR"]))
    noted, logged, counted = [], [], []
    fast, slow = running_server(settings), _slow_server(settings, tmp_path / "slow.log")
    for running in (fast, slow):
        with running as server:
            pool.add([Drawn("abc234", a_png())] * 60, PLAIN)
            shown, expired = pool.pop(2, stock=PLAIN)
            with database.transaction(pool.engine) as connection:
                past = update(captcha).where(captcha.c.id == expired.id)
                connection.execute(past.values(expires_at=captcha.c.issued_at))
                connection.execute(delete(counter))  # or the second server would find the first one's
            noted.append(_journey(server, pool, [shown.id, expired.id]))
            counted.append(_counts(server))
            server.stop()
            logged.append(_lines(server))
    pool.engine.dispose()
    for fast_answer, slow_answer in zip(*noted, strict=True):
        assert fast_answer == slow_answer
    statuses = {answer.split()[1] for answer in noted[0]}
    assert statuses >= {b"200", b"400", b"403", b"404", b"405", b"410", b"413", b"415", b"422", b"429", b"503"}
    assert logged[0] == logged[1]
    assert counted[0] == counted[1]

"""What is left of a visitor: nothing that tells who it was, in the database, in the files, and in the logs as set."""

import hashlib
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from sqlalchemy import MetaData, select

from pool import database
from pool.errors import DatabaseError
from pool.models import Stock, captcha, token
from pool.pool import Drawn, Pool
from pool.tokens import Purpose, issue
from server.addresses import network_of
from tests.conftest import PLAIN, ROOT, Server, Site, a_png, answers, environment, free_port, ids_in, wait_until
from tests.support.programs import missing

Serve = Callable[..., Server]
CODE, TYPED = "djkmpw", "typed-wrongly"
ADDRESSES = ("203.0.113.77", "2001:db8:aaaa:bbbb::77")
NETWORK = "2001:db8:aaaa:bbbb::/64"  # what limits count of the second
SENT = {
    "User-Agent": "browser-of-the-visitor",
    "Cookie": "session=cookie-of-the-visitor",
    "Referer": "https://www.shop.example/path-of-the-page?query-of-the-page",
    "Accept-Language": "de, language-of-the-visitor",
    "Origin": "https://www.shop.example",
}
NEVER_KEPT = ("browser-of-", "cookie-of-", "path-of-", "query-of-", "language-of-", TYPED, Site.SECRET)
CLIENTS = {
    "full": {*ADDRESSES, NETWORK, "127.0.0.1"},
    "network": {"203.0.113.0/24", "2001:db8:aaaa::/48", "127.0.0.0/24"},
    "none": set(),
}
NOT_LOGGED = {"full": (), "network": ("203.0.113.77", "bbbb"), "none": ("203.0.113", "2001:db8")}


class Visitor:
    """A browser at an address, whose answers set no cookie."""

    def __init__(self, server: Server, pool: Pool, address: str) -> None:
        self._server, self._pool = server, pool
        self._session = requests.Session()
        self._session.headers.update(SENT | {"X-Forwarded-For": address})
        self.tokens: list[str] = []

    def ask(self, method: str, path: str, **options: object) -> requests.Response:
        answer = self._session.request(method, self._server.url + path, timeout=30, **options)  # type: ignore[arg-type] # passed on as given
        assert "Set-Cookie" not in answer.headers
        return answer

    def challenge(self) -> str:
        answer = self.ask("GET", "/challenge")
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])

    def is_hard(self, file_id: str) -> bool:
        with database.transaction(self._pool.engine) as connection:
            found = connection.execute(select(captcha.c.difficulty).where(captcha.c.id == file_id)).scalar_one()
        return bool(found == "hard")

    def journey(self) -> str:
        """Do all that visitors can; give the id of a captcha."""
        for _ in range(4):
            answered = self.ask("POST", "/verify", json={"id": self.challenge(), "answer": TYPED})
            assert answered.json()["reason"] == "wrong"
        file_id = self.challenge()
        assert self.is_hard(file_id)  # as there is doubt
        assert self.ask("GET", f"/{file_id}").status_code == 200
        assert self.ask("GET", f"/{file_id}.wav").status_code == (501 if missing("espeak-ng") else 200)
        right = {"id": file_id, "answer": CODE, "action": "login", "cdata": "what-the-page-gave"}
        self.tokens.append(self.ask("POST", "/verify", json=right).json()["token"])
        assert self.ask("POST", "/token", json={"token": self.tokens[-1]}).ok
        assert self._redeem() == "www.shop.example"
        self._go_without_javascript()
        while (status := self.ask("GET", "/challenge").status_code) == 200:
            pass
        assert status == 429
        return file_id

    def _redeem(self) -> str:
        parts = {"secret": (None, Site.SECRET), "response": (None, self.tokens[-1])}
        redeemed = self.ask("POST", "/siteverify", files=parts).json()
        assert redeemed["success"]
        return str(redeemed["hostname"])

    def _go_without_javascript(self) -> None:
        page = self.ask("GET", "/plain?cdata=query-of-the-page")
        for answer in (TYPED, CODE):
            assert page.status_code == 200, page.text
            sent = {"id": ids_in(page.text)[0], "answer": answer}
            page = self.ask("POST", "/plain", data=sent)
        (text,) = re.findall(r"[\w-]{43}", page.text)
        self.tokens.append(text)
        assert self._redeem() == "127.0.0.1"  # where that page is


def _rows(pool: Pool) -> str:
    """All that the database holds, as text; tables too that the code does not name."""
    tables = MetaData()
    tables.reflect(pool.engine)
    with database.transaction(pool.engine) as connection:
        return "\n".join(
            f"{table.name} {tuple(row)}" for table in tables.sorted_tables for row in connection.execute(select(table))
        )


def _hashes(address: str) -> list[str]:
    """What anyone can compute of an address."""
    plain = [hashlib.new(name, address.encode()).hexdigest() for name in ("md5", "sha1", "sha256")]
    return [*plain, hashlib.blake2b(address.encode(), digest_size=16).hexdigest()]


@pytest.mark.parametrize(
    ("backend", "mode"), [("sqlite", "full"), ("postgresql", "network"), ("sqlite", "none")], indirect=["backend"]
)
def test_a_journey_leaves_nothing_that_tells_who_it_was(
    pool: Pool, settings: dict[str, object], serve: Serve, tmp_path: Path, mode: str
) -> None:
    """Even where lines for debugging are logged."""
    for stock in (PLAIN, Stock("plain", "hard")):
        pool.add([Drawn(CODE, a_png())] * 100, stock)
    own = {"TRUSTED_PROXIES": "127.0.0.0/8", "SITE_SECRET": Site.SECRET, "DOUBT": "true", "ISSUE_LIMIT": "20/minute"}
    server = serve(settings | own | {"LOG_ADDRESSES": mode, "LOG_LEVEL": "debug"})
    visitors = [Visitor(server, pool, address) for address in ADDRESSES]
    seen = [visitor.journey() for visitor in visitors]
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))) as connection:
        connection.sendall(b"no request\r\n\r\n")
        assert b" 400 " in connection.recv(1000)
    log, rows = server.stop(), _rows(pool)
    tokens = [text for visitor in visitors for text in visitor.tokens]
    assert len(tokens) == 4

    assert all(shown in rows for shown in ("www.shop.example", "what-the-page-gave", CODE, *seen, "\ncounter "))
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".log"]
    assert files
    kept = rows + "".join(path.read_bytes().decode("latin-1") for path in files)
    addresses = [*NOT_LOGGED["none"], "2001:0db8", socket.inet_aton(ADDRESSES[0]).hex()]
    hashes = [found for address in (*ADDRESSES, NETWORK) for found in _hashes(address)]
    assert [text for text in (*NEVER_KEPT, *addresses, *hashes, *tokens) if text in kept] == []

    lines = server.logged()
    events = {line["event"] for line in lines}
    assert {"request", "challenge", "answer", "a client is limited", "connection rejected"} <= events
    assert any(line.get("doubt") == "wrong" for line in lines)
    assert all(file_id in log for file_id in seen)
    assert {line["client"] for line in lines if "client" in line} == CLIENTS[mode]
    assert [text for text in (*NEVER_KEPT, *NOT_LOGGED[mode], CODE, "what-the-page-gave", *tokens) if text in log] == []


@pytest.mark.parametrize(
    ("client", "network"),
    [
        ("203.0.113.77", "203.0.113.0/24"),
        (ADDRESSES[1], "2001:db8:aaaa::/48"),
        (NETWORK, "2001:db8:aaaa::/48"),
        ("fe80::1%eth0", "fe80::/48"),
        ("unix", "unix"),
        ("203.0.113.77:none", None),
        ("visitor-7", None),
    ],
)
def test_the_network_of_what_a_proxy_names(client: str, network: str | None) -> None:
    assert network_of(client) == network


def test_without_lines_of_requests_the_others_stay(sqlite_settings: dict[str, object], serve: Serve) -> None:
    server = serve(sqlite_settings | {"ACCESS_LOG": "false"})
    answer = server.post("/verify", json={"id": "0" * 32, "answer": TYPED}, headers={"X-Request-ID": "mine"})
    assert answer.headers["X-Request-ID"] == "mine"
    assert 'route="/verify",status="200"' in server.get("/metrics").text
    events = {line["event"]: line for line in server.logged()}
    assert "request" not in events
    assert events["answer"]["request_id"] == "mine"
    assert events["answer"]["level"] == "info"


@pytest.mark.parametrize("words", [("server",), ("uvicorn", "server.app:application")])
def test_below_the_level_nothing_is_logged(
    sqlite_settings: dict[str, object], tmp_path: Path, words: tuple[str, ...]
) -> None:
    """By uvicorn's own command too, which has a level of its own."""
    port, log = free_port(), tmp_path / "log"
    command = [sys.executable, "-m", *words, "--port", str(port)]
    variables = environment(sqlite_settings | {"LOG_LEVEL": "warning"})
    with open(log, "w") as file:
        process = subprocess.Popen(command, cwd=ROOT, env=variables, stdout=file, stderr=file)
    server = Server(process, f"http://127.0.0.1:{port}", log)
    try:
        wait_until(lambda: answers(f"{server.url}/healthz"), "the server to answer")
        server.get("/challenge", headers={"Origin": "https://www.shop.example"})
    finally:
        server.stop()
    lines = server.logged()
    assert any(line["event"].startswith("a page of another origin") for line in lines)
    assert {line["level"] for line in lines} <= {"warning", "error"}


def test_lines_for_debugging_say_what_the_schedule_sees(sqlite_settings: dict[str, object], serve: Serve) -> None:
    server = serve(sqlite_settings | {"TARGET": 1, "LOG_LEVEL": "debug"})
    wait_until(lambda: "ready captchas: {'plain (standard)': 0}" in server.printed(), "the first check")


def test_an_error_of_the_database_shows_no_values(pool: Pool) -> None:
    with database.transaction(pool.engine) as connection:
        token.drop(connection)
    purpose = Purpose("www.shop.example", cdata="what-the-page-gave")
    with pytest.raises(DatabaseError) as caught, database.transaction(pool.engine) as connection:
        issue(connection, [(purpose, "picture")])
    shown = f"{caught.value} {caught.value.__cause__}"
    assert "INSERT INTO token" in shown
    assert not any(value in shown for value in purpose if value)

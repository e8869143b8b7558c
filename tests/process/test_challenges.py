"""A site's way: challenge, one try, token, siteverify; asked of a real server."""

import asyncio
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import insert, update

from pool import database
from pool.models import State, captcha, token
from pool.pool import Drawn
from pool.storage.files import new_id
from tests.conftest import PLAIN, Server, Site, a_png, running_site, wait_until
from tests.support.load import ids_in_state


def counted(server: Server, name: str, /, **labels: str) -> float:
    """A sample of `/metrics`."""
    families = text_string_to_metric_families(server.get("/metrics").text)
    samples = [sample for family in families for sample in family.samples]
    return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())


def test_a_solved_challenge_passes_once(site: Site) -> None:
    file_id, code = site.challenge()
    verified = site.answer(file_id, code.upper(), headers={"Origin": "https://www.example.com"})
    assert verified["success"]
    assert verified["reason"] is None
    answer = site.siteverify(verified["token"], remoteip="203.0.113.9")
    assert answer["success"]
    assert answer["hostname"] == "www.example.com"
    assert answer["error-codes"] == []
    solved_at = datetime.strptime(answer["challenge_ts"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert abs(datetime.now(UTC) - solved_at) < timedelta(minutes=1)
    again = site.siteverify(verified["token"])
    assert again == {
        "success": False,
        "challenge_ts": None,
        "hostname": None,
        "error-codes": ["timeout-or-duplicate"],
    }


@pytest.mark.parametrize(
    ("headers", "hostname"),
    [({}, "127.0.0.1"), ({"Origin": "http://shop.example:8080"}, "shop.example"), ({"Origin": "null"}, "")],
)
def test_a_page_without_a_name_is_not_given_ours(site: Site, headers: dict[str, str], hostname: str) -> None:
    token = site.answer(*site.challenge(), headers=headers)["token"]
    assert site.siteverify(token)["hostname"] == hostname


def test_a_challenge_shows_a_picture_and_no_code(site: Site) -> None:
    answer = site.server.get("/challenge")
    challenge = answer.json()
    assert set(challenge) == {
        "id",
        "fileURL",
        "pixel_ratio",
        "kind",
        "prompt",
        "audioURL",
        "expires_at",
        "expires_in",
        "work",
        "alternative",
    }
    assert 590 <= challenge["expires_in"] <= 640
    assert answer.headers["cache-control"] == "no-store"
    assert site.code(challenge["id"]) not in answer.text + str(answer.headers)
    picture = requests.get(challenge["fileURL"], timeout=10)
    assert picture.headers["content-type"] == "image/png"


def test_a_token_is_open_until_it_is_redeemed_and_asking_redeems_nothing(site: Site) -> None:
    def is_open(token: object) -> object:
        answer = site.server.post("/token", json={"token": token})
        return answer.json()["open"] if answer.ok else answer.status_code

    token, other = site.token(), site.token()
    assert [is_open(one) for one in (token, token, other, "made up", "x" * 5000, 7)] == [
        True,
        True,
        True,
        False,
        413,
        422,
    ]
    assert site.siteverify(token)["success"]
    assert [is_open(token), is_open(other)] == [False, True]


def test_one_try_right_or_wrong(site: Site) -> None:
    file_id, code = site.challenge()
    assert site.answer(file_id, "nothing") == {"success": False, "token": None, "reason": "wrong"}
    assert site.answer(file_id, code) == {"success": False, "token": None, "reason": "expired"}
    file_id, code = site.challenge()
    assert site.answer(file_id, code)["success"]
    assert site.answer(file_id, code)["reason"] == "expired"


def test_what_can_t_be_answered_is_all_the_same(site: Site) -> None:
    generated = site.server.get("/generate").json()
    late, code = site.challenge()
    with database.transaction(site.pool.engine) as connection:
        connection.execute(update(captcha).where(captcha.c.id == late).values(expires_at=datetime.now(UTC)))
    tries = [
        (generated["id"], generated["code"]),
        (late, code),
        (new_id(), code),
        ("../../etc/passwd", code),
        ("\0", ""),
    ]
    for file_id, answer in tries:
        assert site.answer(file_id, answer) == {"success": False, "token": None, "reason": "expired"}


def test_siteverify_takes_every_kind_of_body(site: Site) -> None:
    url = site.server.url
    for path in ("/siteverify", "/recaptcha/api/siteverify", "/turnstile/v0/siteverify"):
        for as_sent in (
            lambda fields: {"data": fields},
            lambda fields: {"json": fields},
            lambda fields: {"files": {name: (None, value) for name, value in fields.items()}},
            lambda fields: {"data": json.dumps(fields)},
        ):
            sent = as_sent({"secret": Site.SECRET, "response": site.token()})
            answer = requests.post(url + path, timeout=10, **sent)
            assert answer.status_code == 200
            assert answer.json()["success"], answer.text


@pytest.mark.parametrize(
    ("fields", "codes"),
    [
        ({}, ["missing-input-secret", "missing-input-response"]),
        ({"secret": Site.SECRET}, ["missing-input-response"]),
        ({"response": "x"}, ["missing-input-secret"]),
        ({"secret": "not-the-secret-at-all", "response": "x"}, ["invalid-input-secret"]),
        ({"secret": "пароль", "response": "x"}, ["invalid-input-secret"]),
        ({"secret": Site.SECRET, "response": "x" * 4000}, ["invalid-input-response"]),
        ({"secret": Site.SECRET, "response": "x", "idempotency_key": "no uuid"}, ["bad-request"]),
    ],
)
def test_siteverify_says_no_with_the_usual_words(site: Site, fields: dict[str, str], codes: list[str]) -> None:
    for sent in ({"data": fields}, {"json": fields}):
        answer = site.server.post("/siteverify", **sent)
        assert answer.status_code == 200
        assert answer.json() == {"success": False, "challenge_ts": None, "hostname": None, "error-codes": codes}


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"{", "application/json"),
        (b'{"secret": 5}', "application/json"),
        (b'{"secret": "\\ud800", "response": "x"}', "application/json"),
        (b'{"secret":' * 50_000, "application/json"),
        (b"\xff\xfe", "application/x-www-form-urlencoded"),
        (b"x", "multipart/form-data"),
    ],
)
def test_a_broken_body_is_a_bad_request(site: Site, body: bytes, content_type: str) -> None:
    answer = site.server.post("/siteverify", data=body, headers={"Content-Type": content_type})
    assert answer.status_code == 200
    assert answer.json()["error-codes"] == ["bad-request"]


def test_a_wrong_secret_does_not_spend_the_token(site: Site) -> None:
    text = site.token()
    assert site.siteverify(text, secret="not-the-secret-at-all")["error-codes"] == ["invalid-input-secret"]
    assert site.siteverify(text)["success"]


def test_a_key_makes_siteverify_repeatable(site: Site) -> None:
    text, key = site.token(), str(uuid4())
    first = site.siteverify(text, idempotency_key=key)
    assert first["success"]
    assert site.siteverify(text, idempotency_key=key.upper()) == first
    assert site.siteverify(text, idempotency_key=str(uuid4()))["error-codes"] == ["timeout-or-duplicate"]


def test_an_expired_token_is_refused(site: Site) -> None:
    text = site.token()
    with database.transaction(site.pool.engine) as connection:
        connection.execute(update(token).values(expires_at=datetime.now(UTC)))
    assert site.siteverify(text)["error-codes"] == ["timeout-or-duplicate"]


def test_of_a_thousand_parallel_right_answers_one_passes(settings: dict[str, object]) -> None:
    with running_site(settings) as site:
        site.pool.add([Drawn("abc234", a_png())], PLAIN)
        file_id, code = site.challenge()
        body = json.dumps({"id": file_id, "answer": code}).encode()
        address = urlsplit(site.server.url)
        request = (
            f"POST /verify HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        ).encode() + body

        async def answer(gate: asyncio.Barrier) -> bytes:
            reader, writer = await asyncio.open_connection(address.hostname, address.port)
            await gate.wait()
            writer.write(request)
            answered = await reader.read()
            writer.close()
            return answered

        async def all_at_once() -> list[bytes]:
            gate = asyncio.Barrier(1000)
            return await asyncio.gather(*(answer(gate) for _ in range(1000)))

        answers = asyncio.run(all_at_once())
        assert Counter(answered.split()[1] for answered in answers) == {b"200": 1000}
        assert sum(b'"success":true' in answered for answered in answers) == 1
        assert counted(site.server, "gantcha_answers_total", result="solved") == 1
        assert counted(site.server, "gantcha_answers_total", result="unknown") == 999


def test_thousands_of_wrong_guesses_are_limited_logged_and_counted(sqlite_settings: dict[str, object]) -> None:
    with running_site(sqlite_settings | {"ANSWER_LIMIT": "100/hour"}) as site:
        now = datetime.now(UTC)
        issued = {"code": "abc234", "state": State.ISSUED, "redeemable": True, "created_at": now, "issued_at": now}
        rows = [{"id": new_id(), "expires_at": now + timedelta(hours=1)} | issued for _ in range(4000)]
        with database.transaction(site.pool.engine) as connection:
            connection.execute(insert(captcha), rows)

        def guess_some(first: int) -> list[tuple[int, str]]:
            answers = []
            # `requests` would take five times as long as the server.
            with closing(HTTPConnection(site.server.url.removeprefix("http://"), timeout=30)) as connection:
                for number in range(first, 4000, 4):
                    guess = json.dumps({"id": rows[number]["id"], "answer": "nothing"})
                    connection.request("POST", "/verify", guess, {"Content-Type": "application/json"})
                    answer = connection.getresponse()
                    answer.read()
                    answers.append((answer.status, answer.headers.get("retry-after", "")))
            return answers

        with ThreadPoolExecutor(4) as threads:
            answers = [answer for some in threads.map(guess_some, range(4)) for answer in some]
        assert Counter(status for status, _ in answers) == {200: 100, 429: 3_900}
        assert all(0 < int(wait) <= 2 * 3600 for status, wait in answers if status == 429)
        assert len(ids_in_state(site.pool.engine, State.FAILED)) == 100
        assert counted(site.server, "gantcha_answers_total", result="failed") == 100
        assert counted(site.server, "gantcha_limited_total", action="answer") == 3_900
        wait_until(lambda: site.server.printed().count('"status":429') == 3_900, "the last line of the log")
        limited = [line for line in site.server.logged() if line["event"] == "a client is limited"]
        assert 1 <= len(limited) <= 3  # a line a minute, whatever comes
        assert {(line["action"], line["client"]) for line in limited} == {("answer", "127.0.0.1")}

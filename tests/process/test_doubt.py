"""Doubt: who gets a harder challenge, who does not, and for how long."""

import logging
from collections.abc import Callable

import numpy as np
import pytest
from sqlalchemy import select

from benchmarks.strength.doubt import Hour, Scenario, Success
from pool import database
from pool.counters import Counters
from pool.filling.stocks import kept_stocks
from pool.models import Stock, captcha
from pool.pool import Pool
from pool.settings import Settings
from server.access.doubt import Doubt, Reason, doubt_address, doubt_site
from tests.conftest import DENSE, PLAIN, Server, drawn, own_refill, wait_until
from tests.process.test_challenges import counted
from tests.process.test_counters import Clock

HARD = Stock("plain", "hard")
ON: dict[str, object] = {"DOUBT": "true", "TRUSTED_PROXIES": "127.0.0.0/8"}


@pytest.mark.parametrize(
    ("answers", "wrong", "fast", "reason"),
    [
        (0, 0, 0, None),
        (3, 3, 0, None),
        (4, 4, 0, Reason.WRONG),
        (8, 4, 0, None),
        (20, 2, 0, None),
        (21, 2, 0, Reason.MANY),
        (3, 0, 2, None),
        (3, 0, 3, Reason.FAST),
    ],
)
def test_an_address_is_judged_by_its_answers(answers: int, wrong: int, fast: int, reason: Reason | None) -> None:
    assert doubt_address(answers, wrong, fast) == reason


@pytest.mark.parametrize(
    ("answers", "wrong", "reason"), [(29, 29, None), (30, 18, None), (30, 19, Reason.SITE), (1000, 300, None)]
)
def test_a_site_is_judged_by_the_answers_of_its_visitors(answers: int, wrong: int, reason: Reason | None) -> None:
    assert doubt_site(answers, wrong) == reason


def test_the_next_difficulty_is_kept_for_doubt() -> None:
    easy = Settings(difficulty="easy", challenge_kind="crossed-out")
    assert kept_stocks(easy).in_doubt == (Stock("crossed-out", "standard", 2),)
    assert kept_stocks(Settings(difficulty="hard")).in_doubt == ()
    assert kept_stocks(Settings(doubt=False)).in_doubt == ()
    assert kept_stocks(Settings()).all == (PLAIN, DENSE, Stock("plain", "hard", 2))


class Visits:
    """Answers on a simulated clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.doubt = Doubt(Counters(self.clock), self.clock)
        self._number = 0

    def answer(
        self,
        address: str,
        *,
        right: bool,
        seconds: float = 5,
        site: str = "a.example",
        asked: str = "",
        asked_from: str = "",
    ) -> None:
        self._number += 1
        self.doubt.note_challenge(str(self._number), asked_from or address, asked or site)
        self.clock.now += seconds
        self.doubt.note_answer(str(self._number), address, site, is_right=right)


def test_doubt_ends_by_itself() -> None:
    visits = Visits()
    for _ in range(4):
        visits.answer("one", right=False)
    assert visits.doubt.reason("one", "") is Reason.WRONG
    assert visits.doubt.reason("another", "") is None
    visits.clock.now += 600
    assert visits.doubt.reason("one", "") is None


def test_right_answers_end_doubt_sooner() -> None:
    visits = Visits()
    for right in (False, False, False, False, True, True, True, True):
        visits.answer("one", right=right)
    assert visits.doubt.reason("one", "") is None


def test_answers_sooner_than_anyone_types() -> None:
    visits = Visits()
    for _ in range(5):
        visits.answer("slow", right=True, seconds=2)
    for _ in range(3):
        visits.answer("fast", right=True, seconds=1)
    visits.doubt.note_answer("handed out by another process", "slow", "", is_right=True)
    assert visits.doubt.reason("slow", "") is None
    assert visits.doubt.reason("fast", "") is Reason.FAST


def test_who_asks_from_one_address_and_answers_from_another_is_in_doubt_at_both() -> None:
    visits = Visits()
    for number in range(4):
        visits.answer(f"answers {number}", right=False, asked_from="asks")
    assert visits.doubt.reason("asks", "") is Reason.WRONG
    assert visits.doubt.reason("answers 0", "") is None


def test_one_address_does_not_bring_a_site_into_doubt_but_many_do() -> None:
    visits = Visits()
    for _ in range(100):
        visits.answer("one", right=False, seconds=2)
    assert visits.doubt.reason("a visitor", "a.example") is None
    for number in range(40):
        visits.answer(f"address {number}", right=False, seconds=2)
    assert visits.doubt.reason("a visitor", "a.example") is Reason.SITE
    assert visits.doubt.reason("a visitor", "b.example") is None
    visits.clock.now += 600
    assert visits.doubt.reason("a visitor", "a.example") is None


def test_who_asks_in_another_site_s_name_makes_it_harder_for_nobody() -> None:
    visits = Visits()
    for number in range(100):
        visits.answer(f"address {number}", right=False, seconds=2, asked="b.example")
    assert visits.doubt.reason("a visitor", "a.example") is None
    assert visits.doubt.reason("a visitor", "b.example") is None


def test_in_the_simulation_doubt_costs_the_attacker_and_nobody_else() -> None:
    scenario = Scenario("one attacker", ("198.51.100.1",))
    person, solver = Success(0.88, 0.58), Success(0.16, 0.06)
    without, with_doubt = (
        Hour(scenario, person, solver, np.random.default_rng(1)).run(with_doubt=doubted) for doubted in (False, True)
    )
    assert without.stolen > 200
    assert with_doubt.stolen < without.stolen / 2
    assert without.annoyed == 0
    assert with_doubt.annoyed + with_doubt.gave_up <= 2


def _challenge(pool: Pool, server: Server, address: str) -> tuple[str, str]:
    """Ask for a challenge; return its id and its difficulty, which only the database knows."""
    answer = server.get("/challenge", headers={"X-Forwarded-For": address})
    assert answer.ok, answer.text
    file_id = answer.json()["id"]
    with database.transaction(pool.engine) as connection:
        return file_id, connection.execute(select(captcha.c.difficulty).where(captcha.c.id == file_id)).scalar_one()


def _fail(pool: Pool, server: Server, address: str) -> None:
    assert _judge(server, address, _challenge(pool, server, address)[0]) == "wrong"


def _judge(server: Server, address: str, file_id: str) -> str:
    """Send a wrong answer; return why it failed."""
    sent = {"id": file_id, "answer": "nothing"}
    return str(server.post("/verify", json=sent, headers={"X-Forwarded-For": address}).json()["reason"])


def test_wrong_answers_raise_the_difficulty_on_every_server(
    pool: Pool, settings: dict[str, object], serve: Callable[..., Server]
) -> None:
    for stock in (PLAIN, HARD):
        pool.add(drawn(200), stock)
    one, other = serve(settings | ON), serve(settings | ON)
    for server in (one, other):
        assert _challenge(pool, server, "203.0.113.1")[1] == "standard"
    for _ in range(5):
        _fail(pool, one, "203.0.113.1")
    assert _challenge(pool, one, "203.0.113.1")[1] == "hard"
    wait_until(lambda: _challenge(pool, other, "203.0.113.1")[1] == "hard", "the other server to know")
    for server in (one, other):
        assert _challenge(pool, server, "203.0.113.2")[1] == "standard"


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_usual_stocks_are_refilled_first(
    pool: Pool, settings: dict[str, object], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pool.add(drawn(10), PLAIN)  # not the emptiest
    caplog.set_level(logging.INFO, "server.refill")
    with own_refill(settings | {"DOUBT": "true"}, monkeypatch) as refill:
        refill.start()
        wait_until(lambda: pool.level(HARD) >= 40, "the refill of both")
    assert pool.level(PLAIN) >= 40
    begun = [message.partition(":")[0] for message in caplog.messages if message.startswith("refill of")]
    assert begun == ["refill of plain (standard)", "refill of plain (hard)"]


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_doubt_is_counted(pool: Pool, settings: dict[str, object], serve: Callable[..., Server]) -> None:
    for stock in (PLAIN, HARD):
        pool.add(drawn(200), stock)
    server = serve(settings | {"DOUBT": "true"})
    for _ in range(5):
        _fail(pool, server, "ignored without a trusted proxy")
    _challenge(pool, server, "likewise")
    issued = {name: counted(server, "gantcha_challenges_total", difficulty=name) for name in ("standard", "hard")}
    assert sum(issued.values()) == counted(server, "gantcha_issued_total", route="challenge") == 6
    assert issued["hard"] >= 1
    assert counted(server, "gantcha_doubted_total") == 1
    assert counted(server, "gantcha_doubted_total", reason=Reason.SITE) == 0


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_without_harder_ones_the_usual_are_handed_out(
    pool: Pool, settings: dict[str, object], serve: Callable[..., Server]
) -> None:
    pool.add(drawn(200), PLAIN)
    server = serve(settings | ON | {"API_KEY": "a-key-of-sixteen-or-more"})
    for _ in range(5):
        _fail(pool, server, "203.0.113.1")
    assert _challenge(pool, server, "203.0.113.1")[1] == "standard"
    readiness = server.get("/readyz", headers={"Authorization": "Bearer a-key-of-sixteen-or-more"})
    assert readiness.ok
    assert readiness.json()["warnings"] == ["the pool has no plain (hard) captchas for visitors in doubt"]
    assert readiness.json()["stocks"][1]["level"] == 0
    pool.add(drawn(200), HARD)
    assert _challenge(pool, server, "203.0.113.1")[1] == "hard"
    wait_until(lambda: server.get("/readyz").json()["warnings"] == [], "the next check")


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_harder_ones_beyond_a_reserve_are_better_than_none(
    pool: Pool, settings: dict[str, object], serve: Callable[..., Server]
) -> None:
    """And who gets none has that not counted."""
    pool.add(drawn(100), HARD)
    server = serve(settings | ON | {"LOW_WATER": 20, "ISSUE_LIMIT": "110/day"})
    answers = [server.get("/challenge").status_code for _ in range(150)]
    assert 75 <= answers.count(200) <= 100
    assert answers == sorted(answers)
    assert set(answers) == {200, 503}
    assert pool.level(HARD) > 0  # for visitors in doubt
    pool.add(drawn(200), PLAIN)
    wait_until(lambda: server.get("/challenge").ok, "the buffer to notice")
    answers += [server.get("/challenge").status_code for _ in range(40)]
    assert answers[-1] == 429
    assert 100 <= answers.count(200) <= 110


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_what_is_filled_for_doubt_keeps_nobody_else_waiting(
    pool: Pool, settings: dict[str, object], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("server.refill._SLICE", 10)
    pool.add(drawn(40), PLAIN)
    caplog.set_level(logging.INFO, "server.refill")
    with own_refill(settings | {"DOUBT": "true"}, monkeypatch) as refill:
        refill.start()
        wait_until(lambda: bool(caplog.messages), "the fill for doubt")
        pool.pop(30, stock=PLAIN)
        wait_until(lambda: pool.level(HARD) >= 40, "the refill of both")
    begun = [message.partition(":")[0] for message in caplog.messages if message.startswith("refill of")]
    assert begun[0] == begun[-1] == "refill of plain (hard)"
    assert begun.count("refill of plain (standard)") == 1
    assert pool.level(PLAIN) >= 40


def test_who_comes_into_doubt_can_t_use_what_was_asked_for_before(
    pool: Pool, settings: dict[str, object], serve: Callable[..., Server]
) -> None:
    """From whatever address; but while there are no harder ones, the usual ones count."""
    pool.add(drawn(200), PLAIN)
    server = serve(settings | ON)
    asker, another = "203.0.113.1", "203.0.113.2"
    kept = [_challenge(pool, server, asker)[0] for _ in range(20)]
    for _ in range(4):
        _fail(pool, server, asker)
    assert _judge(server, asker, kept.pop()) == "wrong"
    pool.add(drawn(200), HARD)
    wait_until(lambda: _judge(server, asker, kept.pop()) == "expired", "the harder ones to be counted")
    assert _judge(server, another, kept.pop()) == "expired"
    assert _judge(server, another, _challenge(pool, server, another)[0]) == "wrong"

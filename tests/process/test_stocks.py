"""Captchas of two kinds in one pool: each is popped, refilled, shown and reported for itself."""

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from batch.fill import to_pool
from batch.workers import Workers, on_this_machine
from gantcha.drawing.look import Look
from pool.filling.stocks import kept_stocks
from pool.models import Stock
from pool.pool import Drawn, Pool
from pool.settings import Settings
from server.refill import Refill
from tests.conftest import CROSSED_OUT, DENSE, PLAIN, Server, a_png, drawn, own_refill, run, running_site, wait_until
from tests.process.test_challenges import counted

BOTH_KINDS: dict[str, object] = {"KIND": "plain", "CHALLENGE_KIND": "crossed-out"}
ASKS = {PLAIN: "Type the characters.", CROSSED_OUT: "Type the characters not crossed out by two strokes."}


def test_each_route_has_a_stock_and_both_share_one_of_the_same_kind_and_density() -> None:
    dense, own = Stock("crossed-out", "standard", 2), Settings(challenge_kind="crossed-out", doubt=False)
    assert kept_stocks(own).all == (PLAIN, dense)
    assert kept_stocks(own.model_copy(update={"pixel_ratio": 1})).all == (PLAIN, CROSSED_OUT)
    assert kept_stocks(own.model_copy(update={"generate": False})).all == (dense,)
    assert kept_stocks(Settings(difficulty="hard", pixel_ratio=1)).all == (Stock("plain", "hard"),)


def test_a_stock_has_its_own_level_and_demand(pool: Pool) -> None:
    hard = Stock("plain", "hard")
    for number, stock in enumerate((PLAIN, CROSSED_OUT, hard), 1):
        pool.add(drawn(10 * number), stock)
    (popped,) = pool.pop(stock=CROSSED_OUT)
    assert popped.stock == CROSSED_OUT
    assert pool.levels() == {PLAIN: 10, CROSSED_OUT: 19, hard: 30}
    assert [pool.demand(stock) for stock in (PLAIN, CROSSED_OUT, hard)] == [0, pytest.approx(1 / 60), 0]
    pool.give_back([popped])
    assert pool.level(CROSSED_OUT) == 20


def test_pops_of_one_stock_never_give_another_however_many_run(pool: Pool) -> None:
    stocks = [PLAIN, CROSSED_OUT, Stock("crossed-out", "hard")]
    for digit, stock in enumerate(stocks):
        pool.add([Drawn(f"{digit}{number:05d}", b"") for number in range(400)], stock)

    def pop_all(stock: Stock) -> list[str]:
        codes: list[str] = []
        while popped := pool.pop(7, stock=stock):
            assert {issued.stock for issued in popped} == {stock}
            codes += [issued.code for issued in popped]
        return codes

    with ThreadPoolExecutor(12) as threads:
        taken = list(threads.map(pop_all, stocks * 4))
    for digit, stock in enumerate(stocks):
        codes = [code for number in range(4) for code in taken[len(stocks) * number + digit]]
        codes += [issued.code for issued in pool.pop(400, stock=stock)]  # locked by another pop at the time
        assert sorted(codes) == [f"{digit}{number:05d}" for number in range(400)]


@pytest.fixture
def refill(settings: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> Iterator[Refill]:
    with own_refill(settings | BOTH_KINDS, monkeypatch) as refill:
        yield refill


def test_a_refill_fills_only_the_low_stock(pool: Pool, refill: Refill) -> None:
    pool.add(drawn(30), PLAIN)
    pool.add(drawn(5), CROSSED_OUT)
    refill.start()
    wait_until(lambda: pool.level(CROSSED_OUT) >= 40, "the refill")
    pool.pop(25, stock=CROSSED_OUT)
    refill.count_pop(CROSSED_OUT, 25)
    wait_until(lambda: pool.level(CROSSED_OUT) >= 40, "the next refill")
    assert pool.level(PLAIN) == 30


def test_a_target_tops_up_every_stock_or_the_one_that_is_named(pool: Pool, settings: dict[str, object]) -> None:
    settings |= BOTH_KINDS
    pool.add(drawn(3), PLAIN)
    finished = run("batch.fill", "--target", 10, **settings)
    assert finished.returncode == 0, finished.stderr
    assert "17 captchas added" in finished.stdout
    assert "10 plain (standard) ready, 10 crossed-out (standard) ready" in finished.stdout
    assert "10 captchas added" in run("batch.fill", "--target", 20, "--kind", "crossed-out", **settings).stdout
    assert "5 captchas added" in run("batch.fill", "--target", 5, "--difficulty", "hard", **settings).stdout
    assert "2 captchas added" in run("batch.fill", "--count", 2, "--kind", "crossed-out", **settings).stdout
    assert pool.levels() == {PLAIN: 10, CROSSED_OUT: 22, Stock("plain", "hard"): 5}


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_stock_that_is_emptied_meanwhile_does_not_wait_for_the_others(
    pool: Pool, settings: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(to_pool, "CHUNK", 10)
    read = Settings(**{name.lower(): value for name, value in (settings | BOTH_KINDS).items()})
    pool.add(drawn(40), PLAIN)
    drawn_kinds: list[str] = []

    @contextmanager
    def engine(calls: int) -> Iterator[Workers]:
        with on_this_machine(1)(calls) as workers:

            def submit(function: Callable[..., object], codes: list[str], look: Look, folder: Path) -> Future[object]:
                if not drawn_kinds:
                    pool.pop(30, stock=PLAIN)
                drawn_kinds.append(look.kind)
                return workers.submit(function, codes, look, folder)

            yield Workers(workers.count, submit)

    to_pool.top_up(40, read, [PLAIN, CROSSED_OUT], engine, quiet=True)
    assert drawn_kinds == ["crossed-out"] * 2 + ["plain"] * 3 + ["crossed-out"] * 2
    assert pool.levels() == {PLAIN: 40, CROSSED_OUT: 40}


def test_each_route_hands_out_its_kind_and_says_what_to_type(settings: dict[str, object]) -> None:
    with running_site(settings | BOTH_KINDS) as site:
        for stock in ASKS:
            site.pool.add([Drawn(f"{stock.kind[0]}{number:05d}", a_png()) for number in range(50)], stock)
        for path, stock in (
            ("/generate", PLAIN),
            ("/generate?kind=plain", PLAIN),
            ("/generate?kind=crossed-out", CROSSED_OUT),
            ("/challenge", CROSSED_OUT),
        ):
            for _ in range(5):
                answer = site.server.get(path).json()
                assert (answer["kind"], answer["prompt"]) == (stock.kind, ASKS[stock]), path
                assert site.code(answer["id"])[0] == stock.kind[0]
        challenge = site.server.get("/challenge").json()
        assert site.answer(challenge["id"], site.code(challenge["id"]))["success"]
        refused = site.server.get("/generate?kind=round")
        assert refused.status_code == 422
        assert refused.json()["detail"] == "kind: Input should be 'plain' or 'crossed-out'."


def test_a_kind_that_is_not_kept_is_refused_in_one_line(
    sqlite_settings: dict[str, object], serve: Callable[..., Server]
) -> None:
    refused = serve(sqlite_settings).get("/generate?kind=crossed-out")
    assert refused.status_code == 400
    assert re.fullmatch(
        "This server keeps no captchas of this kind and pixel_ratio; .*CAPTCHA_KIND.*", refused.json()["detail"]
    )


def test_an_upload_joins_the_plain_captchas(sqlite_settings: dict[str, object], serve: Callable[..., Server]) -> None:
    server = serve(sqlite_settings | {"KIND": "crossed-out", "DIFFICULTY": "hard"})
    sent = server.post("/load", files={"file": a_png()}, data={"code": "abc234"})
    assert sent.ok, sent.text
    pool = Pool.open(Settings(database_url=sqlite_settings["DATABASE_URL"], files_dir=sqlite_settings["FILES_DIR"]))
    assert pool.levels() == {Stock("plain", "hard"): 1}
    pool.engine.dispose()
    answer = server.get("/challenge").json()
    assert (answer["id"], answer["kind"]) == (sent.json()["id"], "plain")


def test_readiness_and_metrics_are_those_of_every_stock(
    pool: Pool, settings: dict[str, object], serve: Callable[..., Server]
) -> None:
    server = serve(settings | BOTH_KINDS | {"LOW_WATER": 7})
    pool.add(drawn(20), PLAIN)
    empty = ["the pool has no crossed-out (standard) captchas"]
    wait_until(lambda: server.get("/readyz").json()["problems"] == empty, "the next look")
    answer = server.get("/readyz")
    assert answer.status_code == 503
    own = {"difficulty": "standard", "pixel_ratio": 1, "low_water": 7, "target": 0}
    assert answer.json()["stocks"] == [
        {"kind": "plain", "level": 20} | own,
        {"kind": "crossed-out", "level": 0} | own,
    ]
    assert server.get("/challenge").status_code == 503
    assert server.get("/generate").ok
    pool.add(drawn(30), CROSSED_OUT)
    pool.add(drawn(4), DENSE)
    wait_until(lambda: server.get("/readyz").ok, "the other stock to be noticed")
    assert server.get("/challenge").ok
    wait_until(
        lambda: counted(server, "gantcha_pool_level", kind="crossed-out", difficulty="standard") >= 27, "the buffer"
    )
    assert counted(server, "gantcha_pool_level", kind="plain", pixel_ratio="1") == pool.level(PLAIN)
    assert counted(server, "gantcha_pool_level", kind="plain", pixel_ratio="2") == 4
    for stock in (PLAIN, CROSSED_OUT):
        labels = {name: str(value) for name, value in stock._asdict().items()}
        assert counted(server, "gantcha_pool_low_water", **labels) == 7


def test_the_status_shows_every_stock(pool: Pool, settings: dict[str, object]) -> None:
    settings |= BOTH_KINDS | {"TARGET": 40, "LOW_WATER": 20}
    pool.add(drawn(25), PLAIN)
    pool.add(drawn(3), Stock("plain", "hard"))
    pool.add(drawn(2), DENSE)
    lines = [" ".join(line.split()) for line in run("pool.status", **settings).stdout.splitlines()]
    assert "plain (standard) 25 20 40 0.0" in lines
    assert "crossed-out (standard) 0 20 40 0.0 below the low-water mark" in lines
    assert "plain (hard) 3 0 0 0.0 not kept by these settings" in lines
    assert "plain (standard, 2x) 2 0 0 0.0 not kept by these settings" in lines
    told = json.loads(run("pool.status", "--json", **settings).stdout)["stocks"]
    assert [one["level"] for one in told if one["pixel_ratio"] == 2] == [2]

"""Dense pictures for challenges, those of single density for `/generate`, and pools from before there were both."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import pytest
import requests
from PIL import Image

from gantcha.drawing.look import LOOKS
from pool.models import Stock
from pool.pool import Pool
from tests.conftest import (
    CROSSED_OUT,
    DENSE,
    PLAIN,
    Server,
    Site,
    drawn,
    own_refill,
    run,
    running_server,
    running_site,
    sqlite_settings_in,
    wait_until,
)
from tests.process.test_pool import event_listener
from tests.process.test_readiness import problem

LOOK = LOOKS["plain"]["standard"]
SINGLE = LOOK.width(6), LOOK.height
DOUBLE = 2 * LOOK.width(6), 2 * LOOK.height


def test_a_stock_is_named_with_its_density() -> None:
    assert [str(stock) for stock in (PLAIN, DENSE)] == ["plain (standard)", "plain (standard, 2x)"]


def test_challenges_use_up_single_density_once_dense_ones_are_gone(pool: Pool) -> None:
    dense, single = set(pool.add(drawn(3), DENSE)), set(pool.add(drawn(4), PLAIN))
    pool.add(drawn(5), CROSSED_OUT)
    pool.add(drawn(5), Stock("plain", "hard"))
    first, second = pool.pop(2, stock=DENSE, redeemable=True), pool.pop(3, stock=DENSE, redeemable=True)
    assert {one.id for one in first} < dense
    assert [one.stock for one in first + second] == [DENSE] * 3 + [PLAIN] * 2
    assert {one.id for one in first + second} < dense | single
    assert len({one.id for one in first + second}) == 5
    assert {one.pop_id for one in second} == {second[0].pop_id}
    pool.give_back(second)
    assert [pool.level(stock) for stock in (DENSE, PLAIN)] == [1, 4]
    assert len(pool.pop(9, stock=DENSE, redeemable=True)) == 5
    assert pool.pop(stock=DENSE, redeemable=True) == []


def test_who_gets_the_code_gets_the_density_that_was_asked_for(pool: Pool) -> None:
    pool.add(drawn(2), DENSE)
    assert pool.pop(stock=PLAIN) == pool.pop(stock=PLAIN, redeemable=True) == []
    assert len(pool.pop(2, stock=DENSE)) == 2
    pool.add(drawn(2), PLAIN)
    assert pool.pop(stock=DENSE) == []
    assert pool.level(PLAIN) == 2


def test_a_pop_that_found_enough_asks_for_no_more(pool: Pool) -> None:
    for stock in (DENSE, PLAIN):
        pool.add(drawn(4), stock)
    counts = []
    for _ in range(2):
        statements: list[tuple[str, object]] = []
        with event_listener(pool.engine, statements):
            pool.pop(3, stock=DENSE, redeemable=True)
        counts.append(sum("UPDATE captcha" in statement for statement, _ in statements))
    assert counts == [1, 2]


def _size(answer: requests.Response, server: Server) -> tuple[int, int]:
    with Image.open(io.BytesIO(server.get(f"/{answer.json()['id']}").content)) as image:
        return image.size


@pytest.fixture(scope="module")
def filled(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site of usual density, which `batch.fill` has filled."""
    settings = sqlite_settings_in(sqlite_template, tmp_path_factory.mktemp("filled"))
    del settings["PIXEL_RATIO"]
    finished = run("batch.fill", "--target", 40, **settings)
    assert "40 plain (standard) ready, 40 plain (standard, 2x) ready" in finished.stdout
    with running_site(settings) as site:
        yield site


def test_challenges_are_dense_and_generate_is_not(filled: Site) -> None:
    server = filled.server
    for path, size in (
        ("/generate", SINGLE),
        ("/generate?kind=plain", SINGLE),
        ("/generate?pixel_ratio=1", SINGLE),
        ("/generate?pixel_ratio=2", DOUBLE),
        ("/challenge", DOUBLE),
    ):
        assert _size(server.get(path), server) == size, path
    challenge = server.get("/challenge").json()
    assert challenge["pixel_ratio"] == 2
    assert filled.answer(challenge["id"], filled.code(challenge["id"]))["success"]
    assert server.get("/generate?pixel_ratio=3").status_code == 422


def test_density_is_that_of_a_stock_that_is_kept(sqlite_settings: dict[str, object]) -> None:
    with running_server(sqlite_settings | {"CHALLENGE_KIND": "crossed-out", "PIXEL_RATIO": 2}) as server:
        answers = {
            query: server.get(f"/generate?{query}").status_code
            for query in ("pixel_ratio=2", "kind=crossed-out", "kind=crossed-out&pixel_ratio=2", "kind=plain")
        }
        assert answers == {
            "pixel_ratio=2": 400,
            "kind=crossed-out": 400,
            "kind=crossed-out&pixel_ratio=2": 503,
            "kind=plain": 503,
        }
        assert "CAPTCHA_PIXEL_RATIO" in server.get("/generate?pixel_ratio=2").json()["detail"]


def test_a_pool_from_before_goes_on_answering(
    pool: Pool, settings: dict[str, object], serve: Callable[..., Server]
) -> None:
    """Challenges use up its captchas of single density; a page is told which density each picture has."""
    ids = set(pool.add(drawn(40), PLAIN))
    server = serve(settings | {"PIXEL_RATIO": 2, "GENERATE": "false"})
    (stock,) = server.get("/readyz").json()["stocks"]
    assert (server.get("/readyz").status_code, stock["pixel_ratio"], stock["level"]) == (200, 2, 0)
    told = [server.get("/challenge").json() for _ in range(20)]
    assert {one["pixel_ratio"] for one in told} == {1}
    assert len({one["id"] for one in told} & ids) == 20
    pool.files.remove(ids)
    wait_until(lambda: not server.get("/readyz").ok, "the next look")
    assert "the picture" in problem(server)
    pool.add(drawn(40), DENSE)
    wait_until(lambda: server.get("/readyz").ok, "the dense ones to be noticed")
    wait_until(lambda: server.get("/challenge").json()["pixel_ratio"] == 2, "what was held to be used up")


def test_generate_never_hands_out_dense_ones_for_others(
    pool: Pool, settings: dict[str, object], serve: Callable[..., Server]
) -> None:
    server = serve(settings | {"PIXEL_RATIO": 2})
    pool.add(drawn(20), DENSE)
    assert server.get("/generate").status_code == 503
    assert server.get("/challenge").ok
    empty = ["the pool has no plain (standard) captchas"]
    wait_until(lambda: server.get("/readyz").json()["problems"] == empty, "the next look")


def test_without_generate_no_route_tells_codes(sqlite_settings: dict[str, object]) -> None:
    with running_server(sqlite_settings | {"GENERATE": "false"}) as server:
        for path in ("/generate", "/generate?kind=plain", "/generate?pixel_ratio=2"):
            asked = requests.head(server.url + path, timeout=30)
            assert (server.get(path).status_code, asked.status_code) == (404, 404), path
        paths = server.get("/openapi.json").json()["paths"]
        assert "/generate" not in paths
        assert {"/load", "/challenge"} <= set(paths)


def test_a_refill_draws_each_density_for_the_route_that_has_it(
    pool: Pool, settings: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    pool.add(drawn(40), PLAIN)
    with own_refill(settings | {"PIXEL_RATIO": 2}, monkeypatch) as refill:
        refill.start()
        wait_until(lambda: pool.level(DENSE) >= 40, "the refill")
    assert pool.levels() == {PLAIN: 40, DENSE: 40}
    (dense,) = pool.pop(stock=DENSE)
    with Image.open(pool.files.path(dense.id)) as image:
        assert image.size == DOUBLE


def test_a_fill_draws_single_density_unless_it_is_asked(sqlite_settings: dict[str, object], tmp_path: Path) -> None:
    """Whatever challenges have, in the pool and in a dataset."""
    settings = sqlite_settings | {"PIXEL_RATIO": 2}
    for words, name, size in (((), "plain (standard)", SINGLE), (("--pixel-ratio", 2), "plain (standard, 2x)", DOUBLE)):
        assert f"3 {name} ready" in run("batch.fill", "--count", 3, *words, **settings).stdout
        assert f"5 {name} ready" in run("batch.fill", "--target", 5, "--kind", "plain", *words, **settings).stdout
        folder = tmp_path / name
        written = run("batch.fill", "--count", 2, "--dataset", folder, *words, **settings)
        assert written.returncode == 0, written.stderr
        assert {cv2.imread(str(path)).shape[1::-1] for path in folder.rglob("*.png")} == {size}

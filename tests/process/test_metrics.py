"""What an operator sees: metrics of all workers, and logs without codes."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests
from sqlalchemy import update

from pool import database
from pool.models import State, captcha
from pool.pool import Drawn
from tests.conftest import PLAIN, Server, Site, a_png, running_server, running_site, wait_until
from tests.process.test_challenges import counted


@pytest.mark.parametrize("workers", [1, 2])
def test_the_life_of_captchas_is_counted(sqlite_settings: dict[str, object], workers: int) -> None:
    settings = sqlite_settings | {"REFILL_SECONDS": 0.3}
    with running_site(settings, workers=workers) as site:
        site.pool.add([Drawn("abc234", a_png())] * 1000, PLAIN)
        server = site.server

        def count(name: str, **labels: str) -> float:
            return counted(server, f"gantcha_{name}", **labels)

        for _ in range(10):
            assert server.get("/generate").ok
        challenges = [server.get("/challenge").json()["id"] for _ in range(6)]
        tokens = [site.answer(file_id, "abc234")["token"] for file_id in challenges[:3]]
        site.answer(challenges[3], "nothing")
        site.answer(challenges[3], "abc234")
        assert site.siteverify(tokens[0])["success"]
        site.siteverify(tokens[0])
        wait_until(lambda: count("issued_total", route="generate") == 10, "all workers to be counted")
        assert count("issued_total", route="challenge") == 6
        assert count("answers_total", result=State.SOLVED) == 3
        assert count("answers_total", result=State.FAILED) == 1
        assert count("answers_total", result="unknown") == 1
        assert count("redeemed_total", result="success") == 1
        assert count("redeemed_total", result="timeout-or-duplicate") == 1
        assert count("request_seconds_count", route="/generate", status="200") == 10
        assert count("pool_level") == site.pool.level(PLAIN)
        with database.transaction(site.pool.engine) as connection:
            late = captcha.c.id.in_(challenges[4:])
            connection.execute(update(captcha).where(late).values(expires_at=datetime.now(UTC)))
        wait_until(lambda: count("lapsed_total") == 2, "the sweep to find what expired")


def test_an_empty_pool_and_a_failing_refill_are_counted(
    sqlite_settings: dict[str, object], tmp_path: Path, serve: Callable[..., Server]
) -> None:
    server = serve(sqlite_settings | {"TARGET": 40, "LOW_WATER": 20, "CHECKPOINTS_DIR": tmp_path})
    wait_until(lambda: counted(server, "gantcha_refills_total", result="error") >= 1, "the refill to fail")
    assert server.get("/generate").status_code == 503
    assert counted(server, "gantcha_empty_total", route="generate") == 1
    assert counted(server, "gantcha_pool_level") == 0
    assert counted(server, "gantcha_pool_target") == 40
    assert counted(server, "gantcha_refill_rate") == 0


def test_metrics_are_for_trusted_callers(sqlite_settings: dict[str, object]) -> None:
    with running_server(sqlite_settings | {"API_KEY": "a-key-of-sixteen-or-more"}) as server:
        assert server.get("/metrics").status_code == 401


def test_the_log_is_json_and_knows_no_answer(site: Site) -> None:
    file_id, code = site.challenge()
    requests.post(site.server.url + "/verify", json={"id": file_id, "answer": "typed-in-error"}, timeout=10)
    solved, right = site.challenge()
    token = site.answer(solved, right)["token"]
    site.siteverify(token)
    site.server.post("/verify", json={"id": "x", "answer": ["typed-in-error"]})
    printed = site.server.printed()
    logged = site.server.logged()
    answers = {line["captcha"]: line["result"] for line in logged if line["event"] == "answer"}
    assert answers[file_id] == State.FAILED
    assert answers[solved] == State.SOLVED
    for secret in (code, right, token, "typed-in-error", Site.SECRET):
        assert secret not in printed

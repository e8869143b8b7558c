"""What an operator sees: metrics of all workers, and logs without codes."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import insert, update

from gantcha import __version__
from gantcha.drawing.look import DIFFICULTIES
from pool import database
from pool.models import Mode, State, captcha, fill
from pool.pool import Drawn
from server.access.doubt import Reason
from server.schemas import ErrorCode
from tests.conftest import PLAIN, Server, Site, a_png, drawn, run, running_server, running_site, wait_until
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


def _warnings(server: Server) -> list[str]:
    return list(server.get("/readyz").json()["warnings"])


def test_a_fill_of_another_process_is_seen(
    sqlite_settings: dict[str, object], tmp_path: Path, serve: Callable[..., Server]
) -> None:
    server = serve(sqlite_settings)
    names = [line.split()[0] for line in server.get("/metrics").text.splitlines()]
    assert "gantcha_last_fill_failed" not in names
    assert counted(server, "gantcha_ready") == 0
    begun = datetime.now(UTC).timestamp()
    assert run("batch.fill", "--count", 5, **sqlite_settings).returncode == 0
    assert begun < counted(server, "gantcha_last_fill_timestamp_seconds") < datetime.now(UTC).timestamp()
    assert counted(server, "gantcha_last_fill_failed") == 0
    assert counted(server, "gantcha_refill_rate") > 0
    wait_until(lambda: counted(server, "gantcha_ready") == 1, "the next check")
    assert _warnings(server) == []
    assert run("batch.fill", "--count", 5, **sqlite_settings | {"CHECKPOINTS_DIR": tmp_path}).returncode == 1
    assert counted(server, "gantcha_last_fill_failed") == 1
    wait_until(lambda: _warnings(server) != [], "the next check")
    (warning,) = _warnings(server)
    assert "the last fill failed at" in warning and "manifest.json can't be read" in warning
    assert server.get("/readyz").ok
    assert run("batch.fill", "--count", 5, **sqlite_settings).returncode == 0
    assert counted(server, "gantcha_last_fill_failed") == 0
    wait_until(lambda: _warnings(server) == [], "the next check")


def test_a_low_stock_that_nobody_fills_is_seen(sqlite_settings: dict[str, object]) -> None:
    with running_site(sqlite_settings | {"LOW_WATER": 20}) as site:
        site.pool.add(drawn(10), PLAIN)
        wait_until(
            lambda: "only 10 plain (standard) captchas and no fill has ever" in str(_warnings(site.server)), "it"
        )
        rows = [
            {"started_at": datetime.now(UTC) - timedelta(hours=hours), "seconds": 60.0, "added": added}
            for hours, added in ((5, 100), (0, 0))  # the second has only begun
        ]
        with database.transaction(site.pool.engine) as connection:
            connection.execute(insert(fill), rows)
        wait_until(lambda: "no fill has added captchas since" in str(_warnings(site.server)), "the old fill to be seen")
        assert site.server.get("/readyz").ok
        rows[1]["added"] = 1
        with database.transaction(site.pool.engine) as connection:
            connection.execute(insert(fill), rows)
        wait_until(lambda: _warnings(site.server) == [], "the new fill to be seen")


@pytest.mark.parametrize("workers", [1, 2])
def test_counters_begin_at_nothing(sqlite_settings: dict[str, object], workers: int) -> None:
    """Also those of doubt, whose reasons a server without doubt does not have."""
    expected = {
        "issued": ("route", {"generate", "challenge", "quiet", "alternative"}),
        "challenges": ("difficulty", set(DIFFICULTIES)),
        "doubted": ("reason", set(Reason)),
        "empty": ("route", {"generate", "challenge"}),
        "answers": ("result", {"solved", "failed", "expired", "unknown"}),
        "redeemed": ("result", {"success", *get_args(ErrorCode)}),
        "limited": ("action", {"issue", "answer"}),
        "work": ("result", {*get_args(Mode), "missing", "refused"}),
        "redeemed_modes": ("mode", set(get_args(Mode))),
        "refills": ("result", {"ok", "error"}),
    }
    with running_server(sqlite_settings, workers=workers) as server:
        families = {one.name: one for one in text_string_to_metric_families(server.get("/metrics").text)}
    for name, (label, values) in expected.items():
        samples = families[f"gantcha_{name}"].samples
        assert {sample.labels[label] for sample in samples} == values, name
        assert {sample.value for sample in samples} == {0}, name


def test_sites_are_counted_by_their_names(sqlite_settings: dict[str, object], tmp_path: Path) -> None:
    keys, shop = tmp_path / "keys.toml", '[sites.{0}]\nsitekey = "{0}-key"\nsecret = "a-secret-of-the-{0}"\n'
    keys.write_text(shop.format("shop"))
    with running_site(sqlite_settings | {"KEYS_FILE": keys}) as site:
        site.pool.add([Drawn("abc234", a_png())] * 20, PLAIN)
        server = site.server
        for sitekey in ({}, {"sitekey": "shop-key"}):
            for answer in ("abc234", "wrong1"):
                file_id = server.get("/challenge", params=sitekey).json()["id"]
                told = server.post("/verify", json={"id": file_id, "answer": answer} | sitekey).json()
                if told["success"]:
                    secret = "a-secret-of-the-shop" if sitekey else Site.SECRET
                    assert site.siteverify(told["token"], secret=secret)["success"]
        assert counted(server, "gantcha_answers_total") == 4
        assert counted(server, "gantcha_site_answers_total") == 2
        for result in (State.SOLVED, State.FAILED):
            assert counted(server, "gantcha_site_answers_total", site="shop", result=result) == 1
        assert counted(server, "gantcha_site_redeemed_total", site="shop") == 1
        assert counted(server, "gantcha_redeemed_total", result="success") == 2
        keys.write_text(shop.format("shop") + shop.format("blog"))

        def begins() -> bool:
            server.get("/challenge", params={"sitekey": "shop-key"})
            return 'gantcha_site_redeemed_total{site="blog"} 0.0' in server.get("/metrics").text

        wait_until(begins, "the keys to be read again")


def test_the_version_is_told(sqlite_settings: dict[str, object], idle_server: Server) -> None:
    printed = run("server", "--version", **sqlite_settings).stdout
    assert printed == f"gantcha {__version__}\n"
    assert counted(idle_server, "gantcha_build_info", version=__version__) == 1


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

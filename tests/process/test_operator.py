"""The page of the operator: who sees it, that its figures are those of the pool, and what it costs visitors."""

import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, select, text

from pool import database
from pool.errors import DatabaseError
from pool.hourly import HOUR, HOURS, HourlySums, read_hours
from pool.models import State, captcha, hourly
from pool.pool import Drawn, Pool
from pool.sweep import Sweep
from server.api.operator import CURES
from tests.conftest import PLAIN, ROOT, Server, a_png, drawn, running_server, running_site, wait_until

FULL, LOOKING, DRAWING = "a-key-that-may-do-all", "a-key-that-may-only-look", "a-key-that-may-only-generate"
KEYS = f"""[api_keys]
full = "{FULL}"
looking = {{key = "{LOOKING}", may = ["metrics"]}}
drawing = {{key = "{DRAWING}", may = ["generate", "load"]}}
[sites.shop]
sitekey = "shop-key"
secret = "a-secret-of-the-shop"
"""


def _cells(page: str, row: str) -> list[str]:
    """The cells of the first row that begins so."""
    found = re.search(rf'<th scope="row">{re.escape(row)}</th>((?:<td>[^<]*</td>)*)', page)
    assert found, page
    return re.findall("<td>([^<]*)</td>", found[1])


def test_a_browser_is_asked_for_a_key_that_may_look(sqlite_settings: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / "keys.toml").write_text(KEYS)
    with running_server(sqlite_settings | {"KEYS_FILE": tmp_path / "keys.toml"}) as server:
        asked = server.get("/operator")
        assert asked.status_code == 401
        assert asked.headers["www-authenticate"] == 'Basic realm="Gantcha", charset="UTF-8"'
        for key, status in {FULL: 200, LOOKING: 200, DRAWING: 401, "another-key-of-sixteen": 401, "": 401}.items():
            answers = [server.get("/operator", auth=(name, key)) for name in ("", "anyone")]
            answers.append(server.get("/operator", headers={"Authorization": f"Bearer {key}"}))
            assert [answer.status_code for answer in answers] == [status] * 3, key
        for given in ("Basic", "Basic ?", "Basic YQ", "Basic gICA", "Basic ////", f"Basic {LOOKING}", "Digest x"):
            assert server.get("/operator", headers={"Authorization": given}).status_code == 401, given
        page = server.get("/operator", auth=("anyone", LOOKING))
        assert page.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert {"operator", "favicon.svg", "operator.css"} == set(re.findall('(?:href|src)="([^"]*)"', page.text))
        for path in ("/metrics", "/generate"):  # the browser would send it there too, for pages of other people
            assert server.get(path, auth=("anyone", FULL)).status_code == 401, path
        log = server.stop()
    assert ("/operator", "looking") in {(line.get("path"), line.get("key")) for line in server.logged()}
    assert LOOKING not in log


def test_without_a_key_it_is_for_this_machine(idle_server: Server) -> None:
    assert idle_server.get("/operator").ok
    for headers in ({"X-Forwarded-For": "203.0.113.9"}, {"Sec-Fetch-Site": "cross-site"}, {"Host": "other.example"}):
        assert idle_server.get("/operator", headers=headers).status_code == 403


@pytest.mark.parametrize("workers", [1, 2])
def test_the_figures_are_those_of_all_that_happened(
    pool: Pool, settings: dict[str, object], tmp_path: Path, workers: int
) -> None:
    (tmp_path / "keys.toml").write_text(KEYS)
    own = settings | {"KEYS_FILE": tmp_path / "keys.toml"}
    key = {"Authorization": f"Bearer {FULL}"}
    with running_site(own, workers=workers) as site:
        assert [site.server.get("/generate", headers=key).status_code for _ in range(3)] == [503] * 3
        wait_until(lambda: any(read_hours(pool.engine).values()), "the first sums: the others come at the stop")
        pool.add([Drawn("abc234", a_png())] * 200, PLAIN)
        for _ in range(7):
            assert site.server.get("/generate", headers=key).ok
        challenges = [site.server.get("/challenge", params={"sitekey": "shop-key"}).json()["id"] for _ in range(6)]
        for file_id, answer in zip(challenges, ["abc234"] * 4 + ["wrong1"], strict=False):
            told = site.server.post("/verify", json={"id": file_id, "answer": answer, "sitekey": "shop-key"}).json()
            if told["success"] and file_id != challenges[0]:
                assert site.siteverify(told["token"], secret="a-secret-of-the-shop")["success"]
    expected = {
        "issued/generate": 7,
        "issued/challenge": 6,
        "answers/solved": 4,
        "answers/failed": 1,
        "redeemed/success": 3,
        "empty/generate": 3,
        "site_answers/shop/solved": 4,
        "site_answers/shop/failed": 1,
        "site_redeemed/shop": 3,
    }
    assert sum(read_hours(pool.engine).values(), Counter()) == expected
    with running_server(own) as server:
        page = server.get("/operator", auth=("", LOOKING)).text
    assert "<title>Ready: Gantcha</title>" in page
    assert _cells(page, "shop") == ["4", "1", "3"]
    assert _cells(page, str(PLAIN)) == [str(pool.level(PLAIN) + 1), "0", "0"]  # one became a sample since
    hours = [_cells(page, hour) for hour in re.findall(r'row">(\w{3} \d\d)<', page)]
    assert [sum(map(int, column)) for column in zip(*hours, strict=True)] == [13, 4, 1, 3, 0, 3, 0]
    assert page.count("<rect") == HOURS


def test_limits_and_doubt_are_counted(sqlite_settings: dict[str, object]) -> None:
    with running_site(sqlite_settings | {"DOUBT": "true", "ISSUE_LIMIT": "5/hour"}) as site:
        site.pool.add(drawn(50), PLAIN)
        for _ in range(5):
            site.answer(site.challenge()[0], "wrong1")
        assert site.server.get("/challenge").status_code == 429
    total = sum(read_hours(site.pool.engine).values(), Counter[str]())
    assert (total["limited/issue"], sum(total[name] for name in total if name.startswith("doubted/"))) == (1, 1)


def test_sums_of_all_are_added_and_wait_for_the_database(pool: Pool) -> None:
    """Each hour gets its own, however long the database is away."""
    counts, now = {"answers/solved": 5}, [7200.0]
    ours, others = (HourlySums(lambda: dict(counts), lambda: now[0]) for _ in range(2))
    counts["answers/solved"] += 2
    for sums in (ours, others):
        sums.note()
    others.write(pool.engine)
    with database.transaction(pool.engine) as connection:
        connection.execute(text("ALTER TABLE hourly RENAME TO away"))
    counts["answers/failed"] = 1
    ours.note()
    with pytest.raises(DatabaseError):
        ours.write(pool.engine)
    now[0] += HOUR
    counts["answers/failed"] += 3
    ours.note()
    with database.transaction(pool.engine) as connection:
        connection.execute(text("ALTER TABLE away RENAME TO hourly"))
    for _ in range(2):
        ours.write(pool.engine)
    with database.transaction(pool.engine) as connection:
        rows = {tuple(row) for row in connection.execute(select(hourly))}
    assert rows == {(7200, "answers/solved", 4), (7200, "answers/failed", 1), (10800, "answers/failed", 3)}


def test_sums_are_kept_for_two_days(pool: Pool) -> None:
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    kept, gone = [hour - timedelta(hours=ago) for ago in (0, HOURS - 1)], hour - timedelta(hours=HOURS + 1)
    with database.transaction(pool.engine) as connection:
        connection.execute(
            insert(hourly), [{"start": one.timestamp(), "name": "empty/generate", "count": 1} for one in (*kept, gone)]
        )
    Sweep(pool, timedelta(0)).tick()
    with database.transaction(pool.engine) as connection:
        assert set(connection.scalars(select(hourly.c.start))) == {int(one.timestamp()) for one in kept}
    hours = read_hours(pool.engine)
    assert len(hours) == HOURS
    assert {one for one, sums in hours.items() if sums} == set(kept)


def test_a_sample_is_seen_by_nobody_else(pool: Pool, settings: dict[str, object]) -> None:
    """It costs a stock one captcha, however often somebody looks."""
    pool.add(drawn(20), PLAIN)
    with running_site(settings | {"LOW_WATER": 10}) as site:
        pages = [site.server.get("/operator").text for _ in range(5)]
        assert all(page.count("data:image/png") == 1 for page in pages)
        with database.transaction(pool.engine) as connection:
            taken = list(
                connection.execute(
                    select(captcha.c.id, captcha.c.code, captcha.c.redeemable, captcha.c.state).where(
                        captcha.c.state != State.READY
                    )
                )
            )
        file_id, code, redeemable, state = taken[0]
        assert len(taken) <= 2  # if the period ended meanwhile
        assert (redeemable, state) == (False, State.ISSUED)
        assert site.answer(file_id, code) == {"success": False, "token": None, "reason": "expired"}
        assert file_id not in {site.server.get("/challenge").json()["id"] for _ in range(5)}


def test_what_is_left_of_a_low_stock_is_for_visitors(sqlite_settings: dict[str, object]) -> None:
    with running_site(sqlite_settings | {"LOW_WATER": 10}) as site:
        site.pool.add(drawn(10), PLAIN)
        assert "data:image/png" not in site.server.get("/operator").text
        assert site.pool.level(PLAIN) == 10


def test_what_is_wrong_is_said_in_safe_words(sqlite_settings: dict[str, object]) -> None:
    """Even that the rest of the page can't be read."""
    with running_site(sqlite_settings | {"REFILL_SECONDS": 3600}) as site:
        page = site.server.get("/operator").text
        assert "<title>Not ready: Gantcha</title>" in page
        assert "the pool has no plain (standard) captchas<br>" in page
        site.pool.add(drawn(5), PLAIN)
        with database.transaction(site.pool.engine) as connection:
            connection.execute(
                text("INSERT INTO fill (started_at, seconds, added, error) VALUES (:at, 1, 0, '<b>&')"),
                {"at": datetime.now(UTC)},
            )
            connection.execute(text("ALTER TABLE hourly RENAME TO away"))
        page = site.server.get("/operator").text
        assert "The rest is missing: " in page
        assert "run `python -m gantcha migrate`" in page
        with database.transaction(site.pool.engine) as connection:
            connection.execute(text("ALTER TABLE away RENAME TO hourly"))
        wait_until(lambda: "<b>&" in str(site.server.get("/readyz").json()["warnings"]), "the next check")
        page = site.server.get("/operator").text
        assert "The rest" not in page
        assert page.count("&lt;b&gt;&amp;") == 2
        assert "<b>" not in page


def test_a_lost_picture_is_said(sqlite_settings: dict[str, object]) -> None:
    with running_site(sqlite_settings | {"REFILL_SECONDS": 3600}) as site:
        site.pool.add(drawn(5), PLAIN)
        for path in site.pool.files.folder.rglob("*.png"):
            path.unlink()
        page = site.server.get("/operator").text
        assert re.search(r"The rest is missing: [^<]*[0-9a-f]{32}", page)
        assert site.pool.level(PLAIN) == 5  # what can't be shown is not used up


def test_where_to_read_on_exists() -> None:
    named = [
        (page, heading)
        for cure in CURES.values()
        for page, headings in re.findall(r'(docs/\w+\.md), ("[^"]+"(?: and "[^"]+")*)', cure)
        for heading in re.findall('"([^"]+)"', headings)
    ]
    assert len(named) == 5
    for page, heading in named:
        assert f"\n## {heading}\n" in (ROOT / page).read_text(), heading

"""Work of browsers: what asks for it, what it opens, and that nobody gets by with less."""

import asyncio
import re
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from pool import database
from pool.models import captcha, token, work_key, work_pass
from pool.passes import Pass
from pool.pool import Drawn, Pool
from pool.settings import Settings
from pool.storage.files import new_id
from pool.sweep import Sweep, discard
from pool.tokens import Purpose, Redemption, Solved
from pool.work_keys import work_keys
from server.access.keys import Keys
from server.access.work import Work
from tests.conftest import PLAIN, Site, a_png, drawn, running_site, sqlite_settings_in, wait_until
from tests.process.test_challenges import counted
from tests.support.programs import needs
from tests.support.solving import altered, solved

CODE = "abc234"
KEYS = """
[sites.quiet]
sitekey = "quiet-key"
secret = "a-secret-of-the-quiet"
mode = "quiet"
alternative = "work"
[sites.small]
sitekey = "small-key"
secret = "a-secret-of-the-small"
mode = "quiet"
quiet_limit = "2/hour"
[sites.narrow]
sitekey = "narrow-key"
secret = "a-secret-of-the-narrow"
mode = "quiet"
quiet_limit = "2/hour"
[sites.open]
sitekey = "open-key"
secret = "a-secret-of-the-open"
work = "off"
[sites.strict]
sitekey = "strict-key"
secret = "a-secret-of-the-strict"
work = "heavy"
"""
ON = {"WORK": "light", "TRUSTED_PROXIES": "127.0.0.0/8", "DOUBT": "true"}


@pytest.fixture(scope="module")
def working(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("working")
    (folder / "keys.toml").write_text(KEYS)
    settings = sqlite_settings_in(sqlite_template, folder) | ON | {"KEYS_FILE": folder / "keys.toml"}
    with running_site(settings) as site:
        site.pool.add([Drawn(CODE, a_png())] * 200, PLAIN)
        yield site


def _from(address: str) -> dict[str, str]:
    return {"X-Forwarded-For": address}


def _challenge(site: Site, address: str = "198.51.100.1", **query: str) -> dict[str, Any]:
    answer = site.server.get("/challenge", params=query, headers=_from(address))
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def _verify(site: Site, address: str = "198.51.100.1", **fields: str) -> dict[str, Any]:
    verified = site.server.post("/verify", json=fields, headers=_from(address))
    assert verified.status_code == 200, verified.text
    return dict(verified.json())


def _data(challenge: dict[str, Any]) -> dict[str, Any]:
    return dict(challenge["work"]["parameters"]["data"])


def test_without_work_nothing_is_looked_at(working: Site) -> None:
    challenge = _challenge(working)
    refused = {"success": False, "token": None, "reason": "work"}
    for answer in (CODE, "wrong"):
        assert _verify(working, id=challenge["id"], answer=answer) == refused
    work = solved(challenge["work"])
    verified = _verify(working, id=challenge["id"], answer=CODE, work=work)
    assert verified["success"]
    assert working.siteverify(verified["token"])["mode"] == "picture"
    assert _verify(working, id=challenge["id"], answer=CODE, work=work)["reason"] == "expired"


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("challenge.parameters.data.weight", 64),
        ("challenge.parameters.data.use", "sound"),
        ("challenge.parameters.data.key", "0" * 32),
        ("challenge.parameters.data", None),
        ("challenge.parameters.keyPrefix", ""),
        ("challenge.parameters.keySignature", None),
        ("challenge.parameters.expiresAt", 9_999_999_999),
        ("challenge.parameters", []),
        ("challenge.signature", "00"),
        ("solution.derivedKey", "00" * 32),
        ("solution.derivedKey", 7),
        ("solution", {}),
    ],
)
def test_what_was_altered_is_refused(working: Site, place: str, value: object) -> None:
    challenge = _challenge(working)
    work = altered(solved(challenge["work"]), place, value)
    assert _verify(working, id=challenge["id"], answer=CODE, work=work)["reason"] == "work"


@pytest.mark.parametrize("work", ["?", b64encode(b"[" * 1500).decode(), b64encode(b"null").decode(), "ä" * 9])
def test_what_is_no_work_is_refused(working: Site, work: str) -> None:
    challenge = _challenge(working)
    assert _verify(working, id=challenge["id"], answer=CODE, work=work)["reason"] == "work"


def test_what_names_no_answer_is_explained(working: Site) -> None:
    refused = working.server.post("/verify", json={"id": new_id(), "code": CODE})
    assert (refused.status_code, refused.json()) == (422, {"detail": "answer: Field required."})


def test_a_stopped_database_costs_nobody_s_limit(sqlite_settings: dict[str, object]) -> None:
    with running_site(sqlite_settings | {"WORK": "light", "ISSUE_LIMIT": "3/minute"}) as site:
        site.pool.add(drawn(9), PLAIN)
        _rename(site.pool, "work_key", "work_key_gone")
        assert {site.server.get("/challenge").status_code for _ in range(5)} == {503}
        assert {site.server.get("/plain").status_code for _ in range(5)} == {503}
        _rename(site.pool, "work_key_gone", "work_key")
        wait_until(lambda: site.server.get("/challenge").status_code == 200, "the keys")


def _rename(pool: Pool, name: str, other: str) -> None:
    with database.transaction(pool.engine) as connection:
        connection.exec_driver_sql(f"ALTER TABLE {name} RENAME TO {other}")


def test_work_is_for_one_challenge(working: Site) -> None:
    one, other = _challenge(working), _challenge(working)
    assert _verify(working, id=other["id"], answer=CODE, work=solved(one["work"]))["reason"] == "work"


def test_who_comes_too_late_is_told_so(sqlite_settings: dict[str, object]) -> None:
    with running_site(sqlite_settings | ON | {"TTL_SECONDS": 1}) as site:
        site.pool.add(drawn(4), PLAIN)
        challenge = _challenge(site)
        work = solved(challenge["work"])
        wait_until(lambda: datetime.now(UTC) > datetime.fromisoformat(challenge["expires_at"]), "its end")
        assert _verify(site, id=challenge["id"], answer=CODE, work=work)["reason"] == "expired"


def test_no_site_s_work_is_enough_for_another_that_asks_for_more(working: Site) -> None:
    light, strict = _challenge(working), _challenge(working, sitekey="strict-key")
    assert _data(strict)["weight"] == 4 * _data(light)["weight"]
    for sitekey, least in (("open-key", None), ("strict-key", None), ("strict-key", light)):
        fields = {"id": light["id"], "answer": "wrong", "sitekey": sitekey}
        if least:
            fields["work"] = solved(least["work"])
        verdict = _verify(working, **fields)
        assert verdict["reason"] == ("wrong" if sitekey == "open-key" else "work")

    easy = _challenge(working, sitekey="open-key")
    assert easy["work"] is None
    assert _verify(working, id=easy["id"], answer=CODE)["reason"] == "work"
    assert _verify(working, id=easy["id"], answer=CODE, sitekey="open-key")["success"]


def test_in_doubt_it_is_sixteen_times_as_much(working: Site) -> None:
    usual = _challenge(working, "198.51.100.2")
    for _ in range(4):
        challenge = _challenge(working, "198.51.100.2", sitekey="open-key")
        assert (
            _verify(working, "198.51.100.2", id=challenge["id"], answer="no", sitekey="open-key")["reason"] == "wrong"
        )
    doubted = _challenge(working, "198.51.100.2")
    assert _data(doubted)["weight"] == 16 * _data(usual)["weight"]
    quiet = _challenge(working, "198.51.100.2", sitekey="quiet-key", mode="quiet")
    assert (quiet["kind"], _data(quiet)["weight"]) == ("plain", 16 * _data(usual)["weight"])
    alternative = _challenge(working, "198.51.100.2", sitekey="quiet-key", mode="alternative")
    assert (alternative["kind"], _data(alternative)["weight"]) == ("quiet", 80 * _data(usual)["weight"])


@needs("espeak-ng")
def test_a_sound_asks_for_eight_times_as_much(sqlite_settings: dict[str, object]) -> None:
    with running_site(sqlite_settings | {"WORK": "light"}) as site:
        site.pool.add([Drawn(CODE, a_png())] * 8, PLAIN)
        challenge = site.server.get("/challenge").json()
        path, own = f"/{challenge['id']}.wav", solved(challenge["work"])
        needed = site.server.get(path)
        assert needed.status_code == 428
        work = needed.json()["work"]
        assert work["parameters"]["data"]["weight"] == 8 * _data(challenge)["weight"]
        for other in (own, altered(own, "challenge.parameters.data.use", "sound")):
            assert site.server.get(path, params={"work": other}).status_code == 428
        assert not _spoken(site, challenge["id"])
        done = solved(work)
        assert site.server.get(path, params={"work": done, "lang": "de"}).status_code == 428
        said = site.server.get(path, params={"work": done})
        assert (said.status_code, said.headers["content-type"]) == (200, "audio/wav")
        verified = site.server.post("/verify", json={"id": challenge["id"], "answer": CODE, "work": own}).json()
        assert site.siteverify(verified["token"])["mode"] == "sound"
        assert counted(site.server, "gantcha_redeemed_modes_total", mode="sound") == 1
        assert counted(site.server, "gantcha_work_total", result="refused") == 3
        assert site.server.get(f"/{new_id()}.wav").status_code == 404

        generated = site.server.get("/generate").json()["id"]  # its code was told to who asked for it
        assert site.server.get(f"/{generated}.wav").status_code == 200
        assert not _spoken(site, generated)


@needs("espeak-ng")
def test_a_sound_counts_as_of_the_site_that_asks_for_most(working: Site) -> None:
    own = "198.51.100.5"
    challenge = _challenge(working, own, sitekey="open-key")
    needed = working.server.get(f"/{challenge['id']}.wav", headers=_from(own))
    assert _data(needed.json())["weight"] == 8 * _data(_challenge(working, own, sitekey="strict-key"))["weight"]


@needs("espeak-ng")
def test_in_doubt_a_sound_asks_for_most_whoever_fetches_it(working: Site) -> None:
    own = "198.51.100.6"
    for _ in range(4):
        challenge = _challenge(working, own, sitekey="open-key")
        assert _verify(working, own, id=challenge["id"], answer="no", sitekey="open-key")["reason"] == "wrong"
    challenge = _challenge(working, own)
    for address in (own, "198.51.100.7"):
        needed = working.server.get(f"/{challenge['id']}.wav", headers=_from(address))
        assert _data(needed.json())["weight"] == 80


def _spoken(site: Site, file_id: str) -> bool:
    with database.transaction(site.pool.engine) as connection:
        return bool(connection.scalar(select(captcha.c.spoken).where(captcha.c.id == file_id)))


def _ticket(html: str) -> dict[str, str]:
    return dict(re.findall(r'name="(id|ticket)" value="([^"]*)"', html))


def test_the_page_without_javascript_needs_none_for_its_own_challenges(working: Site) -> None:
    fields = _ticket(working.server.get("/plain").text)
    assert fields["ticket"]
    assert _verify(working, id=fields["id"], answer=CODE, work=fields["ticket"])["reason"] == "work"
    challenge = _challenge(working)
    for stolen in ({"id": challenge["id"]}, {"id": challenge["id"], "ticket": fields["ticket"]}):
        assert "value=" in working.server.post("/plain", data=stolen | {"answer": CODE}).text
        assert _state(working, challenge["id"]) == "issued"
    shown = working.server.post("/plain", data=fields | {"answer": CODE}).text
    assert "Confirmed" in shown
    assert _state(working, fields["id"]) == "solved"


def _state(site: Site, file_id: str) -> str:
    with database.transaction(site.pool.engine) as connection:
        return str(connection.scalar(select(captcha.c.state).where(captcha.c.id == file_id)))


def test_a_quiet_token_is_earned_once_and_for_its_site_alone(working: Site) -> None:
    before = _issued(working)
    challenge = _challenge(working, "198.51.100.4", sitekey="quiet-key", mode="quiet")
    assert challenge["kind"] == "quiet"
    assert challenge["fileURL"] is challenge["prompt"] is challenge["audioURL"] is None
    fields = {"id": challenge["id"], "work": solved(challenge["work"])}
    for sitekey in ({}, {"sitekey": "open-key"}, {"sitekey": "small-key"}):
        assert _verify(working, "198.51.100.4", **fields, **sitekey)["reason"] == "work"
    verified = _verify(working, "198.51.100.4", **fields, sitekey="quiet-key", action="login")
    assert verified["success"]
    assert _verify(working, "198.51.100.4", **fields, sitekey="quiet-key")["reason"] == "expired"
    assert not working.siteverify(verified["token"])["success"]
    redeemed = working.siteverify(verified["token"], secret="a-secret-of-the-quiet")
    assert (redeemed["success"], redeemed["mode"], redeemed["action"]) == (True, "quiet", "login")
    assert _issued(working) <= before  # the buffer may have given some back


def _issued(site: Site) -> int:
    with database.transaction(site.pool.engine) as connection:
        return len(connection.scalars(select(captcha.c.id).where(captcha.c.state != "ready")).all())


def test_no_other_site_s_visitors_pass_without_a_picture(working: Site) -> None:
    for query in ({"mode": "quiet"}, {"mode": "quiet", "sitekey": "open-key"}, {"mode": "alternative"}):
        assert _challenge(working, **query)["kind"] == "plain"
    assert not _challenge(working, sitekey="small-key")["alternative"]
    assert _challenge(working, sitekey="quiet-key")["alternative"]
    assert working.server.get("/challenge?mode=loud").status_code == 422


def test_a_site_s_budget_ends_with_pictures_and_strangers_can_t_use_it_up(working: Site) -> None:
    query = {"sitekey": "small-key", "mode": "quiet"}
    asked = [_challenge(working, f"203.0.113.{number}", **query) for number in range(4)]
    assert [one["kind"] for one in asked] == ["quiet"] * 4
    for one in asked[:2]:
        fields = {"id": one["id"], "work": solved(one["work"]), "sitekey": "small-key"}
        assert _verify(working, **fields)["success"]
        assert _verify(working, **fields)["reason"] == "expired"
    refused = _challenge(working, "203.0.113.7", **query)
    assert (refused["kind"], _data(refused)["weight"]) == ("plain", 1)


def test_a_site_s_budget_counts_once_more_when_tokens_are_earned(working: Site) -> None:
    """Many may ask before the first of them has worked."""
    query = {"sitekey": "narrow-key", "mode": "quiet"}
    asked = [_challenge(working, f"203.0.113.{number}", **query) for number in range(20, 24)]
    assert [one["kind"] for one in asked] == ["quiet"] * 4
    earned = [
        _verify(working, id=one["id"], work=solved(one["work"]), sitekey="narrow-key")["success"] for one in asked
    ]
    assert earned == [True, True, False, False]


def test_an_address_gets_ten_a_minute(working: Site) -> None:
    asked = [_challenge(working, "203.0.113.9", sitekey="quiet-key", mode="quiet") for _ in range(11)]
    assert [one["kind"] for one in asked] == ["quiet"] * 10 + ["plain"]


def test_a_site_that_changes_its_mind_refuses_what_was_earned(
    sqlite_settings: dict[str, object], tmp_path: Path
) -> None:
    file = tmp_path / "keys.toml"
    file.write_text(KEYS)
    with running_site(sqlite_settings | ON | {"KEYS_FILE": file}) as site:
        challenges = [_challenge(site, sitekey="quiet-key", mode="quiet") for _ in range(2)]
        first, second = ({"id": one["id"], "work": solved(one["work"]), "sitekey": "quiet-key"} for one in challenges)
        token = _verify(site, **first)["token"]
        file.write_text(KEYS.replace('mode = "quiet"', 'mode = "picture"'))
        while "keys read again" not in site.server.printed():
            site.server.get("/challenge?sitekey=quiet-key")
        assert _verify(site, **second)["reason"] == "work"
        redeemed = site.siteverify(token, secret="a-secret-of-the-quiet")
        assert redeemed["error-codes"] == ["invalid-input-response"]


def test_old_clients_are_asked_for_nothing(site: Site) -> None:
    assert site.server.get("/challenge").json()["work"] is None
    assert site.answer(*site.challenge())["success"]


def _passes(pool: Pool, ids: list[str], key_id: str) -> list[Any]:
    until = int((datetime.now(UTC) + timedelta(minutes=2)).timestamp())
    asked = [Pass(one, key_id, until, Purpose("", "quiet"), "quiet") for one in ids]
    return [verdict.token for verdict in pool.settle(asked, 30) if not isinstance(verdict, bool | Solved | Exception)]


def test_a_pass_is_spent_once_on_both_databases(pool: Pool) -> None:
    (key,) = work_keys(pool.engine)
    one, other = new_id(), new_id()
    first = _passes(pool, [one, one, other], key.id)
    assert [bool(text) for text in first] == [True, False, True]
    assert _passes(pool, [other, one], key.id) == [None, None]
    assert _passes(pool, [new_id()], "0" * 32) == [None]
    (solved_once,) = pool.settle([Redemption.of(first[0], site="quiet")], 30)
    assert isinstance(solved_once, Solved)
    assert solved_once.mode == "quiet"


def test_keys_are_shared_and_changed_each_day(pool: Pool) -> None:
    first = work_keys(pool.engine)
    assert work_keys(pool.engine) == first
    _age(pool, timedelta(days=1, minutes=1))
    both = work_keys(pool.engine)
    assert both[1:] == first
    assert len({key.secret for key in both}) == 2
    _age(pool, timedelta(days=4))
    assert len(work_keys(pool.engine)) == 1


def _age(pool: Pool, age: timedelta) -> None:
    with database.transaction(pool.engine) as connection:
        connection.execute(update(work_key).values(created_at=datetime.now(UTC) - age))


def test_after_a_failover_no_work_from_before_passes(pool: Pool) -> None:
    (before,) = work_keys(pool.engine)
    spent = new_id()
    assert _passes(pool, [spent], before.id) != [None]
    with database.transaction(pool.engine) as connection:
        connection.execute(work_pass.delete())  # as a standby that lagged
        connection.execute(token.delete())
    discard(pool)
    assert _passes(pool, [spent], before.id) == [None]
    assert work_keys(pool.engine)[0].id != before.id


def test_what_was_spent_is_forgotten_once_nobody_accepts_it(pool: Pool) -> None:
    (key,) = work_keys(pool.engine)
    past = int(datetime.now(UTC).timestamp()) - 3601  # and servers' clocks differ
    pool.settle([Pass(new_id(), key.id, past, Purpose("", "quiet"), "quiet")], 30)
    kept = new_id()
    _passes(pool, [kept], key.id)
    Sweep(pool, timedelta(0)).all()
    with database.transaction(pool.engine) as connection:
        assert list(connection.scalars(select(work_pass.c.id))) == [kept]


def test_the_key_is_not_the_one_beside_the_files(working: Site) -> None:
    files = [file for file in working.pool.files.folder.rglob("*") if file.is_file() and file.suffix != ".png"]
    keys = [key.secret.hex() for key in work_keys(working.pool.engine)]
    assert files
    assert not any(key in file.read_text() for key in keys for file in files)


def test_two_servers_accept_each_other_s_work(sqlite_settings: dict[str, object]) -> None:
    with running_site(sqlite_settings | ON, workers=2) as site:
        site.pool.add([Drawn(CODE, a_png())] * 40, PLAIN)
        for _ in range(4):
            challenge = _challenge(site)
            assert _verify(site, id=challenge["id"], answer=CODE, work=solved(challenge["work"]))["success"]


def test_a_key_that_another_server_has_just_made_counts(pool: Pool) -> None:
    """Even if this one read the keys a moment before: servers that start together may each make one."""
    settings = Settings(work="light")

    async def meet() -> bool:
        one, other = (Work(settings, Keys(settings), partial(work_keys, pool.engine)) for _ in range(2))
        first = await one.key()
        _age(pool, timedelta(days=1, minutes=1))
        assert (await other.key()).id != first.id
        return await one.is_ticket(await other.ticket("0" * 32), "0" * 32)

    assert asyncio.run(meet())

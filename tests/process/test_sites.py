"""Sites with keys of their own, keys for tests, and what the operator is told."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from pool.answers import Attempt, Verdict
from pool.errors import UnknownTokenError
from pool.models import Stock
from pool.pool import Drawn, Pool
from pool.tokens import Purpose, Redemption, Solved
from server.access.testing_keys import CODE
from tests.conftest import PLAIN, Site, a_png, refusal, running_server, running_site, sqlite_settings_in

HARD = Stock("plain", "hard")
SECRET, NEXT = "a-secret-of-the-shop", "the-next-secret-of-the-shop"
KEYS = f"""
[site_secrets]
other = "a-secret-of-another"
[sites.shop]
sitekey = "shop-key"
secret = ["{SECRET}", "{NEXT}"]
hostnames = ["shop.example"]
difficulty = "hard"
[sites.slow]
sitekey = "slow-key"
secret = "a-secret-of-the-slow"
issue_limit = "2/minute"
answer_limit = "1/minute"
"""
SHOP = {"Origin": "https://www.shop.example"}


@pytest.fixture(scope="module")
def two_sites(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("sites")
    (folder / "keys.toml").write_text(KEYS)
    with running_site(sqlite_settings_in(sqlite_template, folder) | {"KEYS_FILE": folder / "keys.toml"}) as site:
        for stock in (PLAIN, HARD):
            site.pool.add([Drawn("abc234", a_png())] * 100, stock)
        yield site


def _challenge(site: Site, sitekey: str, headers: dict[str, str] = SHOP) -> requests.Response:
    return site.server.get("/challenge", params={"sitekey": sitekey}, headers=headers)


def _verify(site: Site, headers: dict[str, str] = SHOP, **fields: str) -> requests.Response:
    return site.server.post("/verify", json={"answer": "abc234"} | fields, headers=headers)


def test_a_token_is_for_its_site(two_sites: Site) -> None:
    challenge = _challenge(two_sites, "shop-key").json()
    given = {"sitekey": "shop-key", "action": "login", "cdata": "form-3"}
    token = _verify(two_sites, id=challenge["id"], **given).json()["token"]
    for secret in (Site.SECRET, "a-secret-of-another", "a-secret-of-the-slow"):
        assert two_sites.siteverify(token, secret=secret)["error-codes"] == ["invalid-input-response"]
    redeemed = two_sites.siteverify(token, secret=NEXT)
    assert redeemed["success"]
    assert (redeemed["hostname"], redeemed["action"], redeemed["cdata"]) == ("www.shop.example", "login", "form-3")
    assert two_sites.siteverify(token, secret=SECRET)["error-codes"] == ["timeout-or-duplicate"]

    without = two_sites.token()
    assert two_sites.siteverify(without, secret=SECRET)["error-codes"] == ["invalid-input-response"]
    redeemed = two_sites.siteverify(without, secret="a-secret-of-another")
    assert redeemed["success"]
    assert not {"action", "cdata"} & set(redeemed)


def test_a_site_s_captchas_are_as_hard_as_it_asks_for(two_sites: Site) -> None:
    before = two_sites.pool.level(HARD)
    usual, _ = two_sites.challenge()
    assert two_sites.pool.level(HARD) == before
    assert _verify(two_sites, id=usual, sitekey="shop-key").json()["reason"] == "expired"
    assert _challenge(two_sites, "slow-key").status_code == 200
    hard = _challenge(two_sites, "shop-key").json()["id"]
    assert _verify(two_sites, id=hard, sitekey="shop-key").json()["success"]


def test_pages_of_other_hosts_and_unknown_sitekeys_are_refused(two_sites: Site) -> None:
    for headers, named in (({"Origin": "https://shop.example.evil"}, "shop.example.evil"), ({}, "127.0.0.1")):
        answers = (
            _challenge(two_sites, "shop-key", headers),
            _verify(two_sites, headers, id="0" * 32, sitekey="shop-key"),
        )
        for answer in answers:
            assert answer.status_code == 400
            assert f"not for pages of {named}" in answer.json()["detail"]
    assert "No site has this sitekey" in _challenge(two_sites, "nobody").json()["detail"]
    assert "CAPTCHA_TESTING=true" in _challenge(two_sites, "testing-passes").json()["detail"]
    assert two_sites.siteverify("x", secret="testing-passes-secret")["error-codes"] == ["invalid-input-secret"]
    for action in ("a" * 33, "a b"):
        assert _verify(two_sites, id="0" * 32, action=action).status_code == 422


def test_a_site_has_limits_of_its_own(two_sites: Site) -> None:
    statuses = [_challenge(two_sites, "slow-key").status_code for _ in range(4)]
    assert statuses[-1] == 429
    assert _challenge(two_sites, "shop-key").status_code == 200
    statuses = [_verify(two_sites, id="0" * 32, sitekey="slow-key").status_code for _ in range(2)]
    assert statuses == [200, 429]


def test_what_a_token_is_for_is_kept(pool: Pool) -> None:
    """On both databases."""
    pool.add([Drawn("abc234", b"")], HARD)
    (popped,) = pool.pop(1, redeemable=True, stock=HARD)
    purpose = Purpose("www.shop.example", "shop", "login", None)
    (verdict,) = pool.settle([Attempt.of(popped.id, "abc234", purpose, "hard")], 3)
    assert isinstance(verdict, Verdict)
    assert verdict.token
    redemptions = [Redemption.of(verdict.token, None, site) for site in (None, "other", "shop")]
    first, second, (_, *rest) = pool.settle(redemptions, 3)
    assert isinstance(first, UnknownTokenError)
    assert isinstance(second, UnknownTokenError)
    assert tuple(rest) == Solved(popped.expires_at, "www.shop.example", "login", None, "picture")[1:]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('[sites.a]\nsitekey = "k"', "sites.a.secret: Field required"),
        ('[sites.a]\nsitekey = "k k"\nsecret = "a-secret-of-sixteen"', "sites.a.sitekey"),
        ('[sites.a]\nsitekey = "k"\nsecret = "short"', "sites.a.secret"),
        ('[sites.a]\nsitekey = "k"\nsecret = "a-secret-of-sixteen"\nhostnames = ["https://x"]', "sites.a.hostnames"),
        (KEYS.replace("slow-key", "shop-key"), "the same sitekey shop-key"),
        (KEYS.replace(NEXT, "a-secret-of-the-slow"), "the same secret; give"),
    ],
)
def test_a_mistake_in_a_site_stops_the_start_with_one_line(tmp_path: Path, content: str, reason: str) -> None:
    (tmp_path / "keys.toml").write_text(content)
    assert reason in refusal("server", "--check", KEYS_FILE=tmp_path / "keys.toml")


def test_keys_for_tests_touch_no_captcha(sqlite_settings: dict[str, object]) -> None:
    with running_site(sqlite_settings | {"TESTING": "true", "CORS_ORIGINS": "https://x.example"}) as site:
        found = {}
        for outcome in ("passes", "fails", "spent", "code"):
            challenge = _challenge(site, f"testing-{outcome}").json()
            picture = requests.get(challenge["fileURL"], timeout=10)
            assert picture.headers["content-type"] == "image/png"
            answers = [
                _verify(site, id=challenge["id"], answer=answer, sitekey=f"testing-{outcome}").json()
                for answer in ("any", CODE.upper())
            ]
            redeemed = site.siteverify("any", secret=f"testing-{outcome}-secret")
            found[outcome] = [answer["success"] for answer in answers], redeemed["error-codes"]
        assert found == {
            "passes": ([True, True], []),
            "fails": ([False, False], ["invalid-input-response"]),
            "spent": ([True, True], ["timeout-or-duplicate"]),
            "code": ([False, True], []),
        }
        # Nobody named the proxy of this request, nor the origin of those above.
        site.server.get("/challenge", headers={"X-Forwarded-For": "192.0.2.1", "Origin": "https://x.example"})
        log = [line for line in site.server.logged() if "CAPTCHA_" in line["event"]]
    events = [line["event"] for line in log]
    assert sum("CAPTCHA_TRUSTED_PROXIES" in event for event in events) == 1
    assert [line["origin"] for line in log if "CAPTCHA_CORS_ORIGINS" in line["event"]] == [SHOP["Origin"]]


def test_docs_and_demo_can_be_turned_off(sqlite_settings: dict[str, object]) -> None:
    with running_server(sqlite_settings | {"DOCS": "false", "DEMO": "none"}) as server:
        assert {server.get(path).status_code for path in ("/docs", "/redoc", "/openapi.json", "/demo", "/")} == {404}

"""Who may call what, how often, and from where."""

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import pytest
import requests
from fastapi import HTTPException

from pool.counters import Counters
from pool.pool import Drawn
from pool.settings import Settings
from server.access.limits import Limits
from server.access.visits import Visit, client_of
from tests.conftest import (
    PLAIN,
    Server,
    Site,
    a_png,
    drawn,
    only_line,
    refusal,
    run,
    running_server,
    running_site,
    wait_until,
)
from tests.process.test_challenges import counted

Serve = Callable[..., Server]
OLD, NEW, SECRET = "an-api-key-for-the-shop", "the-next-key-for-the-shop", "a-secret-for-the-other-site"


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_keys_are_rotated_without_a_restart(sqlite_settings: dict[str, object], tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    file.write_text(f'[api_keys]\nshop = "{OLD}"\n[site_secrets]\nother = "{SECRET}"\n')
    with running_site(sqlite_settings | {"KEYS_FILE": file}) as site:
        server = site.server

        def statuses() -> list[int]:
            return [server.get("/metrics", headers=_bearer(key)).status_code for key in (OLD, NEW, SECRET)]

        assert statuses() == [200, 401, 401]
        for secret in (SECRET, Site.SECRET):  # that of the settings counts as well
            assert site.siteverify("x", secret=secret)["error-codes"] == ["invalid-input-response"]
        file.write_text(f'[api_keys]\nshop = "{OLD}"\nshop-next = "{NEW}"\n')
        wait_until(lambda: statuses() == [200, 200, 401], "both keys to count")
        assert site.siteverify("x", secret=SECRET)["error-codes"] == ["invalid-input-secret"]
        file.write_text("[api_keys\n")
        wait_until(
            lambda: "is not TOML" in (server.get("/readyz", headers=_bearer(NEW)).json()["keys_error"] or ""),
            "the mistake to be noticed",
        )
        assert statuses() == [200, 200, 401]
        assert "keys.toml" not in server.get("/readyz").text  # who has no key learns no paths
        file.write_text(f'[api_keys]\nshop-next = {{key = "{NEW}", may = ["metrics"]}}\n')
        wait_until(lambda: statuses() == [401, 200, 401], "the old key to go")
        log = server.stop()
    assert "api_keys.shop-next added, site_secrets.other removed" in log
    assert "api_keys.shop removed, api_keys.shop-next changed (may)" in log
    named = {(line.get("path"), line.get("key")) for line in server.logged()}
    assert {("/metrics", "shop"), ("/metrics", "shop-next"), ("/readyz", "shop-next")} <= named
    assert not any(secret in log for secret in (OLD, NEW, SECRET, Site.SECRET))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"),
        ("api_keys = 5", "api_keys"),
        ('[api_keys]\nshop = "short"', "api_keys.shop: must be 16 or more"),
        ("[keys]\n", "keys: Extra inputs"),
        ("?", "is not TOML"),
        (f'[api_keys]\ndefault = "{OLD}"', "api_keys: the name default is taken"),
        ("a = " + "[" * 5000, "is not TOML: too many brackets"),
        ("a = " + "9" * 5000, "is not TOML"),
        (f'[api_keys]\na = {{key = "{OLD}", may = ["all"]}}', "api_keys.a.may"),
        (
            f'[sites.a]\nsitekey = "a"\nsecret = "{OLD}"\nissue_limit = "{"9" * 5000}/day"',
            "sites.a.issue_limit: must look",
        ),
        ("#" * 2**21, "is larger than 1 MiB"),
    ],
)
def test_a_bad_file_of_keys_stops_the_start_with_one_line(tmp_path: Path, content: str | None, reason: str) -> None:
    file = tmp_path / "keys.toml"
    if content is not None:
        file.write_text(content)
    settings = {"DATABASE_URL": f"sqlite:///{tmp_path}/x.db", "FILES_DIR": tmp_path / "files", "KEYS_FILE": file}
    line = refusal("server", "--workers", 2, **settings)
    assert "CAPTCHA_KEYS_FILE" in line
    assert reason in line
    assert line == only_line(run("uvicorn", "server.app:application", **settings))


def test_a_pipe_in_place_of_the_keys_stops_nobody(sqlite_settings: dict[str, object], tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    file.write_text(f'[api_keys]\nshop = "{OLD}"\n')
    with running_server(sqlite_settings | {"KEYS_FILE": file}) as server:
        file.unlink()
        os.mkfifo(file)

        def error() -> str:
            return server.get("/readyz", headers=_bearer(OLD)).json()["keys_error"] or ""

        wait_until(lambda: "not a regular file" in error(), "the pipe to be noticed")
        assert server.get("/metrics", headers=_bearer(OLD)).ok
    assert "not a regular file" in only_line(run("server", "--check", **sqlite_settings, KEYS_FILE=file))


def test_a_key_does_what_it_may(sqlite_settings: dict[str, object], tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    rights = {"generate": ["generate"], "metrics": ["metrics"], "both": ["generate", "load"]}
    lines = [f'{name} = {{key = "{name}-of-sixteen-or-more", may = {may}}}' for name, may in rights.items()]
    file.write_text("\n".join(["[api_keys]", f'all = "{OLD}"', *lines]))
    with running_server(sqlite_settings | {"KEYS_FILE": file}) as server:
        for name, may in (rights | {"all": ["generate", "load", "metrics"]}).items():
            key = _bearer(OLD if name == "all" else f"{name}-of-sixteen-or-more")
            assert (server.get("/generate", headers=key).status_code == 503) == ("generate" in may), name
            assert server.post("/load", files={"file": a_png()}, headers=key).ok == ("load" in may), name
            assert server.get("/metrics", headers=key).ok == ("metrics" in may), name
            assert ("plain (standard)" in server.get("/readyz", headers=key).text) == ("metrics" in may), name


def test_the_last_api_key_can_t_be_taken_out_while_running(sqlite_settings: dict[str, object], tmp_path: Path) -> None:
    file, away = tmp_path / "keys.toml", tmp_path / "away.toml"
    file.write_text(f'[api_keys]\nshop = "{OLD}"\n')
    with running_server(sqlite_settings | {"KEYS_FILE": file}) as server:

        def error() -> str:
            return server.get("/readyz", headers=_bearer(OLD)).json()["keys_error"] or ""

        file.rename(away)
        wait_until(lambda: "can't be read" in error(), "the file to be missed")
        away.rename(file)
        wait_until(lambda: not error(), "the file to be found as it was")
        file.write_text("")
        wait_until(lambda: "no API key any more" in error(), "the mistake to be noticed")
        assert server.get("/metrics").status_code == 401
        assert server.get("/metrics", headers=_bearer(OLD)).status_code == 200


def _statuses(server: Server, count: int, **headers: str) -> list[int]:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return [server.get("/challenge", headers=names).status_code for _ in range(count)]


def test_issuing_is_limited(sqlite_settings: dict[str, object]) -> None:
    with running_site(sqlite_settings | {"ISSUE_LIMIT": "3/hour"}) as site:
        server = site.server
        assert _statuses(server, 5) == [503] * 5  # the pool is empty, which does not count
        site.pool.add(drawn(9), PLAIN)
        assert _statuses(server, 5) == [200, 200, 200, 429, 429]
        answer = server.get("/challenge")
        assert "Too many" in answer.json()["detail"]
        assert int(answer.headers["retry-after"]) > 0
        assert counted(server, "gantcha_limited_total", action="issue") == 3
        assert server.get("/generate").ok  # a trusted caller is not limited


def test_answers_to_the_demo_are_limited(sqlite_settings: dict[str, object]) -> None:
    with running_server(sqlite_settings | {"ANSWER_LIMIT": "2/hour"}) as server:
        sent = {"gantcha-response": "x"}
        assert [server.post("/demo", data=sent).status_code for _ in range(3)] == [200, 200, 429]


def test_a_forwarded_address_is_not_believed(sqlite_settings: dict[str, object]) -> None:
    with running_site(sqlite_settings | {"ISSUE_LIMIT": "2/hour"}) as site:
        site.pool.add(drawn(9), PLAIN)
        seen = [_statuses(site.server, 1, X_Forwarded_For=f"203.0.113.{number}")[0] for number in range(4)]
        assert seen == [200, 200, 429, 429]


def test_a_trusted_proxy_tells_clients_apart(sqlite_settings: dict[str, object]) -> None:
    settings = sqlite_settings | {"ISSUE_LIMIT": "2/hour", "TRUSTED_PROXIES": "127.0.0.0/8, 10.1.2.3"}
    with running_site(settings) as site:
        server = site.server
        site.pool.add(drawn(9), PLAIN)
        assert _statuses(server, 3, X_Forwarded_For="203.0.113.1") == [200, 200, 429]
        assert _statuses(server, 1, X_Forwarded_For="203.0.113.2, 10.1.2.3") == [200]
        # What the client wrote itself stands to the left of what the proxy saw.
        assert _statuses(server, 1, X_Forwarded_For="198.51.100.77, 203.0.113.1") == [429]
        loaded = server.post("/load", files={"file": a_png()}, headers={"X-Forwarded-For": "127.0.0.1"})
        assert loaded.status_code == 403
        assert "203.0.113.2" in {line.get("client") for line in server.logged()}


def test_behind_a_proxy_urls_are_what_the_browser_sees(sqlite_settings: dict[str, object]) -> None:
    with running_site(sqlite_settings | {"TRUSTED_PROXIES": "127.0.0.1"}) as site:
        site.pool.add([Drawn("abc234", a_png())], PLAIN)
        headers = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.1", "Host": "captcha.example"}
        answer = site.server.get("/challenge", headers=headers)
        assert answer.json()["fileURL"].startswith("https://captcha.example/")


@pytest.mark.parametrize("setting", [{"TRUSTED_PROXIES": "10.1.2.3"}, {"PUBLIC_URL": "https://captcha.example"}])
def test_behind_a_proxy_nobody_is_local(sqlite_settings: dict[str, object], setting: dict[str, object]) -> None:
    with running_server(sqlite_settings | setting) as server:  # for the proxy may add no header
        assert server.get("/generate").status_code == 403
        assert server.post("/load", files={"file": a_png()}).status_code == 403


def test_a_subscriber_s_network_is_one_client() -> None:
    class Asked:
        def __init__(self, host: str) -> None:
            self.client = type("Client", (), {"host": host})()

    clients = ["2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:3::1", "::ffff:192.0.2.1", "192.0.2.1", "unix"]
    named = [client_of(Asked(host)) for host in clients]  # type: ignore[arg-type] # all that it looks at
    assert named[0] == named[1] != named[2]
    assert named[3] == named[4] == "192.0.2.1"
    assert named[5] == "unix"


def test_a_customer_with_many_networks_is_limited_too() -> None:
    """A hoster gives 65,536 networks like those of subscribers to one customer."""
    limits = Limits(Settings(issue_limit="2/minute"), Counters(lambda: 0.0))

    def passed(clients: Iterable[str]) -> int:
        count = 0
        for client in clients:
            with suppress(HTTPException):
                limits.spend("issue", client)
                count += 1
        return count

    assert passed(f"2001:db8:1:{number:x}::/64" for number in range(256)) == 2 * 16
    assert passed(f"2001:db8:1:{number:x}::/64" for number in range(256, 65_536)) == 2 * (64 - 16)
    assert passed(["2001:db8:2:1::/64"] * 3) == 2
    limits.refund("issue", Visit("2001:db8:1:1::/64", ""))
    assert passed(["2001:db8:1:1::/64"]) == 1


def test_a_foreign_page_can_t_use_up_what_its_visitors_may_do(sqlite_settings: dict[str, object]) -> None:
    """As `<img src>` or `fetch` without CORS, whose answer it can't read; the widget and forms send other words."""
    unseen = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    with running_server(sqlite_settings | {"ISSUE_LIMIT": "1/minute", "ANSWER_LIMIT": "1/minute"}) as server:
        for _ in range(3):
            assert server.get("/challenge", headers=unseen).status_code == 403
            assert server.post("/verify", data="x", headers=unseen).status_code == 403
        assert server.get("/challenge", headers=unseen | {"Sec-Fetch-Mode": "cors"}).status_code == 503  # it is empty
        assert server.post("/verify", json={"id": "0", "answer": "x"}).status_code == 200


def test_several_limits_hold_together() -> None:
    limits = Limits(Settings(issue_limit="5/second;7/hour"), Counters())
    passed = 0
    for _ in range(3):
        for _ in range(5):
            try:
                limits.spend("issue", "client")
                passed += 1
            except Exception as refused:
                assert getattr(refused, "status_code", None) == 429
    assert passed <= 7


def test_other_sites_may_ask_when_the_setting_says_so(sqlite_settings: dict[str, object], serve: Serve) -> None:
    asked = {"Origin": "https://www.example.com", "Access-Control-Request-Method": "POST"}
    closed = serve(sqlite_settings)
    assert (
        "access-control-allow-origin" not in requests.options(closed.url + "/verify", headers=asked, timeout=10).headers
    )
    closed.stop()
    opened = serve(sqlite_settings | {"CORS_ORIGINS": "https://www.example.com,https://shop.example.com"})
    preflight = requests.options(opened.url + "/verify", headers=asked, timeout=10)
    assert preflight.ok
    assert preflight.headers["access-control-allow-origin"] == "https://www.example.com"
    assert "access-control-allow-credentials" not in preflight.headers
    stranger = opened.get("/challenge", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in stranger.headers


def test_bad_settings_of_access_stop_the_start() -> None:
    for network in ("0.0.0.0/0", "::/0", "10.0.0.5,0.0.0.0/0"):
        assert "would trust everyone" in refusal("server", "--check", TRUSTED_PROXIES=network)
    for name, value in {
        "ISSUE_LIMIT": "many",
        "ANSWER_LIMIT": "0/minute",
        "TRUSTED_PROXIES": "proxy.example",
        "CORS_ORIGINS": "www.example.com",
        "SITE_SECRET": "short",
    }.items():
        assert f"CAPTCHA_{name}" in refusal("server", **{name: value})


def test_a_request_has_one_id_from_end_to_end(idle_server: Server) -> None:
    answer = idle_server.get("/healthz", headers={"X-Request-ID": "trace-42_a"})
    assert answer.headers["x-request-id"] == "trace-42_a"
    drawn_id = idle_server.get("/healthz", headers={"X-Request-ID": "not an id\t{}"}).headers["x-request-id"]
    assert len(drawn_id) == 16
    wait_until(lambda: drawn_id in idle_server.printed(), "the line, which is written after the answer")
    (line,) = [line for line in idle_server.logged() if line.get("request_id") == drawn_id]
    assert (line["event"], line["path"], line["status"]) == ("request", "/healthz", 200)

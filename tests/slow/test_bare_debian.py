"""docs/deployment.md, typed on a fresh Debian from its first command to its last, comes to what it says."""

import ssl
import tomllib
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPSConnection
from typing import Any

import pytest
import requests
from sqlalchemy import select, text

from pool import database
from pool.models import captcha
from tests.conftest import ROOT, wait_until
from tests.support.debian import Machine, fresh_debian
from tests.support.documents import blocks, clone_with_changes
from tests.support.visitors import Visitors

PAGE = ROOT / "docs" / "deployment.md"
PROMETHEUS = "http://127.0.0.1:9090/api/v1"
PORTS = 80, 443, 5432, 6432, 8001, 8002, 9090, 9100


def _typed(first: str, last: str) -> str:
    """Return what is typed between two headings of the page, with the address of this clone."""
    page = PAGE.read_text()
    begin, end = (page[: page.index(f"\n{heading}\n")].count("\n") for heading in (first, last))
    shown = "\n".join(b.content for b in blocks(PAGE) if b.language == "bash" and begin < b.line < end)
    return shown.replace("https://git.example.com/gantcha.git", "/mnt/gantcha")


class Installed:
    """What the commands have come to, and a client of it."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        lines = (machine.root / "etc/gantcha.env").read_text().splitlines()
        self.settings = dict(line.split("=", 1) for line in lines)
        self.keys = tomllib.loads((machine.root / "etc/gantcha.toml").read_text())["api_keys"]
        self.engine = database.connect(self.settings["CAPTCHA_DATABASE_URL"])
        self._tls = ssl.create_default_context(cafile=str(machine.root / "etc/ssl/www.example.com.crt"))
        self._tls.check_hostname = False  # here the name leads nowhere

    def connect(self, address: str) -> HTTPSConnection:
        return HTTPSConnection("127.0.0.1", context=self._tls, source_address=(address, 0), timeout=30)

    def visitors(self) -> Visitors:
        return Visitors(self.connect, self.keys["back_end"], self._code_of)

    def _code_of(self, captcha_id: str) -> str:
        with database.transaction(self.engine) as connection:
            return str(connection.scalar(select(captcha.c.code).where(captcha.c.id == captcha_id)))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    folder = tmp_path_factory.mktemp("machine")
    (folder / "source").mkdir()
    clone_with_changes(folder / "source" / "gantcha")
    with fresh_debian(folder, folder / "source", PORTS) as machine:
        machine.type(_typed("## From a bare Debian", "### New settings, new versions"))
        installed = Installed(machine)
        yield installed
        installed.engine.dispose()


def test_the_last_command_shows_the_pool(installed: Installed) -> None:
    assert "plain (standard, 2x)" in installed.machine.printed


def test_nobody_is_refused_while_servers_restart_in_turn(installed: Installed) -> None:
    with installed.visitors() as visitors:
        visitors.wait_for_visits(5)
        installed.machine.type(_typed("### New settings, new versions", "### More machines"))
        visitors.wait_for_visits(5)
    assert set(visitors.outcomes) == {"/generate 200", "/challenge 200", "/{id} 200", "/verify 200"}


def test_all_connections_to_postgresql_are_the_pooler_s(installed: Installed) -> None:
    """The programs connect to PgBouncer, so these are its twenty."""
    asked = text("SELECT count(*) FROM pg_stat_activity WHERE usename = 'gantcha'")
    with database.transaction(installed.engine) as connection:
        assert 0 < connection.scalar(asked) <= 20
    assert ":6432/" in installed.settings["CAPTCHA_DATABASE_URL"]


@pytest.mark.usefixtures("installed")
def test_prometheus_reads_both_servers_and_the_alerts() -> None:
    def ask(what: str) -> Any:
        return requests.get(f"{PROMETHEUS}/{what}", timeout=30).json()["data"]

    def healths() -> dict[str, str]:
        return {target["labels"]["instance"]: target["health"] for target in ask("targets")["activeTargets"]}

    wanted = dict.fromkeys(("127.0.0.1:8001", "127.0.0.1:8002", "127.0.0.1:9100"), "up")
    wait_until(lambda: healths() == wanted, "Prometheus to read both servers")

    def rules() -> set[str]:
        """The health of the rules."""
        (group,) = (group for group in ask("rules")["groups"] if group["name"] == "gantcha")
        return {rule["health"] for rule in group["rules"]}

    wait_until(lambda: rules() == {"ok"}, "Prometheus to apply the rules")
    assert not [alert for alert in ask("alerts")["alerts"] if alert["state"] == "firing"]


def test_the_key_of_prometheus_hands_out_no_code(installed: Installed) -> None:
    key = installed.keys["prometheus"]["key"]
    headers = {"Authorization": f"Bearer {key}"}
    assert requests.get("http://127.0.0.1:8001/metrics", headers=headers, timeout=30).ok
    assert requests.get("http://127.0.0.1:8001/generate", headers=headers, timeout=30).status_code == 401


def test_the_operator_s_page_is_behind_the_proxy(installed: Installed) -> None:
    given = b64encode(f"me:{installed.keys['prometheus']['key']}".encode()).decode()
    with closing(installed.connect("127.0.0.1")) as browser:
        for headers, status, shown in (({}, 401, b""), ({"Authorization": f"Basic {given}"}, 200, b"<h1>Ready</h1>")):
            browser.request("GET", "/captcha/operator", headers=headers)
            answer = browser.getresponse()
            assert (answer.status, shown in answer.read()) == (status, True)


def test_what_the_machine_starts_again_comes_up(installed: Installed) -> None:
    """All is enabled, as after a reboot, and nothing has failed."""
    units = "gantcha@8001 gantcha@8002 gantcha-refill nginx pgbouncer postgresql prometheus"
    installed.machine.type(f"systemctl is-enabled {units}; systemctl is-active {units}; systemctl --failed --quiet")
    assert installed.machine.printed.split() == ["enabled"] * 7 + ["active"] * 7

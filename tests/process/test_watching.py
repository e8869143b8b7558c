"""Alerts and dashboard of `examples/` ask for what a real server's `/metrics` has, and docs/operations.md lists it."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import ROOT, Site, run, running_site, sqlite_settings_in
from tests.support.programs import needs

PROMETHEUS = ROOT / "examples" / "prometheus"
RULES = [rule for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"] for rule in group["rules"]]
PANELS = json.loads((ROOT / "examples" / "grafana" / "gantcha.json").read_text())["panels"]
SHOWN = [target["expr"] for panel in PANELS for target in panel.get("targets", ())]
KEYS = '[sites.shop]\nsitekey = "shop-key"\nsecret = "a-secret-of-the-shop"\n'


@pytest.fixture(scope="module")
def site(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site whose pool was filled by another process."""
    folder = tmp_path_factory.mktemp("watched")
    (folder / "keys.toml").write_text(KEYS)
    settings = sqlite_settings_in(sqlite_template, folder) | {"KEYS_FILE": folder / "keys.toml"}
    assert run("batch.fill", "--count", 5, **settings).returncode == 0
    with running_site(settings) as site:
        assert site.server.get("/healthz").ok
        yield site


def _families(site: Site) -> list[Metric]:
    families = text_string_to_metric_families(site.server.get("/metrics").text)
    return [family for family in families if family.name.startswith("gantcha_")]


@pytest.mark.parametrize("expression", [rule["expr"] for rule in RULES] + SHOWN)
def test_what_is_asked_for_is_there(site: Site, expression: str) -> None:
    """Every metric, its labels, and the values that a rule names; `job` comes from Prometheus."""
    samples = [sample for family in _families(site) for sample in family.samples]
    present = {sample.name for sample in samples}
    present |= {family.name for family in _families(site) if not family.samples}  # no lease is held
    for name, selector in re.findall(r"(gantcha_\w+)(?:\{(.*?)\})?", expression):
        assert name in present
        for label, sign, value in re.findall(r'(\w+)(=~|!~|!=|=)"(.*?)"', selector):
            if label == "job":
                continue
            values = {sample.labels[label] for sample in samples if sample.name == name}
            assert value in values if sign == "=" else values, label
    assert re.search(r"gantcha_|node_filesystem_|\bup\b", expression)


def test_the_dashboard_needs_no_plugin() -> None:
    assert {panel["type"] for panel in PANELS} == {"row", "stat", "timeseries"}
    assert all(panel["datasource"]["type"] == "prometheus" for panel in PANELS if panel["type"] != "row")


def test_the_table_of_metrics_is_whole(site: Site) -> None:
    table = (ROOT / "docs" / "operations.md").read_text().partition("| metric |")[2].partition("\n\n")[0]
    listed = re.findall(r"`(gantcha_\w+)", table)
    assert len(set(listed)) == len(listed)
    there = {f"{family.name}_total" if family.type == "counter" else family.name for family in _families(site)}
    assert set(listed) == there


@needs("promtool")
@pytest.mark.parametrize(
    "words", ["check config prometheus.yml", "check rules alerts.yml", "test rules alerts.test.yml"]
)
def test_prometheus_takes_the_rules(words: str) -> None:
    checked = subprocess.run(["promtool", *words.split()], cwd=PROMETHEUS, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_alert_is_seen_to_fire() -> None:
    tests = yaml.safe_load((PROMETHEUS / "alerts.test.yml").read_text())["tests"]
    cases = [case for test in tests for case in test.get("alert_rule_test", ())]
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == {rule["alert"] for rule in RULES}


@needs("promtool")
def test_prometheus_takes_what_the_dashboard_asks_for(tmp_path: Path) -> None:
    asked = [expression.replace("$__rate_interval", "1m").replace("$job", "gantcha") for expression in SHOWN]
    rules = [{"record": f"asked:{number}", "expr": expression} for number, expression in enumerate(asked)]
    (tmp_path / "asked.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    checked = subprocess.run(
        ["promtool", "check", "rules", tmp_path / "asked.yml"], capture_output=True, text=True, check=False
    )
    assert f"{len(SHOWN)} rules found" in checked.stdout, checked.stdout + checked.stderr

"""Work in Chromium, Firefox and WebKit: while a visitor types, instead of a picture, and without WebCrypto."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pool.pool import Drawn
from tests.conftest import PLAIN, Site, a_png, running_site, sqlite_settings_in
from tests.slow.browsers.conftest import Widget
from tests.support.elsewhere import page_elsewhere
from tests.support.engines import Engine
from tests.support.proxy import Proxy
from tests.support.solving import CODE, QUIET_SITE, SECRET

_SECONDS = 60
_HEAD = '<!doctype html><html lang="en"><title>A page</title><link rel="icon" href="data:,">'
_QUIET = '<div class="gantcha" data-sitekey="quiet-key" data-mode="quiet"></div>'


@pytest.fixture(scope="module")
def site(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site that asks for work, and pages of any origin may use."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "keys.toml").write_text(QUIET_SITE)
    settings = {"WORK": "light", "KEYS_FILE": folder / "keys.toml", "CORS_ORIGINS": "*"}
    with running_site(sqlite_settings_in(sqlite_template, folder) | settings) as running:
        running.pool.add([Drawn(CODE, a_png())] * 50, PLAIN)
        yield running


def _tick(site: Site, engine: Engine, widget: Widget) -> None:
    """Tick the box; check what its token is worth."""
    engine.click(widget.part("[role=checkbox]"))
    engine.until(f"{widget.part('[role=checkbox]')}.ariaChecked === 'true'", "a tick", _SECONDS)
    token = engine.evaluate("document.querySelector('[name=gantcha-response]').value")
    assert site.siteverify(token, secret=SECRET)["mode"] == "quiet"
    assert engine.complaints == []


def test_an_answer_waits_for_its_work(engine: Engine, widget: Widget, proxy: Proxy) -> None:
    proxy.pages["/page"] = f'{_HEAD}<script src="widget.js"></script><form><div class="gantcha"></div></form>'
    engine.open(f"{proxy.url}/page")
    widget.shown()
    widget.solve(CODE)
    assert engine.complaints == []
    assert len(proxy.asked("/challenge")) == 1


def test_a_device_proves_it_instead(site: Site, engine: Engine, widget: Widget, proxy: Proxy) -> None:
    proxy.pages["/page"] = (
        f'{_HEAD}<script src="widget.js"></script><form><div class="gantcha" data-sitekey="quiet-key"></div></form>'
    )
    engine.open(f"{proxy.url}/page")
    widget.shown()
    engine.evaluate(f"""(() => {{
        window.said = [];
        const status = {widget.part("#status")};
        new MutationObserver(() => said.push(status.textContent)).observe(status, {{ childList: true }});
    }})()""")
    engine.click(widget.part(".device"))
    engine.until(f"{widget.part('#status')}.innerText === 'Confirmed'", "the end of the work", 4 * _SECONDS)
    quarters = [int(found[1]) for found in (re.search(r"(\d+) %$", said) for said in engine.evaluate("said")) if found]
    assert quarters == [25, 50, 75][: len(quarters)]
    token = engine.evaluate("document.querySelector('[name=gantcha-response]').value")
    assert site.siteverify(token, secret=SECRET)["mode"] == "alternative"


@pytest.mark.parametrize("webcrypto", ["with", "without"])
def test_a_box_is_ticked(site: Site, engine: Engine, widget: Widget, proxy: Proxy, webcrypto: str) -> None:
    script = "Object.defineProperty(Crypto.prototype, 'subtle', { value: undefined })" * (webcrypto == "without")
    head = f'{_HEAD}<script>{script}</script><script src="widget.js"></script>'
    proxy.pages["/page"] = f"{head}<form>{_QUIET}</form>"
    engine.open(f"{proxy.url}/page")
    _tick(site, engine, widget)
    assert len(proxy.asked("/pbkdf2.js")) == (webcrypto == "without")


def test_a_strict_policy_has_nothing_to_complain_of(site: Site, engine: Engine, widget: Widget) -> None:
    with page_elsewhere(site.server.url, _QUIET, "") as (url, _):
        engine.open(url)
        _tick(site, engine, widget)

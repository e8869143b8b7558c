"""The page of the operator on a phone, in a dark room, and for who hears it."""

from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from pool.models import Stock
from tests.browser.test_accessibility import RULES
from tests.conftest import PLAIN, Site, drawn, run, running_site
from tests.support.chromium import Visit
from tests.support.programs import needs
from tests.support.two_days import count_two_days

pytestmark = needs("chromium")
KEY = "a-key-that-may-only-look"
SITE = "a-site-with-the-longest-name-that-there-may-be." + "x" * 17


@pytest.mark.parametrize("width", [320, 1280])
@pytest.mark.parametrize("colours", ["light", "dark", "forced"])
def test_the_page_is_for_everyone(
    sqlite_settings: dict[str, object], browser: Browser, tmp_path: Path, width: int, colours: str
) -> None:
    keys = f'[api_keys]\nlooking = {{key = "{KEY}", may = ["metrics"]}}\n[sites."{SITE}"]\nsitekey = "x"\n'
    (tmp_path / "keys.toml").write_text(f'{keys}secret = "a-secret-of-sixteen"\n')
    settings = sqlite_settings | {"KEYS_FILE": tmp_path / "keys.toml", "DOUBT": "true"}
    schemes: dict[str, Any] = {"forced": {"forced_colors": "active"}}
    with running_site(settings) as site:
        for stock in (PLAIN, Stock("plain", "hard")):
            site.pool.add(drawn(30), stock)
        count_two_days(site.pool.engine, most=123_456)
        broken = run("batch.fill", "--count", 5, **settings | {"CHECKPOINTS_DIR": tmp_path})
        assert broken.returncode == 1
        context = browser.new_context(
            viewport={"width": width, "height": 640},
            http_credentials={"username": "anyone", "password": KEY},
            **schemes.get(colours, {"color_scheme": colours}),
        )
        visit = Visit(context)
        page = visit.page
        page.goto(f"{site.server.url}/operator")
        assert Axe().run(page, options=RULES).response["violations"] == []
        assert page.evaluate("document.documentElement.scrollWidth") == width
        expect(page).to_have_title("Ready: Gantcha")
        expect(page.get_by_role("heading", level=2)).to_have_text(
            ["Stocks", "Last fills", "Sites, in two days", "By hour (bars: issued)", "Samples"]
        )
        expect(page.get_by_role("img")).to_have_count(2)
        expect(page.get_by_role("rowheader", name=SITE)).to_be_visible()
        expect(page.get_by_text("manifest.json can't be read")).to_have_count(2)
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Reload")).to_be_focused()
        page.keyboard.press("Enter")
        page.wait_for_load_state()
        assert page.url == f"{site.server.url}/operator"
        assert visit.complaints == []
        context.close()


def test_the_page_works_under_a_prefix(site: Site, browser: Browser) -> None:
    """As behind a proxy that takes the prefix off."""
    visit, url = Visit(browser.new_context()), site.server.url
    page = visit.page
    page.route(
        f"{url}/captcha/**",
        lambda route: route.fulfill(response=route.fetch(url=route.request.url.replace("/captcha", ""))),
    )
    page.goto(f"{url}/captcha/operator")
    assert page.evaluate("getComputedStyle(document.body).maxWidth") == "960px"
    with page.expect_response(f"{url}/captcha/operator") as again:
        page.get_by_role("link", name="Reload").click()
    assert again.value.ok
    assert all(asked.startswith((f"{url}/captcha/", "data:")) for asked in visit.requests)
    assert visit.complaints == []
    page.unroute_all(behavior="wait")  # an answer that outlives the page would be an error of the next test
    page.context.close()

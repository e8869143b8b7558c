"""The page for visitors without JavaScript, in Chromium with scripts off, in w3m, and asked by programs."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import requests
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Route, expect
from sqlalchemy import update

from gantcha.drawing.png import encode_png
from pool import database
from pool.models import captcha
from pool.pool import Drawn
from tests.conftest import CROSSED_OUT, PLAIN, Site, a_png, running_site, sqlite_settings_in
from tests.support.chromium import Visit
from tests.support.programs import needs

PAGE = "http://localhost:5999"
"""Origin of a site's page; nobody listens there."""
KEYS = """
[sites.shop]
sitekey = "shop-key"
secret = "a-secret-of-the-shop"
hostnames = ["shop.example"]
"""


@pytest.fixture(scope="module")
def plain(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("plain")
    (folder / "keys.toml").write_text(KEYS)
    settings = {"KEYS_FILE": folder / "keys.toml", "CORS_ORIGINS": f"{PAGE},https://www.example.com"}
    with running_site(sqlite_settings_in(sqlite_template, folder) | settings) as site:
        site.pool.add([Drawn("abc234", a_png())] * 200, PLAIN)
        yield site


def _get(site: Site, **parameters: str) -> requests.Response:
    return site.server.get("/plain", params=parameters)


def _id(page: requests.Response) -> str:
    (file_id,) = re.findall(r'name="id" value="(\w+)"', page.text)
    return str(file_id)


def _post(site: Site, page: requests.Response, answer: str | None, **parameters: str) -> requests.Response:
    """Answer the challenge that a page shows."""
    fields = {"id": _id(page)} | ({} if answer is None else {"answer": answer})
    return site.server.post("/plain", params=parameters, data=fields, allow_redirects=False)


def _said(page: requests.Response) -> str:
    (sentence,) = re.findall(r'role="(?:alert|status)">(.*?)<', page.text)
    return unescape(sentence)


def _token(page: requests.Response) -> str:
    (token,) = re.findall(r'readonly value="(.*?)"', page.text)
    return str(token)


@needs("chromium")
def test_a_form_is_completed_without_javascript(plain: Site, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False, locale="en-GB")
    visit, sent = Visit(context), list[dict[str, list[str]]]()
    page = visit.page

    def answer(route: Route) -> None:
        if route.request.method == "POST":
            sent.append(parse_qs(route.request.post_data))
        noscript = f"""<noscript><iframe src="{plain.server.url}/plain?action=login" title="Captcha"></iframe>
            <label>Confirmation <input name="gantcha-response"></label></noscript>"""
        body = (
            f'<!doctype html><link rel="icon" href="data:,"><form method="post">{noscript}<button>Send</button></form>'
        )
        route.fulfill(body=body, content_type="text/html")

    page.route(f"{PAGE}/**", answer)
    page.goto(PAGE)
    frame = page.frame_locator("iframe")
    frame.get_by_label("Answer").fill("wrong")
    frame.get_by_role("button", name="Check").click()
    expect(frame.get_by_role("alert")).to_have_text("That was not right. Here is a new picture.")
    frame.get_by_label("Answer").fill("abc234")
    frame.get_by_role("button", name="Check").click()
    expect(frame.get_by_role("status")).to_have_text("Confirmed")
    frame.get_by_label("Copy this text").press("Tab")
    token = frame.get_by_label("Copy this text").input_value()
    page.get_by_label("Confirmation").fill(token)
    page.get_by_role("button", name="Send").click()
    page.wait_for_load_state()
    assert sent == [{"gantcha-response": [token]}]
    redeemed = plain.siteverify(token)
    assert (redeemed["success"], redeemed["hostname"], redeemed["action"]) == (True, "127.0.0.1", "login")

    page.goto(f"{plain.server.url}/plain?return={PAGE}/comment%3Fdraft=7%26gantcha-response=x%23form")
    page.get_by_label("Answer").fill("ABC 234")
    page.get_by_role("button", name="Check").click()
    page.wait_for_url(f"{PAGE}/comment?draft=7&gantcha-response=*#form")
    redeemed = plain.siteverify(parse_qs(urlsplit(page.url).query)["gantcha-response"][0])
    assert (redeemed["success"], redeemed["hostname"]) == (True, "localhost")
    assert visit.complaints == []
    assert context.cookies() == []
    context.close()


@needs("chromium")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_passes_axe_and_fits_small_screens(plain: Site, browser: Browser, scheme: str) -> None:
    context = browser.new_context(viewport={"width": 320, "height": 600}, color_scheme=scheme, locale="ar")  # type: ignore[arg-type] # one of its words
    visit = Visit(context)
    page = visit.page
    page.goto(f"{plain.server.url}/plain")
    for answer in ("", "wrong", "abc234"):
        assert Axe().run(page).response["violations"] == [], answer
        assert page.evaluate("document.documentElement.scrollWidth") == 320
        page.locator("#answer").fill(answer)
        with page.expect_navigation():
            page.get_by_role("button").click()
    expect(page.get_by_role("status")).to_have_text("تم التأكيد")
    assert Axe().run(page).response["violations"] == []
    expect(page.locator("html")).to_have_attribute("dir", "rtl")
    assert visit.complaints == []
    context.close()


@needs("chromium")
@pytest.mark.parametrize(
    ("of_file", "shown"),
    [((300, 120), (300, 120)), ((600, 240), (300, 120)), ((200, 120), (200, 120)), ((400, 240), (200, 120))],
)
def test_pictures_of_both_densities_are_equally_large(
    plain: Site, browser: Browser, of_file: tuple[int, int], shown: tuple[int, int]
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    png = encode_png(np.full(of_file[::-1], 200, np.uint8))
    page.route(re.compile("/[0-9a-f]{32}$"), lambda route: route.fulfill(body=png, content_type="image/png"))
    page.goto(f"{plain.server.url}/plain")
    box = page.locator(".picture").bounding_box()
    assert box
    assert (box["width"], box["height"] - 2) == shown  # without its borders
    context.close()


@needs("w3m")
def test_a_form_is_completed_in_w3m(plain: Site, tmp_path: Path) -> None:
    """At its keyboard; the last page is the one it goes back to."""
    keyboard, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 24, 100, 0, 0))
    command = ["setsid", "--ctty", "w3m", f"{plain.server.url}/plain?return={plain.server.url}/demo?from=w3m"]
    environment = os.environ | {"HOME": str(tmp_path), "TERM": "xterm", "LANG": "C.UTF-8"}
    with subprocess.Popen(
        command, stdin=terminal, stdout=terminal, stderr=terminal, env=environment, start_new_session=True
    ) as w3m:
        # The last link, back to the button and to the field, and into that; then to the button and onto it.
        for keys, wanted in (("", "picture"), ("]\x1b\t\x1b\t\r", "TEXT"), ("abc234\r", "abc234"), ("\t\r", "Gantcha")):
            os.write(keyboard, keys.encode())
            shown = ""
            while wanted not in shown:
                assert select.select([keyboard], [], [], 20)[0], f"w3m does not show {wanted}, but {shown}"
                shown += os.read(keyboard, 4096).decode(errors="replace")
        os.write(keyboard, b"qy")
    os.close(keyboard)
    os.close(terminal)
    assert w3m.returncode == 0
    assert plain.server.logged()[-1]["path"] == "/demo"


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example",
        "https://www.example.com.evil.example/",
        "https://www.example.com@evil.example/",
        "https://anyone@www.example.com/",
        "http://www.example.com/",
        "https://www.example.com:444/",
        "https:\\\\evil.example",
        "https:evil.example",
        "//evil.example",
        "/demo",
        "javascript:alert(1)",
        "https://shop.example/",  # without its sitekey
    ],
)
def test_visitors_go_back_only_to_pages_of_the_site(plain: Site, url: str) -> None:
    page = _get(plain)
    for answer in (_get(plain, **{"return": url}), _post(plain, page, "abc234", **{"return": url})):
        assert answer.status_code in (400, 422)
        assert answer.json()["detail"].startswith("return: ")
    assert _post(plain, page, "abc234").status_code == 200  # nothing was spent


def test_a_forged_field_is_not_kept(plain: Site) -> None:
    forged = "gantcha%2Dresponse=1&%67antcha-response%5B%5D=2&gantcha-response%5Bx%5D=3&+gantcha-response=4&"
    back = f"https://www.example.com/send?{forged}a=gantcha-response&gantcha-response"
    went = _post(plain, _get(plain), "abc234", **{"return": back})
    assert went.headers["location"].startswith("https://www.example.com/send?a=gantcha-response&gantcha-response=")
    assert went.headers["location"].count("gantcha") == 2


def test_a_site_has_its_own_hosts(plain: Site) -> None:
    back = "https://www.shop.example/send?x=%20&y"
    page = _get(plain, sitekey="shop-key", **{"return": back})
    policy = page.headers["content-security-policy"]
    assert "form-action 'self' https://www.shop.example; " in policy
    assert policy.endswith("frame-ancestors 'self' shop.example:* *.shop.example:*")
    went = _post(plain, page, "abc234", sitekey="shop-key", cdata="form-3", **{"return": back})
    assert went.status_code == 303
    url, _, token = went.headers["location"].partition("&gantcha-response=")
    assert url == back
    assert plain.siteverify(token)["error-codes"] == ["invalid-input-response"]
    redeemed = plain.siteverify(token, secret="a-secret-of-the-shop")
    assert (redeemed["hostname"], redeemed["cdata"]) == ("www.shop.example", "form-3")
    assert _get(plain, sitekey="shop-key", **{"return": "https://www.example.com"}).status_code == 400
    assert _get(plain, sitekey="nobody").status_code == 400
    assert _get(plain, action="a b").status_code == 422
    policy = _get(plain).headers["content-security-policy"]
    assert policy.endswith(f"frame-ancestors 'self' {PAGE} https://www.example.com")


def test_answers_that_get_no_token(plain: Site) -> None:
    page = _get(plain, language="fr-CA")
    assert 'lang="fr"' in page.text
    for answer in (None, "", " "):  # spends no attempt
        assert _said(_post(plain, page, answer)) == "Please type the characters first."
    assert _said(_post(plain, page, "wrong", language="de")) == "Das war nicht richtig. Hier ist ein neues Bild."
    assert _said(_post(plain, page, "abc234")) == "That picture has expired. Here is a new one."
    page = _get(plain)
    with database.transaction(plain.pool.engine) as connection:
        connection.execute(update(captcha).where(captcha.c.id == _id(page)).values(expires_at=captcha.c.issued_at))
    again = _post(plain, page, "abc234")
    assert "has expired" in _said(again)
    assert plain.siteverify(_token(_post(plain, again, "abc234")))["success"]
    of_the_site = plain.server.post("/plain", data={"comment": "hello"})
    assert _said(of_the_site) == ""
    assert _said(_post(plain, of_the_site, "abc234")) == "Confirmed"
    assert _post(plain, again, "a" * 300).status_code == 422
    assert plain.server.post("/plain", data={"id": "<b>", "answer": "x"}).ok
    assert plain.server.post("/plain", json={}).status_code == 415


def test_there_may_be_no_picture_or_too_many_tries(sqlite_settings: dict[str, object]) -> None:
    limits = {"ISSUE_LIMIT": "2/minute", "ANSWER_LIMIT": "2/minute", "CHALLENGE_KIND": "crossed-out"}
    with running_site(sqlite_settings | limits) as site:
        empty = _get(site)
        assert (empty.status_code, _said(empty)) == (503, "No picture at the moment. Please try again.")
        assert "Retry-After" in empty.headers
        site.pool.add([Drawn("abc234", a_png())] * 9, CROSSED_OUT)
        page = _get(site)
        assert "not crossed out" in page.text
        second = _post(site, page, "wrong")
        assert (second.status_code, _said(_get(site))) == (200, "Too many tries. Please wait a moment.")
        solved = _post(site, second, "abc234")
        assert _said(solved) == "Confirmed"
        limited = _post(site, second, "abc234")
        assert int(limited.headers["Retry-After"]) > 0
        assert (limited.status_code, _said(limited)) == (429, "Too many tries. Please wait a moment.")
        before = site.pool.level(CROSSED_OUT)
        head = requests.head(f"{site.server.url}/plain", timeout=10)
        assert (head.status_code, head.headers["content-type"]) == (200, empty.headers["content-type"])
        assert site.pool.level(CROSSED_OUT) == before

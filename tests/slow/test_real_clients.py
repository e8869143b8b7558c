"""Packages for React and Vue of the other products, from npm: unmodified, but told another host."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Request, Route, expect

from tests.conftest import ROOT, Site, running_open_site
from tests.support.chromium import Visit, running_chromium
from tests.support.programs import needs

pytestmark = [needs("chromium"), needs("npm")]
ELSEWHERE = "http://localhost:5999"
"""Origin of the pages; nobody listens there."""
FIELDS = {
    "react-google-recaptcha": "g-recaptcha-response",
    "react-hcaptcha": "h-captcha-response",
    "react-turnstile": "cf-turnstile-response",
    "vue-turnstile": "cf-turnstile-response",
    "vue3-hcaptcha": "h-captcha-response",
}
"""The form's field that each client has the token in."""
_OUT_OF_REACH = re.compile(
    r"npm error code (E(?:AI_AGAIN|BADENGINE|CONN\w+|HOSTUNREACH|NETUNREACH|NOTFOUND|TIMEDOUT|\d+)"
    r"|ERR_SOCKET\w+|FETCH_ERROR)"
)
"""How npm says that it reaches no registry, or one without these packages, or that Node.js is too old for them."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    with running_chromium() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def open_site(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site that pages of any origin may use."""
    with running_open_site(sqlite_template, tmp_path_factory.mktemp("open"), 2000) as running:
        yield running


@pytest.fixture(scope="module")
def scripts(open_site: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Vite makes of the pages of all clients: React's build for developers, whose StrictMode mounts all twice."""
    folder = tmp_path_factory.mktemp("clients")
    shutil.copytree(ROOT / "tests/support/clients", folder, dirs_exist_ok=True)

    def run(words: str) -> subprocess.CompletedProcess[str]:
        variables = os.environ | {"CAPTCHA_SERVER": open_site.server.url, "NODE_ENV": "development"}
        return subprocess.run(words.split(), cwd=folder, env=variables, capture_output=True, text=True)

    quiet = "--no-audit --no-fund --no-package-lock --no-update-notifier"
    patience = "--fetch-retry-mintimeout=1000 --fetch-retry-maxtimeout=2000 --fetch-timeout=30000"
    installed = run(f"npm install {quiet} {patience} --prefer-offline --engine-strict")
    if reason := _OUT_OF_REACH.search(installed.stderr):
        pytest.skip(f"npm can't install the clients here: {reason[1]}")
    assert installed.returncode == 0, installed.stderr
    built = run("npx vite build --mode development")
    assert built.returncode == 0, built.stdout + built.stderr
    return folder / "dist"


class App(Visit):
    """A page of another origin with one client, and what its callbacks were called with."""

    def __init__(self, browser: Browser, site: Site, scripts: Path, client: str) -> None:
        super().__init__(browser.new_context(locale="en-GB"))
        self.site, self.scripts, self.client = site, scripts, client
        self.language = "en"
        self.forgiven: tuple[str, ...] = ()
        self.page.route(f"{ELSEWHERE}/**", self._answer)

    def _answer(self, route: Route) -> None:
        name = route.request.url.removeprefix(f"{ELSEWHERE}/").partition("?")[0]
        if name.endswith(".js"):
            route.fulfill(path=self.scripts / name)
        elif name:
            route.fulfill(status=204)
        else:
            icon = f'<link rel="icon" href="{self.site.server.url}/favicon.svg">'
            script = f'<script type="module" src="{self.client}.js"></script>'
            html = f"<html lang={self.language}><title>A page</title>{icon}{script}<div id=page></div>"
            route.fulfill(body=f"<!doctype html>{html}", content_type="text/html; charset=utf-8")

    @property
    def challenges(self) -> int:
        """How many challenges the page has asked for."""
        return sum("/challenge" in url for url in self.requests)

    @property
    def cards(self) -> Locator:
        return self.page.locator(".card")

    def said(self, name: str) -> list[list[Any]]:
        """What a callback was called with, each time."""
        return [values for said, *values in self.page.evaluate("window.said") if said == name]

    def wait_for(self, name: str) -> list[list[Any]]:
        """Wait until a callback is called."""
        self.page.wait_for_function("(name) => window.said.some(([said]) => said === name)", arg=name)
        return self.said(name)

    def settle(self) -> None:
        """Let the page do what it has begun: what it asked for before is answered before this is."""
        self.page.evaluate("fetch('/settled')")

    def render(self) -> None:
        """Let the page draw, which is when captchas look whether they are seen."""
        self.page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        self.settle()

    def pass_seconds(self, seconds: int) -> None:
        """Have time go by; the clock is that of the test."""
        for _ in range(seconds):
            self.page.clock.run_for(1000)
            self.settle()

    def shown(self) -> str:
        """Have a captcha shown, as a visitor would who waits and presses the button; give its id."""
        again = self.page.get_by_role("button", name="Try again")
        image = self.page.locator(".card.ready img")
        for _ in range(300):
            if image.is_visible():
                break
            if again.is_visible():
                again.click()
            self.pass_seconds(1)
        source = image.get_attribute("src")
        assert source
        return source.rpartition("/")[2]

    def solve(self, file_id: str) -> str:
        """Answer a challenge; return its token, which the client's callback has got by then."""
        before = len(self.said("verified"))
        field = self.page.get_by_label("Answer")
        field.fill(self.site.code(file_id))
        with self.page.expect_response("**/verify") as answer:
            field.press("Enter")
        token = str(answer.value.json()["token"])
        self.page.wait_for_function(
            "(count) => window.said.filter(([said]) => said === 'verified').length > count", arg=before
        )
        assert [values[0] for values in self.said("verified")[before:]] == [token]
        return token

    def call(self, method: str) -> Callable[[], object]:
        """Give a call of what the client's ref has."""
        return lambda: self.page.evaluate(f"void window.client.{method}()")


@pytest.fixture
def client(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def app(browser: Browser, open_site: Site, scripts: Path, client: str) -> Iterator[App]:
    app = App(browser, open_site, scripts, client)
    yield app
    app.page.context.close()
    assert [said for said in app.complaints if not said.startswith(app.forgiven)] == []


def clients(*names: str) -> pytest.MarkDecorator:
    """Run a test with each of these clients."""
    return pytest.mark.parametrize("client", names, indirect=True)


every_client = clients(*FIELDS)


@every_client
def test_one_captcha_is_shown_and_solved(app: App) -> None:
    """With the token in the field that back ends read."""
    file_id = app.open(ELSEWHERE)
    app.render()
    expect(app.cards).to_have_count(1)
    assert app.challenges == 1
    token = app.solve(file_id)
    form = app.page.evaluate("Object.fromEntries(new FormData(document.forms[0]))")
    assert form[FIELDS[app.client]] == token
    assert app.site.siteverify(token)["success"]
    assert app.said("error") == app.said("expired") == []
    assert app.challenges == 1


@every_client
def test_the_language_is_that_of_the_page(app: App) -> None:
    """Not of the browser, though some clients add the captcha to the page only after it was rendered."""
    app.language = "ru"
    app.open(ELSEWHERE)
    expect(app.cards).to_have_attribute("lang", "ru")


@every_client
def test_a_token_expires_once(app: App) -> None:
    app.page.clock.install()
    app.solve(app.open(ELSEWHERE))
    app.page.clock.fast_forward("05:00")
    app.wait_for("expired")
    app.pass_seconds(30)
    assert app.said("expired") == [[]]
    assert app.challenges <= 3
    token = app.solve(app.shown())
    assert app.site.siteverify(token)["success"]


@every_client
def test_a_reset_asks_for_one_challenge(app: App) -> None:
    app.solve(app.open(ELSEWHERE))
    file_id = app.renewed_by(app.call("reset"))
    app.render()
    assert app.challenges == 2
    assert app.page.evaluate("new FormData(document.forms[0]).get('gantcha-response')") == ""
    token = app.solve(file_id)
    assert app.site.siteverify(token)["success"]


@pytest.mark.parametrize("by", ["a click", "a script"])
@every_client
def test_a_captcha_goes_and_comes_back(app: App, by: str) -> None:
    """By a click, React cleans up at once; by a script, once the captcha is off the page."""
    page = app.page

    def toggle() -> None:
        if by == "a click":
            page.get_by_role("button", name="Toggle").click()
        else:
            page.evaluate("new Promise((done) => setTimeout(() => done(window.toggle())))")

    app.open(ELSEWHERE)
    for count in (2, 3):
        toggle()
        expect(app.cards).to_have_count(0)
        app.render()
        assert app.challenges == count - 1
        file_id = app.renewed_by(toggle)
        app.render()
        expect(app.cards).to_have_count(1)
        assert app.challenges == count
    token = app.solve(file_id)
    assert app.site.siteverify(token)["success"]
    toggle()
    expect(app.cards).to_have_count(0)
    app.render()
    assert app.challenges == 3
    assert app.said("error") == app.said("expired") == []


@every_client
def test_nothing_happens_once_a_captcha_is_gone(app: App) -> None:
    """Clients keep timers of their own, some of them for good."""
    app.page.clock.install()
    app.solve(app.open(ELSEWHERE))
    app.solve(app.renewed_by(app.call("reset")))
    app.page.get_by_role("button", name="Toggle").click()
    expect(app.cards).to_have_count(0)
    app.page.clock.fast_forward("06:00")
    app.pass_seconds(10)
    assert app.challenges == 2
    assert app.said("error") == app.said("expired") == []


@pytest.mark.parametrize("failure", ["503", "429", "offline"])
@every_client
def test_a_server_that_fails_is_asked_seldom(app: App, failure: str) -> None:
    """At most ten times a minute, whatever the client does when it is told; and the captcha comes back."""
    page = app.page
    challenge = "**/challenge?*"
    app.forgiven = ("Failed to load resource",)  # the browser itself says so of each answer that is an error

    def fail(route: Route) -> None:
        if failure == "offline":
            route.abort("internetdisconnected")
        else:
            headers = {
                "Access-Control-Allow-Origin": "*",
                "Access-Control-Expose-Headers": "Retry-After",
                "Retry-After": "20",
            }
            route.fulfill(status=int(failure), headers=headers, json={"detail": "Not now."})

    def is_challenge(request: Request) -> bool:
        return "/challenge" in request.url

    page.clock.install()
    page.route(challenge, fail)
    with page.expect_request(is_challenge):
        page.goto(ELSEWHERE)
    app.wait_for("error")
    app.pass_seconds(60)
    assert app.challenges <= 10
    assert len(app.said("error")) <= 10
    page.unroute(challenge)
    asked = app.challenges
    token = app.solve(app.shown())
    assert app.site.siteverify(token)["success"]
    assert app.challenges <= asked + 2


@clients("react-google-recaptcha")
def test_the_script_of_enterprises(app: App) -> None:
    app.page.add_init_script("window.recaptchaOptions = { enterprise: true }")
    token = app.solve(app.open(ELSEWHERE))
    assert any("/recaptcha/enterprise.js?" in url for url in app.requests)
    assert app.page.evaluate("window.grecaptcha.enterprise.getResponse()") == token


@clients("react-hcaptcha", "react-turnstile")
def test_other_options_show_it_anew(app: App) -> None:
    """These clients remove a captcha then, and render another in the same place."""
    app.solve(app.open(ELSEWHERE))
    file_id = app.renewed_by(lambda: app.page.evaluate("window.setTheme('dark')"))
    app.render()
    expect(app.cards).to_have_class(re.compile(r"\bdark\b"))
    assert app.challenges == 2
    app.solve(file_id)


@clients("react-turnstile")
def test_a_page_removes_and_renders(app: App) -> None:
    app.open(ELSEWHERE)
    app.call("remove")()
    expect(app.cards).to_have_count(0)
    app.solve(app.renewed_by(app.call("render")))
    expect(app.cards).to_have_count(1)
    assert app.challenges == 2


@clients("react-google-recaptcha", "react-hcaptcha", "react-turnstile", "vue3-hcaptcha")
def test_a_promise_of_the_token(app: App) -> None:
    """Nothing is asked until the page wants a token."""
    page = app.page
    page.goto(f"{ELSEWHERE}/?execution=execute" if app.client == "react-turnstile" else f"{ELSEWHERE}/?size=invisible")
    page.locator(f"[name={FIELDS[app.client]}]").wait_for(state="attached")
    app.render()
    assert app.challenges == 0
    file_id = app.renewed_by(lambda: page.evaluate("void (window.promised = window.client.promise())"))
    token = app.solve(file_id)
    assert page.evaluate("window.promised") == token
    assert app.site.siteverify(token)["success"]
    assert app.challenges == 1


@clients("react-google-recaptcha", "vue3-hcaptcha")
def test_a_promise_from_before_the_script_has_come(app: App) -> None:
    page = app.page
    held: list[Route] = []
    script = re.compile(r"/api\.js\?")

    def hold(route: Route) -> None:
        held.append(route)

    page.route(script, hold)
    with page.expect_request(script):
        page.goto(f"{ELSEWHERE}/?size=invisible", wait_until="commit")
    page.evaluate("void (window.promised = window.client.promise())")
    token = app.solve(app.renewed_by(held[0].continue_))
    assert page.evaluate("window.promised") == token
    assert app.challenges == 1


@clients("react-google-recaptcha", "react-hcaptcha", "vue3-hcaptcha")
def test_an_invisible_captcha_opens_and_closes(app: App) -> None:
    """Without a promise; hCaptcha's clients are told of both."""
    page = app.page
    page.goto(f"{ELSEWHERE}/?size=invisible")
    page.locator(f"[name={FIELDS[app.client]}]").wait_for(state="attached")
    app.renewed_by(app.call("execute"))
    expect(page.get_by_role("dialog", name="Captcha")).to_be_visible()
    page.get_by_role("button", name="Close").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    if "hcaptcha" in app.client:
        app.settle()
        assert app.said("opened") == app.said("closed") == [[]]
    assert app.said("error") == []
    app.call("execute")()
    expect(page.get_by_role("dialog", name="Captcha")).to_be_visible()
    assert app.challenges == 1

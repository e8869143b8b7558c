"""What pages call: `gantcha`, the objects of other products, and the element <gantcha-captcha>."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import playwright
import pytest
from playwright.sync_api import Browser, Route, expect

from tests.conftest import ROOT, Site, running_open_site
from tests.support.chromium import Visit
from tests.support.programs import needs

pytestmark = needs("chromium")
ELSEWHERE = "http://localhost:5999"
"""Origin of the pages; nobody listens there."""


@pytest.fixture(scope="module")
def open_site(sqlite_template: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site that pages of any origin may use."""
    with running_open_site(sqlite_template, tmp_path_factory.mktemp("open"), 300) as running:
        yield running


class Elsewhere(Visit):
    """A page of another origin, with forms that it sends and what its script says."""

    def __init__(self, browser: Browser, site: Site) -> None:
        super().__init__(browser.new_context(locale="en-GB"))
        self.site = site
        self.said: list[str] = []
        self.forms: list[dict[str, list[str]]] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.route(f"{ELSEWHERE}/**", self._answer)

    def _answer(self, route: Route) -> None:
        if route.request.method == "POST":
            self.forms.append(parse_qs(route.request.post_data))
            route.fulfill(status=204)
        else:
            icon = f'<link rel="icon" href="{self.site.server.url}/favicon.svg">'
            route.fulfill(
                body=f"<!doctype html><html lang=en>{icon}{self.html}", content_type="text/html; charset=utf-8"
            )

    def write(self, html: str) -> None:
        """Have the page say this."""
        self.html = html.replace("https://captcha.example", self.site.server.url)

    def visit(self, html: str) -> str:
        """Open a page; return the id of the challenge it shows."""
        self.write(html)
        return self.open(ELSEWHERE)

    def solve(self, file_id: str) -> str:
        """Answer a challenge; return its token."""
        field = self.page.locator(f'.card:has(img[src$="{file_id}"]) input')
        field.fill(self.site.code(file_id))
        with self.page.expect_response("**/verify") as answer:
            field.press("Enter")
        token = str(answer.value.json()["token"])
        field.wait_for(state="hidden")  # the page has it by now
        return token

    def submit(self, action: Any) -> dict[str, list[str]]:
        with self.page.expect_response(lambda answer: answer.request.method == "POST" and ELSEWHERE in answer.url):
            action()
        return self.forms[-1]


@pytest.fixture
def elsewhere(browser: Browser, open_site: Site) -> Iterator[Elsewhere]:
    visit = Elsewhere(browser, open_site)
    yield visit
    assert visit.complaints == []
    visit.page.context.close()


def test_the_package_has_every_module(tmp_path: Path) -> None:
    folder = shutil.copytree(ROOT / "server/pages", tmp_path / "pages") / "widget"
    package = json.loads((folder / "package.json").read_text())
    program, script = package["scripts"]["prepack"].split()
    node = Path(playwright.__file__).parent / "driver" / program
    subprocess.run([node, script], cwd=folder, check=True)
    # A server that renders pages imports it too, where there is nothing to define.
    subprocess.run([node, "--input-type=module", "--eval", 'await import("./index.js")'], cwd=folder, check=True)
    modules, left = set[str](), [package["main"]]
    while left:
        modules.add(name := left.pop())
        left += set(re.findall(r'^import .*"\./(.*?)";', (folder / name).read_text(), re.MULTILINE)) - modules
    assert set(package["files"]) == {*modules, *(path.name for path in folder.glob("*.d.ts"))}
    words = (folder / "words.js").read_text().removeprefix("export const english = ").partition(";\n")[0]
    assert json.loads(words) == json.loads((ROOT / "server/pages/languages/en.json").read_text())


@pytest.mark.parametrize(
    "script",
    [
        '<script src="https://captcha.example/widget.js"></script>',
        '<script src="https://captcha.example/widget.js?x=1" async></script>',
        '<script type="module" src="https://captcha.example/widget.js"></script>',
        '<script type="module">import "https://captcha.example/widget.js"</script>',
        """<script>addEventListener("load", () => setTimeout(() =>
            document.head.append(Object.assign(document.createElement("script"), {src: "https://captcha.example/widget.js"}))
        ))</script>""",
    ],
    ids=["in order", "async", "module", "import", "late"],
)
def test_the_script_is_loaded_in_any_way(elsewhere: Elsewhere, script: str) -> None:
    file_id = elsewhere.visit(f'{script}<form><div class="gantcha"></div></form>')
    assert len(elsewhere.solve(file_id)) > 40


def test_the_api_shows_resets_and_removes(elsewhere: Elsewhere) -> None:
    """Two captchas in one form, of which each has its own token, and one that comes later."""
    page = elsewhere.page
    sent: list[Any] = []
    page.route("**/verify", lambda route: (sent.append(route.request.post_data_json), route.continue_()))
    first = elsewhere.visit("""
        <script>
          window.app = { ui: { solved: (token) => console.log("dotted", token) } };
          function show() {
            const options = { sitekey: "a key", action: "login", cdata: "7", theme: "dark", tabindex: 3 };
            const callback = (token) => console.log("callback", token);
            const expired = () => console.log("expired");
            const one = gantcha.render("one", { ...options, callback, "expired-callback": expired });
            console.log(one, gantcha.render(document.getElementById("one")), gantcha.getResponse() === "");
          }
        </script>
        <script src="https://captcha.example/widget.js?onload=show&amp;render=explicit" async defer></script>
        <form method="post"><div id="one"></div>
        <div id="two" class="gantcha" data-callback="app.ui.solved"></div></form>
    """)
    assert elsewhere.said == ["0 0 true"]
    assert any(url.endswith("/challenge?sitekey=a%20key") for url in elsewhere.requests)
    expect(page.locator("#one .card")).to_have_class(re.compile(r"\bdark\b"))
    expect(page.locator("#one input#answer")).to_have_js_property("tabIndex", 3)
    token = elsewhere.solve(first)
    assert sent[0].keys() == {"id", "answer", "sitekey", "action", "cdata"}
    assert (
        page.evaluate("[gantcha.getResponse(), gantcha.getResponse('#one'), gantcha.getResponse(one)]") == [token] * 3
    )
    second = elsewhere.renewed_by(lambda: page.evaluate("two.id && void gantcha.render('#two')"))
    other = elsewhere.solve(second)
    assert page.evaluate("[...new FormData(document.forms[0]).getAll('gantcha-response')]") == [token, other]
    assert elsewhere.said[1:] == [f"callback {token}", f"dotted {other}"]
    third = elsewhere.renewed_by(lambda: page.evaluate("gantcha.reset('1')"))
    assert page.evaluate("[gantcha.getResponse('0'), gantcha.getResponse('1')]") == [token, ""]
    page.evaluate("void gantcha.execute('two').then((token) => console.log('executed', token))")
    expect(page.locator("#two input#answer")).to_be_focused()
    again = elsewhere.solve(third)
    page.wait_for_function("gantcha.getResponse('1')")
    assert set(elsewhere.said[3:]) == {f"dotted {again}", f"executed {again}"}
    page.evaluate("gantcha.remove('0')")
    assert page.evaluate("[one.childElementCount, one.shadowRoot.childElementCount]") == [0, 0]
    assert page.evaluate("new FormData(document.forms[0]).getAll('gantcha-response')") == [again]


def test_a_div_that_comes_later_and_goes(elsewhere: Elsewhere) -> None:
    page = elsewhere.page
    elsewhere.visit(
        """<script src="https://captcha.example/widget.js"></script><main><div class="gantcha"></div></main>"""
    )
    late = '<form><div class="gantcha" data-size="compact" data-theme="light"></div></form>'
    page.evaluate("document.querySelector('main').innerHTML = ''")
    file_id = elsewhere.renewed_by(lambda: page.evaluate(f"document.querySelector('main').innerHTML = '{late}'"))
    token = elsewhere.solve(file_id)
    assert page.evaluate("gantcha.getResponse()") == token  # the first one is gone


def test_what_a_page_removes_stays_away_until_it_asks(elsewhere: Elsewhere) -> None:
    page = elsewhere.page
    elsewhere.visit("""<script src="https://captcha.example/widget.js"></script>
        <form><main><div class="gantcha" id="one"></div></main></form>""")
    page.evaluate("gantcha.remove('one')")
    page.evaluate("document.body.append('a change of the page')")
    assert page.evaluate("[one.childElementCount, one.shadowRoot.childElementCount]") == [0, 0]
    elsewhere.renewed_by(lambda: page.evaluate("void gantcha.render('one')"))
    page.evaluate("{ window.kept = one; kept.remove(); }")
    assert page.evaluate("kept.shadowRoot.childElementCount") == 0
    file_id = elsewhere.renewed_by(lambda: page.evaluate("document.querySelector('main').append(kept)"))
    assert len(elsewhere.solve(file_id)) > 40


def test_a_button_asks_in_a_dialog(elsewhere: Elsewhere) -> None:
    page = elsewhere.page
    elsewhere.write("""<script src="https://captcha.example/widget.js"></script><form method="post">
        <button class="gantcha" data-callback="send">Send</button></form>
        <script>function send() { document.forms[0].submit(); }</script>""")
    page.goto(ELSEWHERE)
    button = page.get_by_role("button", name="Send")
    file_id = elsewhere.renewed_by(button.click)
    expect(page.get_by_role("dialog", name="Captcha")).to_be_visible()
    page.get_by_role("button", name="Close").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(button).to_be_focused()
    button.click()
    expect(page.get_by_label("Answer")).to_be_focused()
    form = elsewhere.submit(lambda: elsewhere.solve(file_id))
    assert elsewhere.site.siteverify(form["gantcha-response"][0])["success"]


def test_a_captcha_goes_with_its_button_and_comes_again(elsewhere: Elsewhere) -> None:
    page = elsewhere.page
    elsewhere.write("""<script src="https://captcha.example/widget.js"></script><form method="post">
        <input name="said" value="hello">
        <button class="gantcha" id="first">Send</button><button>At once</button></form>""")
    page.goto(ELSEWHERE)
    host = page.locator("[data-gantcha-host]")
    expect(host).to_have_count(1)
    page.evaluate("document.querySelector('[data-gantcha-host]').remove()")
    expect(host).to_have_count(1)  # another one, since the button is still there
    page.evaluate("{ window.kept = first; kept.remove(); }")
    expect(host).to_have_count(0)
    assert elsewhere.submit(page.get_by_role("button", name="At once").click) == {"said": ["hello"]}
    page.evaluate("document.forms[0].append(kept)")
    elsewhere.renewed_by(page.get_by_role("button", name="Send").click)
    expect(page.get_by_role("dialog")).to_be_visible()


def test_a_popover_stays_open_under_the_dialog(elsewhere: Elsewhere) -> None:
    page = elsewhere.page
    elsewhere.write("""<script src="https://captcha.example/widget.js"></script><div popover id="box">
        <form method="post"><button class="gantcha" data-callback="console.log">Send</button></form></div>""")
    page.goto(ELSEWHERE)
    expect(page.locator("[data-gantcha-host]")).to_have_count(1)
    page.evaluate("box.showPopover()")
    file_id = elsewhere.renewed_by(page.get_by_role("button", name="Send").click)
    expect(page.get_by_role("dialog")).to_be_visible()
    token = elsewhere.solve(file_id)
    assert page.evaluate("box.matches(':popover-open')")
    page.evaluate("box.hidePopover()")
    elsewhere.renewed_by(lambda: page.evaluate("{ gantcha.reset(); void gantcha.execute(); }"))
    expect(page.get_by_role("dialog")).to_be_visible()  # though the popover is not
    assert elsewhere.said == [token]


# The examples of each product's documentation, but for the host.
_RECAPTCHA = """
<html><head><title>reCAPTCHA demo: Simple page</title>
<script src="https://captcha.example/recaptcha/api.js" async defer></script></head>
<body><form action="?" method="POST"><div class="g-recaptcha" data-sitekey="your_site_key"></div><br/>
<input type="submit" value="Submit"></form></body></html>"""
_RECAPTCHA_EXPLICIT = """
<html><head><title>reCAPTCHA demo: Explicit render after an onload callback</title>
<script type="text/javascript">
  var onloadCallback = function() { grecaptcha.render('html_element', { 'sitekey' : 'your_site_key' }); };
</script></head><body>
<form action="?" method="POST"><div id="html_element"></div><br><input type="submit" value="Submit"></form>
<script src="https://captcha.example/recaptcha/api.js?onload=onloadCallback&render=explicit" async defer></script>
</body></html>"""
_HCAPTCHA = """
<html><head><title>hCaptcha Demo</title>
<script src="https://captcha.example/1/api.js" async defer></script></head>
<body><form action="" method="POST"><input type="text" name="email" placeholder="Email" />
<input type="password" name="password" placeholder="Password" />
<div class="h-captcha" data-sitekey="your_site_key"></div><br />
<input type="submit" value="Submit" /></form></body></html>"""
_HCAPTCHA_EXPLICIT = """
<script src="https://captcha.example/1/api.js?onload=yourFunction&render=explicit" async defer></script>
<form method="post"><div id="captcha-1"></div><input type="submit" value="Submit" /></form>
<script type="text/javascript">
  var yourFunction = function () {
    console.log('hCaptcha is ready.');
    var widgetID = hcaptcha.render('captcha-1', { sitekey: 'your_site_key' });
  };
</script>"""
_TURNSTILE = """
<script src="https://captcha.example/turnstile/v0/api.js" async defer></script>
<form action="/login" method="POST"><input type="text" placeholder="username" />
<input type="password" placeholder="password" />
<div class="cf-turnstile" data-sitekey="your_site_key"></div>
<button type="submit" value="Submit">Log in</button></form>"""
_TURNSTILE_EXPLICIT = """
<script src="https://captcha.example/turnstile/v0/api.js?render=explicit" defer></script>
<form method="post"><div id="example-container"></div><button>Submit</button></form>
<script>
  window.onload = () => turnstile.ready(function () {
    turnstile.render("#example-container", {
      sitekey: "your_site_key",
      callback: function (token) { console.log(`Challenge Success ${token}`); },
    });
  });
</script>"""


@pytest.mark.parametrize(
    ("html", "fields", "api"),
    [
        (_RECAPTCHA, ["g-recaptcha-response"], "grecaptcha"),
        (_RECAPTCHA_EXPLICIT, ["g-recaptcha-response"], "grecaptcha"),
        (_HCAPTCHA, ["h-captcha-response", "g-recaptcha-response"], "hcaptcha"),
        (_HCAPTCHA_EXPLICIT, ["h-captcha-response", "g-recaptcha-response"], "hcaptcha"),
        (_TURNSTILE, ["cf-turnstile-response"], "turnstile"),
        (_TURNSTILE_EXPLICIT, ["cf-turnstile-response"], "turnstile"),
    ],
    ids=["recaptcha", "recaptcha-explicit", "hcaptcha", "hcaptcha-explicit", "turnstile", "turnstile-explicit"],
)
def test_an_example_of_another_product_works(elsewhere: Elsewhere, html: str, fields: list[str], api: str) -> None:
    page = elsewhere.page
    file_id = elsewhere.visit(html)
    token = elsewhere.solve(file_id)
    page.wait_for_function(f"{api}.getResponse()")
    assert page.evaluate(f"{api}.getResponse(0)") == token
    form = elsewhere.submit(page.locator("[type=submit], form > button").click)
    assert [form[field] for field in fields] == [[token]] * len(fields)
    assert elsewhere.site.siteverify(token)["hostname"] == "localhost"
    assert elsewhere.renewed_by(lambda: page.evaluate(f"{api}.reset()")) != file_id
    assert not page.evaluate(f"{api}.getResponse()")


def test_calls_of_other_products(elsewhere: Elsewhere) -> None:
    """Invisible reCAPTCHA and its version 3, hCaptcha's promise, and Turnstile's callbacks."""
    page = elsewhere.page
    scripts = "".join(
        f'<script src="https://captcha.example/{path}?render=explicit"></script>'
        for path in ("recaptcha/api.js", "turnstile/v0/api.js", "1/api.js")
    )
    elsewhere.write(f"{scripts}<form><div id=a></div><div id=b></div></form>")
    page.goto(ELSEWHERE)
    version_3 = """grecaptcha.ready(() => grecaptcha.execute("key", { action: "submit" }).then(console.log))"""
    token = elsewhere.solve(elsewhere.renewed_by(lambda: page.evaluate(version_3)))
    expect(page.get_by_role("dialog")).to_be_hidden()
    promise = """{ hcaptcha.render("a", { size: "invisible" });
        void hcaptcha.execute(0, { async: true }).then(({ response, key }) => console.log(response, key)); }"""
    file_id = elsewhere.renewed_by(lambda: page.evaluate(promise))
    other = elsewhere.solve(file_id)
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert page.evaluate("[hcaptcha.getResponse(), hcaptcha.getRespKey()]") == [other, file_id]
    with page.expect_console_message(lambda message: message.text == "error invalid-sitekey"):
        page.route("**/challenge?sitekey=k", lambda route: route.fulfill(status=400, json={"detail": "unknown"}))
        page.evaluate("""turnstile.render(document.querySelector("#b"), {
            sitekey: "k", language: "auto", "error-callback": (code) => { console.log("error", code); } })""")
    assert elsewhere.said[:2] == [token, f"{other} {file_id}"]
    assert "400" in elsewhere.complaints.pop()  # of the browser itself


def test_the_element_is_a_control_of_its_form(elsewhere: Elsewhere) -> None:
    page = elsewhere.page
    file_id = elsewhere.visit("""<script src="https://captcha.example/widget.js" defer></script>
        <form id="form" method="post">
        <fieldset id="set"><gantcha-captcha id="one" name="captcha"></gantcha-captcha></fieldset>
        <button>Send</button></form>""")
    state = """[form.checkValidity(), one.validity.valueMissing, one.value, new FormData(form).get("captcha"),
        one.form === form]"""
    assert page.evaluate(state) == [False, True, "", None, True]
    send = page.get_by_role("button", name="Send")
    send.click()
    expect(page.get_by_label("Answer")).to_be_focused()
    page.get_by_label("Answer").fill(elsewhere.site.code(file_id))
    form = elsewhere.submit(send.click)  # checked first
    token = form["captcha"][0]
    assert form == {"captcha": [token], "gantcha-response": [token]}
    assert page.evaluate(state) == [True, False, token, token, True]
    assert elsewhere.renewed_by(lambda: page.evaluate("form.reset()")) != file_id
    assert page.evaluate(state) == [False, True, "", None, True]
    page.evaluate("set.disabled = true")
    expect(page.get_by_label("Answer")).to_be_disabled()
    assert page.evaluate("form.checkValidity()")
    page.evaluate("set.disabled = false")
    expect(page.get_by_label("Answer")).to_be_enabled()
    page.get_by_label("Answer").fill("typed")
    page.evaluate("one.setAttribute('language', 'ru'); one.setAttribute('theme', 'dark')")
    expect(page.get_by_label("Ответ")).to_have_value("typed")
    expect(page.locator(".card")).to_have_class(re.compile(r"\bdark\b"))
    late = elsewhere.renewed_by(lambda: page.evaluate("one.replaceWith(one.cloneNode())"))
    token = elsewhere.solve(late)
    assert page.evaluate("one.execute()") == token
    page.evaluate("one.setAttribute('language', 'de'); one.setAttribute('theme', 'light')")
    expect(page.get_by_text("Bestätigt")).to_be_visible()
    assert page.evaluate("one.value") == token


def test_the_element_is_given_its_form_as_react_does(elsewhere: Elsewhere) -> None:
    page = elsewhere.page
    elsewhere.visit("""<script src="https://captcha.example/widget.js"></script>
        <form id="checkout"></form><gantcha-captcha id="one"></gantcha-captcha>""")
    give = "() => { 'use strict'; one.form = 'checkout'; }"
    token = elsewhere.solve(elsewhere.renewed_by(lambda: page.evaluate(give)))
    assert page.evaluate("[one.form === checkout, new FormData(checkout).get('gantcha-response')]") == [True, token]

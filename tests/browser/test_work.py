"""Work that a browser does for a challenge: while its visitor types, instead of a picture, and before a sound."""

import hashlib
import secrets
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect

from pool.pool import Drawn
from tests.browser.test_accessibility import RULES
from tests.conftest import PLAIN, Site, a_png, running_site, sqlite_settings_in
from tests.support.chromium import Visit
from tests.support.elsewhere import page_elsewhere
from tests.support.programs import needs
from tests.support.solving import CODE, QUIET_SITE, SECRET

pytestmark = needs("chromium")
KEYS = f"""{QUIET_SITE}
[sites.strict]
sitekey = "strict-key"
secret = "a-secret-of-the-strict"
"""
_addresses = count(1)
_SCRIPT = '<script src="widget.js" defer></script>'
_QUIET = '<div class="gantcha" data-sitekey="quiet-key" data-mode="quiet"></div>'
_HOLD = """{
    const { deriveBits } = SubtleCrypto.prototype, released = new Promise((release) => (window.release = release));
    window.tries = 0;
    SubtleCrypto.prototype.deriveBits = async function (...words) {
        window.tries += 1;
        await released;
        return deriveBits.apply(this, words);
    };
}"""
"""Has work wait until the test calls release()."""
_WITHOUT_WEBCRYPTO = "Object.defineProperty(Crypto.prototype, 'subtle', { value: undefined })"
"""As on a page over plain HTTP."""


@pytest.fixture(scope="module")
def site(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site that asks for work, and pages of any origin may use."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "keys.toml").write_text(KEYS)
    settings = {"WORK": "light", "KEYS_FILE": folder / "keys.toml", "CORS_ORIGINS": "*", "TRUSTED_PROXIES": "127.0.0.1"}
    with running_site(sqlite_settings_in(sqlite_template, folder) | settings) as running:
        running.pool.add([Drawn(CODE, a_png())] * 200, PLAIN)
        yield running


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    # Each from an address of its own, since few may pass from one.
    address = {"X-Forwarded-For": f"192.0.2.{next(_addresses)}"}
    context = browser.new_context(locale="en-GB", extra_http_headers=address)
    yield Visit(context)
    context.close()


@pytest.fixture
def page(visit: Visit) -> Page:
    return visit.page


def _open(site: Site, visit: Visit, html: str) -> Locator:
    """Open a page that asks for no challenge yet; give its box."""
    visit.serve(site.server.url, _SCRIPT + html)
    visit.page.goto(f"{site.server.url}/page")
    box = visit.page.get_by_role("checkbox", name="I am a person")
    expect(box).to_be_visible()
    return box


def _mode(site: Site, page: Page) -> str:
    """Wait for a token, redeem it, and give how it was earned."""
    field = page.locator("input[name=gantcha-response]")
    expect(field).not_to_have_value("", timeout=60_000)
    redeemed = site.siteverify(field.input_value(), secret=SECRET)
    assert redeemed["success"], redeemed
    return str(redeemed["mode"])


def _passes_axe(page: Page) -> None:
    assert Axe().run(page, options=RULES).response["violations"] == []


def test_work_is_done_while_the_visitor_types(site: Site, visit: Visit, page: Page) -> None:
    sent: list[Any] = []
    page.on("request", lambda request: sent.append(request.post_data_json) if "/verify" in request.url else None)
    visit.show(site.server.url, f'{_SCRIPT}<form><div class="gantcha" data-sitekey="quiet-key"></div></form>')
    page.get_by_label("Answer").fill(CODE)
    page.get_by_label("Answer").press("Enter")
    expect(page.get_by_role("status")).to_have_text("Confirmed")
    assert len(sent) == 1
    assert len(sent[0]["work"]) > 400
    assert _mode(site, page) == "picture"
    assert visit.complaints == []


def test_who_types_faster_than_the_work_sees_how_far_it_is(site: Site, visit: Visit, page: Page) -> None:
    page.add_init_script(_HOLD)
    visit.show(site.server.url, f'{_SCRIPT}<form><div class="gantcha" data-sitekey="quiet-key"></div></form>')
    page.get_by_label("Answer").fill(CODE)
    page.get_by_label("Answer").press("Enter")
    expect(page.locator(".card.waiting")).to_be_visible()
    expect(page.get_by_role("status")).to_have_text("Checking. One moment, please.")
    _passes_axe(page)
    ring = "getComputedStyle(document.querySelector('.gantcha').shadowRoot.querySelector('.check'), '::after')"
    assert page.evaluate(f"{ring}.backgroundImage").startswith("conic-gradient(")
    page.evaluate("release()")
    expect(page.get_by_role("status")).to_have_text("Confirmed")
    expect(page.locator(".card.waiting")).to_have_count(0)
    assert visit.complaints == []


def test_work_that_the_server_refuses_shows_another_picture(site: Site, visit: Visit, page: Page) -> None:
    first = visit.show(site.server.url, f'{_SCRIPT}<form><div class="gantcha"></div></form>')
    page.route("**/verify", lambda route: route.fulfill(json={"success": False, "token": None, "reason": "work"}))
    page.get_by_label("Answer").fill(CODE)
    assert visit.renewed_by(lambda: page.get_by_label("Answer").press("Enter")) != first
    expect(page.get_by_role("status")).to_contain_text("has expired")
    page.unroute("**/verify")
    page.get_by_label("Answer").fill(CODE)
    page.get_by_label("Answer").press("Enter")
    expect(page.get_by_role("status")).to_have_text("Confirmed")


def test_a_box_is_ticked_with_the_keyboard(site: Site, visit: Visit, page: Page) -> None:
    page.add_init_script(_HOLD)
    box, status = _open(site, visit, f"<form>{_QUIET}</form>"), page.get_by_role("status")
    card = page.get_by_role("group", name="Captcha").bounding_box()
    assert card
    assert card["height"] == 65
    _passes_axe(page)
    assert not any("/challenge" in url for url in visit.requests)  # nobody works ahead
    page.keyboard.press("Tab")
    expect(box).to_be_focused()
    page.keyboard.press("Space")
    page.keyboard.press("Space")  # once is enough
    expect(status).to_have_text("Checking. One moment, please.")
    expect(box).not_to_be_checked()
    page.wait_for_function("tries")
    _passes_axe(page)
    page.evaluate("release()")
    expect(status).to_have_text("Confirmed")
    expect(box).to_be_checked()
    expect(box).to_be_focused()
    _passes_axe(page)
    box.click()
    expect(box).to_be_checked()
    assert _mode(site, page) == "quiet"
    assert sum("/challenge" in url for url in visit.requests) == 1
    assert visit.complaints == []


def test_a_box_says_what_it_does_and_begins_anew(site: Site, visit: Visit, page: Page) -> None:
    page.clock.install()
    page.add_init_script("""window.said = [];
        const say = (what) => said.push(what);
        addEventListener("gantcha-statechange", ({ detail }) => say(detail.state));
        for (const what of ["verified", "expired", "error"]) addEventListener(`gantcha-${what}`, () => say(what));""")
    box, status = _open(site, visit, f"<form id=form>{_QUIET}</form>"), page.get_by_role("status")
    field = page.locator("input[name=gantcha-response]")
    box.click()
    expect(box).to_be_checked(timeout=30_000)
    page.clock.fast_forward("05:00")
    expect(status).to_have_text("The confirmation is no longer valid. Please confirm again.")
    expect(box).not_to_be_checked()
    expect(field).to_have_value("")
    page.evaluate("void gantcha.execute().then(() => said.push('executed'))")
    expect(box).to_be_checked(timeout=30_000)
    page.evaluate("form.reset()")
    expect(status).to_have_text("")
    expect(field).to_have_value("")
    once = ["working", "solved", "verified"]
    page.wait_for_function("said.includes('executed')")
    assert page.evaluate("said") == ["idle", *once, "idle", "expired", *once, "executed", "idle"]
    page.route("**/challenge?*", lambda route: route.abort())
    box.click()
    expect(status).to_contain_text("can't be reached")
    _passes_axe(page)
    page.unroute("**/challenge?*")
    box.click()
    expect(box).to_be_checked(timeout=30_000)


_SEND = """<script>document.forms[0]?.addEventListener("submit", (event) => {
    event.preventDefault();
    console.log("sent", new FormData(event.target).get("gantcha-response"));
});</script>"""


@pytest.mark.parametrize("host", ["div", "element", "invisible"])
def test_a_form_that_is_sent_does_the_work(site: Site, visit: Visit, page: Page, host: str) -> None:
    html = {
        "div": _QUIET,
        "element": '<gantcha-captcha sitekey="quiet-key" mode="quiet"></gantcha-captcha>',
        "invisible": _QUIET.replace("div ", 'div data-size="invisible" '),
    }[host]
    visit.serve(site.server.url, f"{_SCRIPT}<form>{html}<button>Send</button></form>{_SEND}")
    page.goto(f"{site.server.url}/page")
    page.wait_for_function("window.gantcha")
    for _ in range(2):  # again: the page got a token that is spent by then
        with page.expect_console_message(lambda said: said.text.startswith("sent"), timeout=30_000) as said:
            page.get_by_role("button", name="Send").click()
        token = said.value.text.split()[1]
        assert site.siteverify(token, secret=SECRET)["mode"] == "quiet"
        expect(page.get_by_role("dialog")).to_have_count(0)
        expect(page.locator(".card.solved")).to_have_count(0 if host == "invisible" else 1)
    assert visit.complaints == []


@pytest.mark.parametrize("size", ["normal", "invisible"])
def test_where_work_is_not_enough_a_picture_comes(site: Site, visit: Visit, page: Page, size: str) -> None:
    html = _QUIET.replace("quiet-key", "strict-key").replace("div ", f'div data-size="{size}" ')
    visit.serve(site.server.url, f"{_SCRIPT}<form>{html}<button>Send</button></form>{_SEND}")
    page.goto(f"{site.server.url}/page")
    if size == "normal":
        visit.renewed_by(page.get_by_role("checkbox").click)
        expect(page.get_by_role("checkbox")).to_be_hidden()
    else:
        visit.renewed_by(page.get_by_role("button", name="Send").click)
        expect(page.get_by_role("dialog", name="Captcha")).to_be_visible()
    expect(page.get_by_label("Answer")).to_be_focused()
    expect(page.get_by_text("Type the characters.")).to_be_visible()
    page.get_by_label("Answer").fill(CODE)
    with page.expect_console_message(lambda said: said.text.startswith("sent")):
        page.get_by_label("Answer").press("Enter")
        if size == "normal":
            page.get_by_text("Confirmed").wait_for()
            page.get_by_role("button", name="Send").click()
    page.evaluate("document.forms[0].reset()")
    expect(page.get_by_role("checkbox")).to_have_count(1 if size == "normal" else 0)
    assert visit.complaints == []


def test_work_that_is_refused_after_all_shows_a_picture(site: Site, visit: Visit, page: Page) -> None:
    box = _open(site, visit, f"<form>{_QUIET}</form>")
    page.route("**/verify", lambda route: route.fulfill(json={"success": False, "token": None, "reason": "work"}))
    box.click()
    expect(page.get_by_label("Answer")).to_be_focused(timeout=30_000)
    expect(page.get_by_role("status")).to_have_text("")
    assert [url.partition("?")[2] for url in visit.requests if "/challenge" in url] == [
        "sitekey=quiet-key&mode=quiet",
        "sitekey=quiet-key",
    ]


@pytest.mark.parametrize(
    ("script", "begin"),
    [
        ("recaptcha/api.js", "grecaptcha.execute('quiet-key')"),
        ("recaptcha/api.js", "grecaptcha.execute(grecaptcha.render('a', { sitekey: 'quiet-key', size: 'invisible' }))"),
        (
            "1/api.js",
            """hcaptcha.execute(hcaptcha.render("a", { sitekey: "quiet-key", size: "invisible" }), { async: true })
            .then(({ response }) => response)""",
        ),
        (
            "turnstile/v0/api.js",
            """new Promise((callback) =>
            turnstile.execute("#a", { sitekey: "quiet-key", appearance: "interaction-only", callback }))""",
        ),
    ],
    ids=["reCAPTCHA 3", "reCAPTCHA", "hCaptcha", "Turnstile"],
)
def test_other_products_scripts_ask_for_no_picture(
    site: Site, visit: Visit, page: Page, script: str, begin: str
) -> None:
    visit.serve(site.server.url, f'<script src="{script}?render=explicit"></script><form><div id="a"></div></form>')
    page.goto(f"{site.server.url}/page")
    with page.expect_console_message(lambda said: said.type == "log") as said:
        page.evaluate(f"void {begin}.then((token) => console.log(token))")
    assert site.siteverify(said.value.text, secret=SECRET)["mode"] == "quiet"
    assert visit.complaints == []


def test_a_device_at_work_can_be_stopped(site: Site, visit: Visit, page: Page) -> None:
    visit.show(site.server.url, f'{_SCRIPT}<form><div class="gantcha" data-sitekey="quiet-key"></div></form>')
    _passes_axe(page)
    device, status = page.get_by_role("button", name="Let my device prove it instead"), page.get_by_role("status")
    progress, cancel = page.get_by_role("progressbar"), page.get_by_role("button", name="Another picture")
    device.focus()
    page.keyboard.press("Enter")
    expect(status).to_have_text("Your device is at work. This can take half a minute.")
    expect(cancel).to_be_focused()
    expect(progress).to_have_accessible_name("Your device is at work. This can take half a minute.")
    page.wait_for_function("(bar) => bar.value > 0", arg=progress.element_handle())
    _passes_axe(page)
    visit.renewed_by(lambda: page.keyboard.press("Enter"))
    expect(progress).to_be_hidden()
    expect(page.get_by_label("Answer")).to_be_focused()
    assert visit.complaints == []


@pytest.mark.parametrize("webcrypto", ["with", "without"])
def test_a_strict_policy_has_nothing_to_complain_of(site: Site, visit: Visit, page: Page, webcrypto: str) -> None:
    page.context.set_extra_http_headers({})  # for which a page elsewhere would have to be allowed to send them
    if webcrypto == "without":
        page.add_init_script(_WITHOUT_WEBCRYPTO)
    with page_elsewhere(site.server.url, _QUIET, "") as (url, forms):
        page.goto(url)
        page.get_by_role("checkbox").click()
        expect(page.get_by_role("checkbox")).to_be_checked(timeout=60_000)
        with page.expect_response(lambda answer: answer.request.method == "POST" and "verify" not in answer.url):
            page.get_by_role("button", name="Send").click()
    assert site.siteverify(forms[0]["gantcha-response"][0], secret=SECRET)["success"]
    assert any(request.endswith("/pbkdf2.js") for request in visit.requests) == (webcrypto == "without")
    assert visit.complaints == []


@pytest.mark.parametrize("what", ["answer", "device"])
def test_what_is_under_way_ends_when_the_dialog_is_closed(site: Site, visit: Visit, page: Page, what: str) -> None:
    page.add_init_script(_HOLD)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    visit.serve(
        site.server.url,
        f"""{_SCRIPT}<form><button class="gantcha" data-sitekey="quiet-key" data-callback="console.log">Send</button>
        </form>""",
    )
    page.goto(f"{site.server.url}/page")
    page.wait_for_function("document.querySelector('[data-gantcha-host]')")
    send, field = page.get_by_role("button", name="Send"), page.get_by_label("Answer")
    first = visit.renewed_by(send.click)
    if what == "answer":
        field.fill(CODE)
        field.press("Enter")
        expect(page.locator(".card.waiting")).to_be_visible()
    else:
        page.get_by_role("button", name="Let my device prove it instead").click()
        expect(page.get_by_role("progressbar")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.evaluate("release()")
    assert visit.renewed_by(send.click) != first
    field.fill(CODE)
    with page.expect_response("**/verify") as answer:
        field.press("Enter")
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert said == [answer.value.json()["token"]]
    assert sum("/verify" in url for url in visit.requests) == 1


def test_our_own_pbkdf2_is_as_that_of_others(site: Site, visit: Visit, page: Page) -> None:
    visit.serve(site.server.url, "")
    page.goto(f"{site.server.url}/page")
    for length, salt_length, iterations in ((20, 16, 1000), (0, 0, 1), (64, 51, 3), (1, 8, 2)):
        password, salt = secrets.token_bytes(length), secrets.token_bytes(salt_length)
        page.evaluate(
            """([password, salt, iterations]) => void (async () => {
                const { derive } = await import("./pbkdf2.js");
                const given = [new Uint8Array(password), new Uint8Array(salt)];
                const key = await crypto.subtle.importKey("raw", given[0], "PBKDF2", false, ["deriveBits"]);
                const how = { name: "PBKDF2", hash: "SHA-256", salt: given[1], iterations };
                const theirs = await crypto.subtle.deriveBits(how, key, 256);
                const both = [await derive(...given, iterations), new Uint8Array(theirs)];
                window.derived = both.map((bytes) => [...bytes]);
            })()""",
            [list(password), list(salt), iterations],
        )
        page.wait_for_function("window.derived")
        expected = list(hashlib.pbkdf2_hmac("sha256", password, salt, iterations))
        assert page.evaluate("derived") == [expected, expected]
        page.evaluate("derived = null")


def test_a_captcha_that_is_gone_works_no_more(site: Site, visit: Visit, page: Page) -> None:
    page.add_init_script("""
        const { deriveBits } = SubtleCrypto.prototype;
        window.tries = 0;
        SubtleCrypto.prototype.deriveBits = function (...words) { tries += 1; return deriveBits.apply(this, words); };
    """)
    visit.show(site.server.url, f'{_SCRIPT}<form><div class="gantcha" data-sitekey="quiet-key"></div></form>')
    page.get_by_role("button", name="Let my device prove it instead").click()
    page.wait_for_function("tries > 4000")  # more than the picture asked for
    page.evaluate("document.querySelector('.gantcha').remove()")
    page.wait_for_timeout(100)
    before = page.evaluate("tries")
    page.wait_for_timeout(300)
    assert page.evaluate("tries") == before
    assert visit.complaints == []


@needs("espeak-ng")
def test_a_sound_is_played_after_its_work(site: Site, visit: Visit, page: Page) -> None:
    page.add_init_script("""
        const { start } = AudioBufferSourceNode.prototype;
        AudioBufferSourceNode.prototype.start = function (at) { console.log("played"); return start.call(this, at); };
    """)
    page.add_init_script(_HOLD)
    visit.show(site.server.url, f'{_SCRIPT}<form><div class="gantcha"></div></form>')
    with page.expect_console_message(lambda said: said.text == "played"):
        page.get_by_role("button", name="Listen").click()
        expect(page.get_by_role("status")).to_have_text("Checking. One moment, please.")
        expect(page.locator(".card.hearing")).to_be_visible()
        _passes_axe(page)
        page.evaluate("release()")
    expect(page.get_by_role("status")).to_have_text("")
    sounds = [url for url in visit.requests if ".wav" in url]
    assert ["&work=" in url for url in sounds] == [False, True]
    assert all("428" in complaint for complaint in visit.complaints)  # which the browser says by itself

"""The widget and the demo page in a real browser."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, Route, expect
from sqlalchemy import update

from gantcha.drawing.png import encode_png
from pool import database
from pool.models import captcha
from pool.pool import Drawn
from server import espeak
from tests.conftest import PLAIN, Site, a_png, running_site, sqlite_settings_in
from tests.support.chromium import Visit
from tests.support.elsewhere import page_elsewhere
from tests.support.programs import needs

pytestmark = needs("chromium")


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    context = browser.new_context(locale="en-GB")
    yield Visit(context)
    assert context.cookies() == []
    context.close()


def test_the_demo_is_solved_as_a_visitor_would(site: Site, visit: Visit) -> None:
    file_id = visit.open(site.server.url)
    page = visit.page
    assert page.url.endswith("/demo")
    page.get_by_label("Answer").fill(site.code(file_id))
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_role("status").get_by_text("Confirmed")).to_be_visible()
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_text("Thank you")).to_be_visible()
    expect(page.get_by_text('"hostname": "127.0.0.1"')).to_be_visible()
    assert visit.complaints == []
    assert all(url.startswith(site.server.url) for url in visit.requests)


def test_a_wrong_answer_shows_another_picture(site: Site, visit: Visit) -> None:
    first = visit.open(site.server.url + "/demo")
    field = visit.page.get_by_label("Answer")
    field.fill("nothing")
    second = visit.renewed_by(lambda: field.press("Enter"))
    assert second != first
    expect(visit.page.get_by_text("That was not right")).to_be_visible()
    expect(field).to_be_focused()
    expect(field).to_have_value("")
    assert site.answer(first, site.code(first))["reason"] == "expired"
    field.fill(site.code(second))
    field.press("Enter")
    expect(visit.page.get_by_text("Confirmed")).to_be_visible()
    assert visit.complaints == []


def test_what_nobody_sees_is_no_answer_and_spoils_none(site: Site, visit: Visit) -> None:
    file_id = visit.open(site.server.url + "/demo")
    field = visit.page.get_by_label("Answer")
    field.fill("\ufeff\u200b \u200f")
    field.press("Enter")  # as if nothing had been typed
    field.fill("".join(f"\u2066\u200b{character}\u200d\u2069\u200b\ufe0f\u200f" for character in site.code(file_id)))
    field.press("Enter")
    expect(visit.page.get_by_text("Confirmed")).to_be_visible()
    assert sum(url.endswith("/verify") for url in visit.requests) == 1
    assert visit.complaints == []


def test_an_expired_answer_shows_another_picture(site: Site, visit: Visit) -> None:
    first = visit.open(site.server.url + "/demo")
    with database.transaction(site.pool.engine) as connection:
        connection.execute(update(captcha).where(captcha.c.id == first).values(expires_at=captcha.c.issued_at))
    field = visit.page.get_by_label("Answer")
    field.fill("abc234")
    assert visit.renewed_by(lambda: field.press("Enter")) != first
    expect(visit.page.get_by_text("has expired")).to_be_visible()


def test_the_keyboard_is_enough(site: Site, visit: Visit) -> None:
    file_id = visit.open(site.server.url + "/demo")
    page = visit.page
    reached = []
    for _ in range(6):
        page.keyboard.press("Tab")
        # evaluate on a handle: the page's policy forbids evaluating strings
        reached.append(page.locator(":focus").last.evaluate("e => (e.shadowRoot?.activeElement ?? e).id || e.title"))
    wanted = ["comment", "answer", "Listen", "Another picture"]
    if not espeak.can_say("a"):
        wanted.remove("Listen")
    assert [name for name in reached if name in wanted][: len(wanted)] == wanted
    page.get_by_label("Answer").focus()
    page.keyboard.type(site.code(file_id))
    page.keyboard.press("Enter")
    expect(page.get_by_text("Confirmed")).to_be_visible()
    page.get_by_role("button", name="Send").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Thank you")).to_be_visible()
    assert visit.complaints == []


def test_sending_the_form_checks_the_answer_first(site: Site, visit: Visit) -> None:
    file_id = visit.open(site.server.url + "/demo")
    page = visit.page
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_label("Answer")).to_be_focused()  # nothing was typed: nothing is sent
    page.get_by_label("Answer").fill(site.code(file_id))
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_text("Thank you")).to_be_visible()


def test_the_refresh_button_shows_another_picture(site: Site, visit: Visit) -> None:
    first = visit.open(site.server.url + "/demo")
    assert visit.renewed_by(visit.page.get_by_role("button", name="Another picture").click) != first


@needs("espeak-ng")
def test_the_sound_is_played(site: Site, visit: Visit) -> None:
    file_id = visit.open(site.server.url + "/demo")
    with visit.page.expect_response(lambda answer: f"{file_id}.wav" in answer.url) as sound:
        visit.page.get_by_role("button", name="Listen").click()
    assert sound.value.ok
    expect(visit.page.get_by_label("Answer")).to_be_focused()
    assert visit.complaints == []


@needs("espeak-ng")
def test_a_sound_that_comes_late_is_not_played(site: Site, visit: Visit) -> None:
    page = visit.page
    page.add_init_script("""
        const { start } = AudioBufferSourceNode.prototype, { close } = AudioContext.prototype;
        AudioBufferSourceNode.prototype.start = function () { console.log("played"); return start.call(this); };
        AudioContext.prototype.close = function () { console.log("closed"); return close.call(this); };
    """)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    held: list[Route] = []
    page.route("**/*.wav*", lambda route: held.append(route))  # noqa: PLW0108 - Playwright marks what it is given
    first = visit.open(site.server.url + "/demo")
    with page.expect_request(lambda request: f"{first}.wav" in request.url):
        page.get_by_role("button", name="Listen").click()
    assert visit.renewed_by(page.get_by_role("button", name="Another picture").click) != first
    assert said == ["closed"]
    with page.expect_response(lambda answer: f"{first}.wav" in answer.url):
        held[0].continue_()
    assert said == ["closed"]
    page.unroute("**/*.wav*")
    with page.expect_console_message(lambda message: message.text == "played"):
        page.get_by_role("button", name="Listen").click()
    expect(page.get_by_role("status")).to_have_text("")


def test_screen_readers_are_told(site: Site, visit: Visit) -> None:
    visit.open(site.server.url + "/demo")
    group = visit.page.get_by_role("group", name="Captcha")
    expect(group.get_by_role("img")).to_have_accessible_name(re.compile("handwritten letters and digits"))
    expect(group.get_by_role("img")).to_have_accessible_name(
        re.compile("^Type the characters not crossed out by two strokes")
    )
    expect(group.get_by_role("textbox")).to_have_accessible_name("Answer")
    expect(group.get_by_role("textbox")).to_have_accessible_description(
        "Type the characters not crossed out by two strokes."
    )
    for name in ("Check", "Another picture"):
        expect(group.get_by_role("button", name=name)).to_be_visible()
    expect(group.get_by_role("status")).to_have_text("")


_AJAX = """<script src="widget.js" defer></script>
<form id="form"><input aria-label="Name" name="name"><div class="gantcha"></div><button>Send</button></form>
<script>
    form.addEventListener("submit", (event) => {
        event.preventDefault();
        console.log(form.name.value ? "sent" : "mistake");
        if (form.name.value) fetch("/healthz?as-a-site", { method: "POST", body: new FormData(form) });
    });
    for (const what of ["verified", "expired", "error"]) addEventListener(`gantcha-${what}`, () => console.log(what));
</script>"""


def test_a_form_that_scripts_send(site: Site, visit: Visit) -> None:
    page = visit.page
    page.route("**/healthz?as-a-site", lambda route: route.fulfill(status=204))
    elsewhere = "http://127.0.0.1:9/healthz?as-a-site"
    page.route(elsewhere, lambda route: route.fulfill(status=204, headers={"Access-Control-Allow-Origin": "*"}))
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.clock.install()
    first = visit.show(site.server.url, _AJAX.replace("/healthz", "http://127.0.0.1:9/healthz"))
    send = page.get_by_role("button", name="Send")
    confirmed = page.get_by_text("Confirmed")
    page.get_by_label("Answer").fill(site.code(first))
    send.click(click_count=3)  # before the answer was checked
    expect(confirmed).to_be_visible()
    with page.expect_response("**/token"):
        send.click()  # the page found a mistake, so the token is as good as before
    expect(confirmed).to_be_visible()
    page.get_by_label("Name").fill("N.")
    for _ in range(2):  # the second time, since nobody redeemed it
        with page.expect_response(elsewhere):
            send.click()
    assert said == ["verified", "mistake", "mistake", "sent", "sent"]
    assert site.siteverify(page.locator("input[name=gantcha-response]").input_value())["success"]
    second = visit.renewed_by(send.click)  # the site forgot gantcha.reset()
    assert said[5:] == []
    expect(page.get_by_text("The confirmation was used")).to_be_visible()
    expect(page.get_by_label("Answer")).to_be_focused()
    page.get_by_label("Answer").fill(site.code(second))
    page.get_by_role("button", name="Check").click()
    expect(confirmed).to_be_visible()
    assert visit.renewed_by(lambda: page.evaluate("form.reset()")) != second
    expect(confirmed).to_be_hidden()
    expect(page.get_by_role("status")).to_have_text("")
    assert page.locator("input[name=gantcha-response]").input_value() == ""
    assert visit.complaints == []


@pytest.mark.parametrize("captcha", ['<div class="gantcha"></div>', "<gantcha-captcha></gantcha-captcha>"])
@pytest.mark.parametrize(
    ("fold", "unfold"),
    [
        ("around.open = false", "around.open = true"),
        ("around.hidden = 'until-found'", "around.hidden = false"),
        ("around.style.contentVisibility = 'hidden'", "around.style.contentVisibility = ''"),
    ],
)
def test_a_captcha_that_is_folded_away_keeps_no_form(
    site: Site, visit: Visit, captcha: str, fold: str, unfold: str
) -> None:
    page = visit.page
    visit.show(
        site.server.url,
        f"""<script src="widget.js" defer></script><form id="form"><details id="around" open><summary>More</summary>
        {captcha}</details><button>Send</button></form><script>form.addEventListener("submit", (event) => {{
            event.preventDefault();
            console.log("sent");
        }});</script>""",
    )
    send = page.get_by_role("button", name="Send")
    page.evaluate(fold)
    with page.expect_console_message(lambda said: said.text == "sent"):
        send.click()
    page.evaluate(unfold)
    send.click()
    expect(page.get_by_label("Answer")).to_be_focused()
    assert visit.complaints == []


def test_what_fails_is_told_and_can_be_tried_again(site: Site, visit: Visit) -> None:
    page = visit.page
    first = visit.show(site.server.url, _AJAX)
    field, status = page.get_by_label("Answer"), page.get_by_role("status")
    field.press("Enter")
    expect(status).to_have_text("Please type the characters first.")
    expect(field).to_have_attribute("aria-invalid", "true")
    field.fill("x")
    expect(field).not_to_have_attribute("aria-invalid", "true")
    page.route("**/verify", lambda route: route.abort())
    field.press("Enter")
    expect(status).to_have_text("The captcha server can't be reached. Please try again.")
    expect(page.locator(f'img[src$="{first}"]')).to_be_visible()  # it can still be answered
    expect(field).to_have_value("x")
    page.route("**/challenge", lambda route: route.abort())
    page.get_by_role("button", name="Another picture").click()
    retry = page.get_by_role("button", name="Try again")
    expect(retry).to_be_focused()
    expect(page.get_by_role("group").get_by_role("img")).to_be_hidden()
    for code, sentence in {
        429: "Too many tries",
        503: "No picture at the moment",
        400: "This site key is unknown",
    }.items():
        page.unroute("**/challenge")
        page.route("**/challenge", lambda route, _, code=code: route.fulfill(status=code))
        retry.click()
        expect(status).to_contain_text(sentence)
    page.unroute("**/challenge")
    page.route(re.compile("/[0-9a-f]{32}$"), lambda route: route.fulfill(status=410))
    retry.click()
    expect(status).to_contain_text("can't be reached")
    expect(retry).to_be_visible()
    page.unroute(re.compile("/[0-9a-f]{32}$"))
    page.unroute("**/verify")
    file_id = visit.renewed_by(retry.click)
    expect(field).to_be_focused()
    expect(status).to_have_text("")
    field.fill(site.code(file_id))
    page.get_by_role("button", name="Check").click()
    expect(status).to_be_focused()  # and not the page
    expect(status).to_have_text("Confirmed")


def test_the_scripts_are_small(site: Site) -> None:
    for path in ("widget.js", "recaptcha/api.js", "1/api.js", "turnstile/v0/api.js"):
        script = site.server.get(f"/{path}")
        assert script.headers["content-encoding"] == "gzip"
        assert int(script.headers["content-length"]) < 14_000, path


def test_a_confirmation_that_gets_old_is_taken_back(site: Site, visit: Visit) -> None:
    visit.page.clock.install()
    file_id = visit.open(site.server.url + "/demo")
    field = visit.page.get_by_label("Answer")
    field.fill(site.code(file_id))
    field.press("Enter")
    expect(visit.page.get_by_text("Confirmed")).to_be_visible()
    token = visit.page.locator("input[name=gantcha-response]")
    assert len(token.input_value()) > 40
    assert visit.renewed_by(lambda: visit.page.clock.fast_forward("05:00")) != file_id
    expect(visit.page.get_by_text("The confirmation has expired")).to_be_visible()
    assert token.input_value() == ""


@pytest.fixture(scope="module")
def site_for_all(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site that pages of any origin may use."""
    settings = sqlite_settings_in(sqlite_template, tmp_path_factory.mktemp("all")) | {"CORS_ORIGINS": "*"}
    with running_site(settings) as running:
        running.pool.add([Drawn("abc234", a_png())] * 20, PLAIN)
        yield running


def _asked(page: Page, sentence: str) -> None:
    """Check that the sentence is seen, describes the field, and begins what is said of the picture."""
    expect(page.get_by_text(sentence, exact=True)).to_be_visible()
    expect(page.get_by_role("textbox", name=re.compile("Answer|Ответ"))).to_have_accessible_description(sentence)
    expect(page.get_by_role("img", name=sentence)).to_be_visible()


def test_the_sentence_says_what_to_type_of_each_kind(site: Site, site_for_all: Site, visit: Visit) -> None:
    visit.open(site.server.url + "/demo")
    _asked(visit.page, "Type the characters not crossed out by two strokes.")
    visit.open(site_for_all.server.url + "/demo")
    _asked(visit.page, "Type the characters.")
    assert visit.complaints == []


@pytest.mark.parametrize(
    ("attributes", "sentence"),
    [
        ('data-lang="ru"', "Введите символы, не зачёркнутые двумя чертами."),
        ('data-text-crossed-out="Only what is left, please."', "Only what is left, please."),
    ],
)
def test_the_sentence_is_translated(site: Site, visit: Visit, attributes: str, sentence: str) -> None:
    visit.show(site.server.url, f'<script src="widget.js"></script><div class="gantcha" {attributes}></div>')
    _asked(visit.page, sentence)
    assert visit.complaints == []


@pytest.mark.parametrize(
    ("of_file", "shown"),
    [((300, 120), 300), ((600, 240), 300), ((800, 240), 300), ((200, 120), 200), ((234, 104), 234), ((400, 240), 200)],
)
def test_a_picture_of_any_size_keeps_its_ratio_and_moves_nothing(
    site: Site, visit: Visit, of_file: tuple[int, int], shown: int
) -> None:
    page, held = visit.page, []
    page.route(re.compile("/[0-9a-f]{32}$"), lambda route: held.append(route))  # noqa: PLW0108 - as above
    with page.expect_request(re.compile("/[0-9a-f]{32}$")):
        page.goto(site.server.url + "/demo")
    expect(page.get_by_text("Type the characters")).to_be_visible()
    loading = page.get_by_role("group").bounding_box()
    png = encode_png(np.full(of_file[::-1], 200, np.uint8))
    held[0].fulfill(body=png, content_type="image/png")
    image = page.locator(".gantcha img")
    image.wait_for()
    box = image.bounding_box()
    assert box
    assert box["width"] == pytest.approx(shown, abs=0.1)
    assert box["width"] / box["height"] == pytest.approx(of_file[0] / of_file[1], rel=0.002)
    assert page.get_by_role("group").bounding_box() == loading
    assert visit.complaints == []


@pytest.mark.parametrize(
    ("compat", "field"),
    [
        ("recaptcha", "g-recaptcha-response"),
        ("hcaptcha", "h-captcha-response"),
        ("turnstile", "cf-turnstile-response"),
    ],
)
def test_another_site_s_form_gets_the_token(site_for_all: Site, visit: Visit, compat: str, field: str) -> None:
    attributes = f'data-compat="{compat}" data-lang="ru" data-text-check="Готово" data-callback="solved"'
    widget = f'<div class="gantcha" {attributes}></div>'
    script = "window.solved = (token) => console.log(token)"
    with page_elsewhere(site_for_all.server.url, widget, script) as (url, forms):
        said: list[str] = []
        visit.page.on("console", lambda message: said.append(message.text))
        file_id = visit.open(url)
        visit.page.get_by_label("Ответ").fill(site_for_all.code(file_id))
        visit.page.get_by_role("button", name="Готово").click()
        expect(visit.page.get_by_text("Подтверждено")).to_be_visible()
        with visit.page.expect_response(lambda answer: answer.request.method == "POST"):
            visit.page.get_by_role("button", name="Send").click()
    assert forms[0][field] == forms[0]["gantcha-response"] == said
    assert visit.complaints == []
    answer = site_for_all.siteverify(said[0])
    assert answer["success"]
    assert answer["hostname"] == "127.0.0.1"

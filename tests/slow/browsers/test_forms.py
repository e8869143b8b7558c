"""The widget in pages with logic of their own, in Chromium, Firefox and WebKit."""

from collections.abc import Callable
from urllib.parse import parse_qs

import pytest

from gantcha import __version__
from server import espeak
from tests.conftest import Site, wait_until
from tests.slow.browsers.conftest import Widget
from tests.support.engines import Engine
from tests.support.proxy import Proxy

_SEND = "document.querySelector('#send')"
_HEAD = """<!doctype html><html lang="en"><title>A page</title><link rel="icon" href="data:,">
<script>window.log = [];</script>"""
_FASTER = """<script>{{
    const {{ setTimeout: later, setInterval: often }} = window, {{ now }} = Date, begun = now();
    window.times = {times};
    Date.now = () => begun + (now() - begun) * times;
    window.setTimeout = (what, ms, ...more) => later(what, ms / times, ...more);
    window.setInterval = (what, ms, ...more) => often(what, ms / times, ...more);
    window.passed = () => (Date.now() - begun) / 1000;
}}</script>"""
"""Has the page's clock run faster."""
Show = Callable[..., Widget]


@pytest.fixture
def show(engine: Engine, proxy: Proxy) -> Show:
    """Open a page with this in it."""

    def show(html: str, script: str = '<script src="widget.js"></script>', host: str = ".gantcha") -> Widget:
        proxy.pages["/page"] = _HEAD + script + html
        proxy.requests.clear()
        engine.open(f"{proxy.url}/page")
        return Widget(engine, host)

    return show


def _sent(proxy: Proxy, path: str = "/page") -> list[dict[str, list[str]]]:
    """Give the fields of the forms that were sent there."""
    return [parse_qs(one.body.decode()) for one in proxy.asked(path) if one.method == "POST"]


def _await(proxy: Proxy, count: int, path: str = "/page") -> list[dict[str, list[str]]]:
    """Wait for so many forms."""
    wait_until(lambda: len(_sent(proxy, path)) >= count, "the form", 10)
    assert len(_sent(proxy, path)) == count
    return _sent(proxy, path)


def test_a_script_calls_back_after_its_load_event(show: Show, engine: Engine) -> None:
    show(
        """<script>
        window.loaded = () => log.push("callback");
        const script = Object.assign(document.createElement("script"), { src: "recaptcha/api.js?onload=loaded" });
        script.onload = () => log.push("load");
        document.head.append(script);
        </script>""",
        "",
    )
    engine.until("log.length === 2", "both")
    assert engine.evaluate("log") == ["load", "callback"]


def test_a_server_that_fails_is_asked_seldom_and_the_captcha_heals(
    site: Site, show: Show, engine: Engine, proxy: Proxy
) -> None:
    proxy.answer("/challenge", 503, {"Retry-After": "1"})
    widget = show(
        """<div class="h-captcha" data-error-callback="failed"></div>
        <script>window.failed = () => { log.push("failed"); hcaptcha.reset(); };</script>""",
        _FASTER.format(times=20) + '<script src="1/api.js"></script>',
        ".h-captcha",
    )
    engine.until("passed() > 60", "a minute", seconds=20)
    asked = len(proxy.asked("/challenge"))
    assert 3 <= asked <= 10
    assert abs(len(engine.evaluate("log")) - asked) <= 1
    proxy.heal()
    widget.solve(site.code(widget.shown()))


def test_many_captchas_wait_together(show: Show, engine: Engine, proxy: Proxy) -> None:
    proxy.answer("/challenge", 503)
    show(
        f'<div style="zoom:0.3">{4 * "<div class=gantcha></div>"}</div>',
        _FASTER.format(times=20) + '<script src="widget.js"></script>',
    )
    engine.until("passed() > 60", "a minute", seconds=20)
    assert len(proxy.asked("/challenge")) <= 4 + 10
    proxy.heal()
    ready = "[...document.querySelectorAll('.gantcha')].every((one) => !!one.shadowRoot.querySelector('.ready'))"
    engine.until(ready, "all of them", seconds=20)


_OWN_LOGIC = """<form id="form" method="post"><div class="gantcha"></div><button id="send">Send</button></form>
<script>
    setInterval(() => fetch("healthz?poll"), 100);
    form.addEventListener("submit", (event) => {
        event.preventDefault();
        log.push(gantcha.getResponse());
        fetch("healthz?report", { method: "POST" });
    });
</script>"""


def test_a_page_that_polls_keeps_its_token(site: Site, show: Show, engine: Engine, proxy: Proxy) -> None:
    widget = show(_OWN_LOGIC)
    first = widget.shown()
    widget.solve(site.code(first))
    for count in (1, 2, 3):
        polled = len(proxy.asked("/healthz?poll"))
        engine.until(f"new Promise((done) => setTimeout(() => done({polled} >= 0), 250))", "some more requests")
        engine.click(_SEND)
        engine.until(f"log.length === {count}", "the page's own handler")
    token, *others = engine.evaluate("log")
    assert others == [token, token]
    assert site.siteverify(token)["success"]
    engine.click(_SEND)
    second = widget.shown(before=first)
    widget.says("The confirmation was used")
    widget.has_focus("answer")
    assert len(engine.evaluate("log")) == 3
    widget.solve(site.code(second))


@pytest.mark.parametrize(
    ("handler", "then"),
    [
        ("log.push('asked'); await fetch('healthz'); form.requestSubmit(send)", ""),
        ("yes.hidden = false", "document.querySelector('#yes')"),
    ],
    ids=["waits", "asks"],
)
def test_forms_that_send_themselves(
    site: Site, show: Show, engine: Engine, proxy: Proxy, handler: str, then: str
) -> None:
    widget = show(
        f"""<form id="form" method="post"><div class="gantcha"></div>
        <button id="send" name="how" value="sent">Send</button>
        <button id="yes" type="button" hidden onclick="log.push('sure'); form.requestSubmit(send)">Sure</button></form>
        <script>form.addEventListener("submit", async (event) => {{
            if (log.length) return;
            event.preventDefault();
            {handler};
        }});</script>"""
    )
    widget.solve(site.code(widget.shown()))
    engine.click(_SEND)
    if then:
        engine.click(then)
    (form,) = _await(proxy, 1)
    assert form["how"] == ["sent"]
    assert site.siteverify(form["gantcha-response"][0])["success"]


def test_two_captchas_of_a_form_do_not_block_each_other(site: Site, show: Show, engine: Engine, proxy: Proxy) -> None:
    one = show(
        """<form method="post"><div class="gantcha" id="one"></div><div class="gantcha" id="two"></div>
        <button id="send">Send</button></form>""",
        host="#one",
    )
    two = Widget(engine, "#two")
    for widget in (one, two):
        engine.click(widget.part("#answer"))
        engine.type(site.code(widget.shown()))
    engine.click(_SEND)  # both are checked first
    (form,) = _await(proxy, 1)
    tokens = form["gantcha-response"]
    assert len(set(tokens)) == 2
    assert all(site.siteverify(token)["success"] for token in tokens)


def test_a_double_click_sends_a_form_once(site: Site, show: Show, engine: Engine, proxy: Proxy) -> None:
    widget = show("""<form method="post"><div class="gantcha"></div><button id="send">Send</button></form>""")
    widget.solve(site.code(widget.shown()))
    proxy.delay("/page", 1)
    # While the page is being left nothing is asked of the browser: Chromium's answer may never come.
    engine.evaluate("(setTimeout(() => { send.click(); setTimeout(() => globalThis.send?.click(), 50); }, 50), 0)")
    wait_until(lambda: len(proxy.asked("/challenge")) == 2, "the captcha of the page after the form")
    assert len(_sent(proxy)) == 1


def test_buttons_that_need_no_answer_need_none(show: Show, engine: Engine, proxy: Proxy) -> None:
    proxy.pages["/draft"] = _HEAD + "kept"
    html = """<form method="post"><div class="gantcha"></div>
        <button id="draft" formnovalidate formaction="draft">Save draft</button></form>
        <dialog open id="box"><form method="dialog"><div class="gantcha"></div>
        <button id="no">Cancel</button></form></dialog>"""
    widget = show(html)
    widget.shown()
    engine.click("document.querySelector('#no')")
    engine.until("!box.open", "the dialog to close")
    engine.click("document.querySelector('#draft')")
    assert len(_await(proxy, 1, "/draft")) == 1


def test_what_is_hidden_takes_no_captcha_and_keeps_no_form(show: Show, engine: Engine, proxy: Proxy) -> None:
    show("""<form method="post"><div class="gantcha" hidden></div><button id="send">Send</button></form>""")
    engine.until("!!document.querySelector('.gantcha').shadowRoot", "the widget")
    engine.click(_SEND)
    _await(proxy, 1)
    assert proxy.asked("/challenge") == []


@pytest.mark.parametrize("around", ['style="display:none"', 'style="opacity:0"', "details"])
def test_an_invisible_captcha_opens_wherever_it_is(
    site: Site, show: Show, engine: Engine, proxy: Proxy, around: str
) -> None:
    box = "<details>{}</details>" if around == "details" else f"<div {around}>{{}}</div>"
    show(
        f"""<form method="post">{box.format('<div class="gantcha" data-size="invisible" id="one"></div>')}
        <button id="send">Send</button></form>"""
    )
    engine.until("!!document.querySelector('[name=gantcha-response]')", "the widget")
    engine.click(_SEND)
    widget = Widget(engine, "body > div:last-child")
    file_id = widget.shown()
    widget.has_focus("answer")
    engine.type(site.code(file_id))
    engine.press("Enter")
    (form,) = _await(proxy, 1)
    assert site.siteverify(form["gantcha-response"][0])["success"]


@pytest.mark.parametrize("how", ["form.innerHTML = form.innerHTML", "form.replaceWith(form.cloneNode(true))"])
def test_a_form_drawn_anew_has_one_fresh_field(site: Site, show: Show, engine: Engine, how: str) -> None:
    widget = show(
        """<form id="form" method="post"><div class="h-captcha" data-response-field-name="mine"></div></form>""",
        '<script src="1/api.js"></script>',
        ".h-captcha",
    )
    first = widget.shown()
    widget.solve(site.code(first))
    old = engine.evaluate("hcaptcha.getResponse()")
    engine.evaluate(f"({how}, 0)")
    widget.solve(site.code(widget.shown(before=first)))
    token = engine.evaluate("hcaptcha.getResponse()")
    assert token != old
    names = ["gantcha-response", "mine", "g-recaptcha-response"]
    fields = engine.evaluate(f"{names}.map((name) => new FormData(document.forms[0]).getAll(name))")
    assert fields == [[token]] * 3


def test_a_token_is_taken_back_after_a_long_sleep(site: Site, show: Show, engine: Engine, proxy: Proxy) -> None:
    widget = show("""<form method="post"><div class="gantcha"></div><button id="send">Send</button></form>""")
    for wake in (_SEND, ""):
        first = widget.shown()
        widget.solve(site.code(first))
        engine.evaluate("(window.now = Date.now, Date.now = () => now() + 3e5, 0)")  # no timer ran meanwhile
        if wake:
            engine.click(wake)
        else:
            engine.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        widget.shown(before=first)
        widget.says("The confirmation has expired")
        engine.evaluate("(Date.now = now, 0)")
    assert _sent(proxy) == []


def test_names_of_elements_hide_nothing(show: Show, engine: Engine) -> None:
    scripts = "".join(f'<script src="{path}"></script>' for path in ("widget.js", "1/api.js", "turnstile/v0/api.js"))
    names = """<form name="hcaptcha"></form><img name="grecaptcha" alt=""><div id="gantcha"></div>
        <div id="turnstile"></div>"""
    hosts = "".join(f'<div class="{name}"></div>' for name in ("gantcha", "h-captcha", "cf-turnstile"))
    show(hosts, names + scripts)
    for host in (".gantcha", ".h-captcha", ".cf-turnstile"):
        Widget(engine, host).shown()


def test_any_element_can_show_a_captcha(site: Site, show: Show, engine: Engine, proxy: Proxy) -> None:
    show("""<div class="gantcha" id="bad"></div>
        <script>bad.append = () => { throw new Error("this page's own"); };</script>
        <table><tr><td class="gantcha"></td></tr></table><ul><li class="gantcha"></li></ul>
        <label class="gantcha"></label><fieldset class="gantcha"></fieldset><details open class="gantcha"></details>
        <form class="gantcha" method="post"><button id="send">Send</button></form>""")
    ready = """[...document.querySelectorAll(".gantcha:not(#bad)")].filter((one) =>
        (one.shadowRoot ?? [...one.children].find((child) => child.shadowRoot)?.shadowRoot)?.querySelector(".ready"))"""
    engine.until("(scrollTo(0, document.body.scrollHeight), scrollTo(0, 500), 1)", "")
    engine.until(f"{ready}.length === 6 || ({ready}.at(-1)?.scrollIntoView(), false)", "all of them", 30)
    widget = Widget(engine, "form.gantcha > div")
    widget.solve(site.code(widget.shown()))
    engine.click(_SEND)
    assert len(_await(proxy, 1)[0]["gantcha-response"][0]) > 40


def test_the_script_finds_its_server(show: Show, proxy: Proxy) -> None:
    proxy.pages["/other/widget.js"] = "window.other = true;"
    others = '<script src="other/widget.js"></script>'
    many = "Promise.all([...Array(260).keys()].map((one) => fetch(`healthz?${one}`)))"
    late = f'<script type="module">await {many}; await import("./widget.js");</script>'
    for script in (
        late,
        '<script type="module" src="widget.js"></script>',
        f'<script src="widget.v{__version__}.js"></script>',
    ):
        show('<div class="gantcha"></div>', others + script).shown()
        assert [one.path for one in proxy.asked("/other/challenge")] == []


def test_the_keyboard_stays_with_who_goes_on_writing(show: Show, engine: Engine, proxy: Proxy) -> None:
    widget = show("""<textarea id="comment"></textarea><div class="gantcha"></div>""")
    first = widget.shown()
    for press in ("[part~=refresh]", ".check"):
        if press == ".check":
            engine.click(widget.part("#answer"))
            engine.type("wrong")
        proxy.delay("/challenge")
        engine.click(widget.part(press))
        engine.click("document.querySelector('#comment')")
        engine.type("ab")
        proxy.heal()
        first = widget.shown(before=first)
        engine.type("cd")
    assert engine.evaluate("comment.value") == "abcdabcd"
    assert engine.evaluate(f"{widget.part('#answer')}.value") == ""


def test_what_ends_writing_is_no_answer_and_everything_has_a_name(show: Show, engine: Engine, proxy: Proxy) -> None:
    proxy.delay("/languages/")
    widget = show('<div class="gantcha" data-lang="de"></div>')
    widget.shown()
    names = engine.evaluate(f"[{widget.part('#answer')}.ariaLabel, {widget.part('.check')}.innerText]")
    assert names == ["Answer", "Check"]
    proxy.heal()
    engine.until(f"{widget.part('.check')}.innerText === 'Prüfen'", "German")
    engine.click(widget.part("#answer"))
    engine.type("half")
    enter = "new KeyboardEvent('keydown', { key: 'Enter', keyCode: 229, bubbles: true })"
    engine.evaluate(f"{widget.part('#answer')}.dispatchEvent({enter})")
    engine.evaluate("new Promise((done) => setTimeout(done, 200))")
    assert proxy.asked("/verify") == []


@pytest.mark.skipif(not espeak.can_say("a"), reason="espeak-ng is not installed (apt-get install espeak-ng)")
def test_a_sound_waits_for_the_screen_reader_and_begins_again(show: Show, engine: Engine, proxy: Proxy) -> None:
    widget = show("""<div class="gantcha"></div><script>
        const { start } = AudioBufferSourceNode.prototype;
        AudioBufferSourceNode.prototype.start = function (when) {
            log.push([when - this.context.currentTime >= 1.4, this.playbackRate.value]);
            return start.call(this, when);
        };
    </script>""")
    widget.shown()
    for count in (1, 2):
        engine.click(widget.part("[title=Listen]"))
        widget.has_focus("answer")
        engine.until(f"log.length === {count}", "the sound")
    engine.click(widget.part("[part~=speed]"))
    engine.until("log.length === 3", "the slower sound")
    assert engine.evaluate("log") == [[True, 1], [True, 1], [True, 0.75]]
    assert len([one for one in proxy.asked("/") if ".wav" in one.path]) == 1


def test_nothing_on_the_page_jumps(site: Site, show: Show, engine: Engine, proxy: Proxy) -> None:
    proxy.delay("/challenge")
    widget = show('<div class="gantcha"></div><p id="below">Below</p>')
    engine.until(f"!!{widget.part('.card')}", "the widget")
    height = "below.getBoundingClientRect().top"
    loading = engine.evaluate(height)
    proxy.heal()
    file_id = widget.shown()
    assert engine.evaluate(height) == loading
    engine.click(widget.part(".check"))
    widget.says("Please type the characters first")
    assert engine.evaluate(height) == loading
    widget.solve(site.code(file_id))
    assert engine.evaluate(height) == loading
    proxy.answer("/challenge", 429, {"Retry-After": "42"})
    engine.click(widget.part("[part~=again]"))
    widget.says("Too many tries. Please wait a moment. 0:")
    assert engine.evaluate(height) == loading


def test_a_picture_is_renewed_twice_and_never_over_typed_text(show: Show, engine: Engine, proxy: Proxy) -> None:
    widget = show('<div class="gantcha"></div>', _FASTER.format(times=300) + '<script src="widget.js"></script>')
    widget.says("Here is a new one")
    engine.until(f"({widget.part('#status')}.innerText.endsWith('has expired.'))", "the end", seconds=20)
    assert len(proxy.asked("/challenge")) == 3
    engine.click(widget.part(".retry"))
    widget.shown()
    engine.type("typed")
    engine.until(
        f"(window.then ??= passed(), passed() - then > 1500) && {widget.part('#answer')}.value === 'typed'", "more", 20
    )
    assert len(proxy.asked("/challenge")) == 4


def test_calls_of_wrappers(site: Site, show: Show, engine: Engine, proxy: Proxy) -> None:
    """A promise of `execute`, a callback for the opening, and a reset of what is gone."""
    scripts = "".join(
        f'<script src="{path}?render=explicit"></script>'
        for path in ("recaptcha/api.js", "1/api.js", "turnstile/v0/api.js")
    )
    show('<div id="one"></div><div id="two"></div><div id="three"></div>', scripts)
    engine.evaluate("""(id => (turnstile.remove(id), turnstile.reset(id), turnstile.remove(id), 0))(
        turnstile.render(three, { sitekey: "k" }))""")
    engine.evaluate("new Promise((done) => setTimeout(done, 200))")
    assert proxy.asked("/challenge") == []
    engine.evaluate("""(hcaptcha.render(one, { size: "invisible", "open-callback": () => log.push("opened"),
        "close-callback": () => log.push("closed") }), hcaptcha.execute(), 0)""")
    widget = Widget(engine, "body > div:last-child")
    widget.shown()
    engine.press("Escape")
    engine.until("log.length === 2", "the callbacks")
    assert engine.evaluate("log") == ["opened", "closed"]
    engine.evaluate(
        """(grecaptcha.execute(grecaptcha.render(two, { size: "invisible" })).then((token) => log.push(token)), 0)"""
    )
    widget.has_focus("answer")
    engine.type(site.code(widget.shown()))
    engine.press("Enter")
    engine.until("log.length === 3", "the promise")
    assert site.siteverify(engine.evaluate("log[2]"))["success"]
    assert engine.complaints == []


def test_a_form_that_its_callback_sends_is_sent_once(site: Site, show: Show, engine: Engine, proxy: Proxy) -> None:
    widget = show("""<form id="form"><div class="gantcha" data-callback="solved"></div><button id="send">Send</button>
        </form><script>
        window.solved = () => form.requestSubmit();
        form.addEventListener("submit", (event) => { event.preventDefault(); log.push(gantcha.getResponse()); });
        </script>""")
    file_id = widget.shown()
    engine.click(widget.part("#answer"))
    engine.type(site.code(file_id))
    engine.click(_SEND)  # instead of Check
    widget.says("Confirmed")
    engine.evaluate("new Promise((done) => setTimeout(done, 200))")
    (token,) = engine.evaluate("log")
    assert site.siteverify(token)["success"]
    assert len(proxy.asked("/challenge")) == 1


def test_a_submit_handler_that_executes_asks_once(site: Site, show: Show, engine: Engine, proxy: Proxy) -> None:
    show(
        """<form id="form"><div class="h-captcha" data-size="invisible"></div><button id="send">Send</button></form>
        <script>form.addEventListener("submit", async (event) => {
            event.preventDefault();
            log.push((await hcaptcha.execute(undefined, { async: true })).response);
        });</script>""",
        '<script src="1/api.js"></script>',
    )
    engine.until("!!document.querySelector('[name=h-captcha-response]')", "the widget")
    for count in (1, 2):  # the second time the token is used
        engine.click(_SEND)
        widget = Widget(engine, "body > div:last-child")
        widget.has_focus("answer")
        engine.type(site.code(widget.shown()))
        engine.press("Enter")
        engine.until(f"log.length === {count}", "the page's own handler")
        assert site.siteverify(engine.evaluate("log.at(-1)"))["success"]
    engine.evaluate("new Promise((done) => setTimeout(done, 200))")
    assert len(engine.evaluate("log")) == len(proxy.asked("/challenge")) == 2


def test_an_open_dialog_heals(site: Site, show: Show, engine: Engine, proxy: Proxy) -> None:
    proxy.answer("/challenge", 503)
    show(
        '<form method="post"><div class="gantcha" data-size="invisible"></div><button id="send">Send</button></form>',
        _FASTER.format(times=10) + '<script src="widget.js"></script>',
    )
    engine.until("!!document.querySelector('[name=gantcha-response]')", "the widget")
    engine.click(_SEND)
    widget = Widget(engine, "body > div:last-child")
    widget.says("No picture at the moment")
    widget.has_focus("Try again")
    proxy.heal()
    file_id = widget.shown()
    widget.has_focus("answer")
    engine.type(site.code(file_id))
    engine.press("Enter")
    assert len(_await(proxy, 1)) == 1


@pytest.mark.parametrize(
    "around", ["<fieldset disabled>{}</fieldset>", '<div style="display: none">{}</div>'], ids=["disabled", "hidden"]
)
def test_an_element_that_counts_for_nothing_keeps_no_form(
    show: Show, engine: Engine, proxy: Proxy, around: str
) -> None:
    show(
        f"""<form id="form" method="post">{around.format("<gantcha-captcha></gantcha-captcha>")}</form>
        <button form="form" id="send">Send</button>""",
        host="gantcha-captcha",
    )
    engine.until("!!document.querySelector('gantcha-captcha').shadowRoot", "the widget")
    engine.click(_SEND)
    assert len(_await(proxy, 1)) == 1


def test_a_double_click_on_what_is_typed_sends_an_element_once(
    site: Site, show: Show, engine: Engine, proxy: Proxy
) -> None:
    widget = show(
        """<form id="form"><gantcha-captcha></gantcha-captcha></form><button form="form" id="send">Send</button>
        <script>form.addEventListener("submit", (event) => { event.preventDefault(); log.push("sent"); });</script>""",
        host="gantcha-captcha",
    )
    file_id = widget.shown()
    engine.click(widget.part("#answer"))
    engine.type(site.code(file_id))
    proxy.delay("/verify")
    engine.evaluate("(send.click(), setTimeout(() => send.click(), 20), 0)")
    engine.evaluate("new Promise((done) => setTimeout(done, 200))")
    proxy.heal()
    widget.says("Confirmed")
    engine.evaluate("new Promise((done) => setTimeout(done, 200))")
    assert engine.evaluate("log") == ["sent"]

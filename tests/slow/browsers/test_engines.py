"""A visitor's way through the captcha in Chromium, Firefox and WebKit, with the keys and clicks of each."""

from urllib.parse import parse_qs

from server import espeak
from tests.conftest import Site
from tests.slow.browsers.conftest import Widget
from tests.support.engines import Engine
from tests.support.proxy import Proxy

_SEND = """document.querySelector("form > button")"""


def _shows(engine: Engine, words: str) -> None:
    engine.until(f"document.body?.innerText.includes({words!r})", words)


def test_the_demo_is_solved(site: Site, proxy: Proxy, engine: Engine, widget: Widget) -> None:
    engine.open(f"{proxy.url}/demo")
    widget.solve(site.code(widget.shown()))
    engine.click(_SEND)
    _shows(engine, "Thank you")
    _shows(engine, '"hostname": "127.0.0.1"')
    assert engine.complaints == []
    assert len(proxy.asked("/verify")) == 1


def test_a_wrong_answer_shows_another_picture(site: Site, proxy: Proxy, engine: Engine, widget: Widget) -> None:
    engine.open(f"{proxy.url}/demo")
    first = widget.shown()
    engine.click(widget.part("#answer"))
    engine.type("nothing")
    engine.press("Enter")
    second = widget.shown(before=first)
    widget.says("That was not right")
    widget.has_focus("answer")
    engine.type(site.code(second))  # the field is empty, and needs no click
    engine.click(widget.part(".check"))
    widget.says("Confirmed")
    widget.has_focus("status")
    assert engine.complaints == []


def test_the_button_shows_another_picture(proxy: Proxy, engine: Engine, widget: Widget) -> None:
    engine.open(f"{proxy.url}/demo")
    first = widget.shown()
    engine.click(widget.part("[part~=refresh]"))
    assert widget.shown(before=first) != first
    widget.has_focus("answer")
    assert engine.complaints == []


def test_the_tab_key_reaches_everything(proxy: Proxy, engine: Engine, widget: Widget) -> None:
    engine.open(f"{proxy.url}/demo")
    widget.shown()
    engine.click("document.querySelector('#comment')")
    wanted = ["answer", *["Listen"] * espeak.can_say("a"), "Another picture", "Check", "Send"]
    for name in wanted:
        engine.press("Tab")
        widget.has_focus(name)
    for name in reversed(wanted[:-1]):
        engine.press("Shift+Tab")
        widget.has_focus(name)


def test_what_fails_can_be_tried_again(site: Site, proxy: Proxy, engine: Engine, widget: Widget) -> None:
    proxy.answer("/challenge", 503, {"Retry-After": "1"})
    engine.open(f"{proxy.url}/demo")
    widget.says("No picture at the moment")
    proxy.drop("/challenge")
    engine.click(widget.part(".retry"))
    widget.says("can't be reached")
    widget.has_focus("Try again")
    proxy.heal()
    engine.press("Enter")
    file_id = widget.shown()
    widget.has_focus("answer")
    proxy.drop("/verify")
    engine.type(site.code(file_id))
    engine.press("Enter")
    widget.says("can't be reached")
    proxy.heal()
    engine.press("Enter")  # what was typed is still there
    widget.says("Confirmed")


def test_the_element_is_a_control_of_its_form(site: Site, proxy: Proxy, engine: Engine) -> None:
    proxy.pages["/page"] = """<!doctype html><html lang="en"><title>A page</title><link rel="icon" href="favicon.svg">
        <script src="widget.js" defer></script>
        <form id="form" method="post"><gantcha-captcha id="one" name="captcha"></gantcha-captcha>
        <button>Send</button></form>"""
    widget = Widget(engine, "gantcha-captcha")
    engine.open(f"{proxy.url}/page")
    file_id = widget.shown()
    state = """[form.checkValidity(), one.validity.valueMissing, one.value, new FormData(form).get("captcha")]"""
    assert engine.evaluate(state) == [False, True, "", None]
    engine.click(_SEND)
    widget.has_focus("answer")  # the browser says what is missing, and where
    widget.solve(site.code(file_id))
    token = engine.evaluate("one.value")
    assert engine.evaluate(state) == [True, False, token, token]
    engine.click(_SEND)
    engine.until("!globalThis.one?.value", "the page after the form")
    form = parse_qs(next(asked.body for asked in proxy.asked("/page") if asked.method == "POST").decode())
    assert form == {"captcha": [token], "gantcha-response": [token]}
    assert site.siteverify(token)["success"]
    assert engine.complaints == []


def test_the_page_without_javascript_takes_the_answer(site: Site, proxy: Proxy, engine: Engine) -> None:
    engine.open(f"{proxy.url}/plain")
    for answer, sentence in (("nothing", "That was not right"), ("", "Confirmed")):
        file_id = engine.evaluate("document.querySelector('[name=id]').value")
        engine.click("document.querySelector('#answer')")
        engine.type(answer or site.code(file_id))
        engine.press("Enter")
        _shows(engine, sentence)
    assert len(engine.evaluate("document.querySelector('#token').value")) > 40
    assert engine.complaints == []

"""The widget for everyone: axe, what a screen reader is told, colours, small screens and thirty languages."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from server import espeak
from tests.conftest import ROOT, Site
from tests.support.chromium import Visit
from tests.support.programs import needs

pytestmark = needs("chromium")
LANGUAGES = sorted(path.stem for path in (ROOT / "server/pages/languages").glob("*.json"))
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
_FORM = '<script src="widget.js" defer></script><form><div class="gantcha"></div></form>'


def _inside(page: Page, selector: str, expression: str) -> Any:
    """Evaluate an expression with the list `parts` of all that a selector finds within captchas."""
    found = (
        f"[...document.querySelectorAll('.gantcha')].flatMap((e) => [...e.shadowRoot.querySelectorAll('{selector}')])"
    )
    return page.evaluate(f"() => {{ const parts = {found}; return {expression}; }}")


def _states(site: Site, visit: Visit) -> Iterator[str]:
    """Bring a captcha from state to state, and name each."""
    page = visit.page
    field, status = page.get_by_role("textbox"), page.get_by_role("status")
    page.route("**/challenge", lambda _: None)  # no answer yet
    with page.expect_request("**/challenge"):
        page.goto(site.server.url + "/page")
    field.wait_for()
    yield "loading"
    page.unroute("**/challenge")
    visit.open(site.server.url + "/page")
    yield "ready"
    field.press("Enter")
    expect(status).not_to_be_empty()
    yield "empty"
    field.fill("wrong")
    visit.renewed_by(lambda: field.press("Enter"))
    yield "wrong"
    page.route("**/challenge", lambda route: route.fulfill(status=503))
    page.get_by_role("button", name="Another picture").click()
    retry = page.get_by_role("button", name="Try again")
    retry.wait_for()
    yield "failed"
    page.unroute("**/challenge")
    field.fill(site.code(visit.renewed_by(retry.click)))
    field.press("Enter")
    expect(status).to_have_text("Confirmed")
    yield "solved"


def _tree(page: Page) -> list[str]:
    """Chromium's accessibility tree of the captcha: role, name and description of each of its nodes, in order."""
    session = page.context.new_cdp_session(page)
    nodes: list[dict[str, Any]] = session.send("Accessibility.getFullAXTree")["nodes"]
    by_id = {node["nodeId"]: node for node in nodes}
    said = []

    def walk(node: dict[str, Any]) -> None:
        role, name, description = (node.get(key, {}).get("value", "") for key in ("role", "name", "description"))
        properties = {one["name"]: one["value"].get("value") for one in node.get("properties", [])}
        marks = [mark for mark in ("focused", "invalid") if properties.get(mark) in (True, "true")]
        children = [by_id[child] for child in node.get("childIds", [])]
        if role in ("paragraph", "status"):
            name = "".join(child["name"]["value"] for child in children)
        if not node["ignored"] and role not in ("generic", "StaticText", "InlineTextBox"):
            said.append(" | ".join(filter(None, [role, name, description, *marks])))
        for child in children:
            walk(child)

    walk(next(node for node in nodes if node.get("role", {}).get("value") == "group"))
    return said


@pytest.mark.parametrize("colours", ["light", "dark", "forced"])
def test_every_state_passes_axe_and_says_what_it_should(site: Site, browser: Browser, colours: str) -> None:
    schemes: dict[str, Any] = {"forced": {"forced_colors": "active"}}
    context = browser.new_context(**schemes.get(colours, {"color_scheme": colours}), reduced_motion="reduce")
    visit = Visit(context)
    visit.serve(site.server.url, _FORM)
    told = {}
    for state in _states(site, visit):
        assert Axe().run(visit.page, options=RULES).response["violations"] == [], state
        told[state] = _tree(visit.page)
        boxes = "parts.filter((part) => part.checkVisibility()).map((part) => part.getBoundingClientRect())"
        sizes = _inside(visit.page, "button, input", f"{boxes}.map(({{ width, height }}) => Math.min(width, height))")
        assert min(sizes) >= 44, state
    moving = _inside(visit.page, ".spinner", "parts.map((part) => getComputedStyle(part).animationName)")
    assert moving == ["none"]
    assert not any("503" not in complaint for complaint in visit.complaints)
    context.close()

    asked, wrong = "Type the characters not crossed out by two strokes.", "That was not right. Here is a new picture."
    assert told["ready"] == [
        "group | Captcha",
        f"image | {asked} A picture of handwritten letters and digits. "
        "The speaker button, where there is one, reads out what to type.",
        f"paragraph | {asked}",
        "status",
        f"textbox | Answer | {asked}",
        *["button | Listen"] * espeak.can_say("a"),
        "button | Another picture",
        "button | Check",
    ]
    for state, sentence in {"empty": "Please type the characters first.", "wrong": wrong}.items():
        answer = [f"status | {sentence}", f"textbox | Answer | {asked} {sentence} | focused | invalid"]
        assert told[state] == told["ready"][:3] + answer + told["ready"][5:]
    retry = ["button | Try again | focused", "status | No picture at the moment. Please try again."]
    assert told["failed"] == ["group | Captcha", *retry]
    assert told["solved"] == ["group | Captcha", "button | Another picture", "status | Confirmed | focused"]


def test_no_language_is_cramped(site: Site, browser: Browser) -> None:
    """On a screen of 320 pixels, which is also one of 640 at 200 %; in a page whose styles would spread."""
    names = json.loads((ROOT / "server/pages/languages/de.json").read_text()).keys()
    for language in LANGUAGES:
        texts = json.loads((ROOT / f"server/pages/languages/{language}.json").read_text())
        assert texts.keys() == names
        assert all(texts.values())
    context = browser.new_context(viewport={"width": 320, "height": 600}, device_scale_factor=2)
    visit = Visit(context)
    shout = "<style>* { text-transform: uppercase; letter-spacing: 0.4em; line-height: 3; text-align: right }</style>"
    divs = "".join(
        f'<div class="gantcha" data-language="{language}" data-size="{size}"></div>'
        for language in LANGUAGES
        for size in ("normal", "compact")
    )
    visit.show(site.server.url, f'{shout}<script src="widget.js" defer></script><form>{divs}</form>')
    page = visit.page
    page.evaluate("document.querySelectorAll('.gantcha').forEach((host, index) => gantcha.execute(String(index)))")
    expect(page.locator(".card.ready")).to_have_count(2 * len(LANGUAGES))
    cramped = _inside(
        page,
        ".card",
        """parts.filter((card) => {
        const all = [...card.querySelectorAll("#prompt, button, input, .frame")];
        const within = all.filter((part) => part.checkVisibility());
        const boxes = within.map((part) => part.getBoundingClientRect());
        const overlap = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
        return within.some((part) => part.scrollWidth > part.clientWidth + 1)
            || boxes.some((box, index) => boxes.slice(index + 1).some((other) => overlap(box, other)))
            || getComputedStyle(card.querySelector(".check")).textTransform !== "none"
            || getComputedStyle(card.querySelector("#prompt")).letterSpacing !== "normal";
    }).map((card) => card.lang)""",
    )
    assert cramped == []
    assert page.evaluate("document.documentElement.scrollWidth") == 320
    directions = _inside(page, ".card", "parts.map(({ dir, lang }) => dir + lang)")
    assert {name[3:] for name in directions if name.startswith("rtl")} == {"ar", "fa", "he", "ur"}
    assert {name[3:] for name in directions} == set(LANGUAGES)
    assert visit.complaints == []
    context.close()


def test_a_dialog_scrolls_where_it_does_not_fit(site: Site, browser: Browser) -> None:
    """On a screen of 1360 x 648 pixels at 400 %."""
    context = browser.new_context(viewport={"width": 340, "height": 162})
    visit = Visit(context)
    page = visit.page
    visit.serve(site.server.url, '<script src="widget.js"></script><form><button class="gantcha">Send</button></form>')
    page.goto(f"{site.server.url}/page")
    page.wait_for_function("document.querySelector('[data-gantcha-host]')")
    visit.renewed_by(page.get_by_role("button", name="Send").click)
    controls = page.get_by_role("dialog").locator("button, input, img, #prompt").filter(visible=True).all()
    assert len(controls) >= 6
    for control in controls:
        control.scroll_into_view_if_needed()
        expect(control).to_be_in_viewport(ratio=0.95)
    assert visit.complaints == []
    context.close()

"""A page in a browser as tests use it, whichever engine shows it; the drivers are Playwright and two of our own."""

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from playwright.async_api import BrowserContext
from playwright.async_api import Error as PlaywrightError

from tests.support.chromium import LONGEST_SECONDS, Chromium

_POLL_SECONDS = 0.05
_ANSWER_SECONDS = 3

_AS_JSON = """(async () => {
    const value = await (%s
    );
    return JSON.stringify(value ?? null, (_, one) => (one instanceof Node ? true : one));
})()"""

_CENTRE = """(async () => {
    const element = %s;
    if (!element) return null;
    element.scrollIntoView({ block: "center", inline: "center", behavior: "instant" });
    const before = element.getBoundingClientRect();
    await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
    const now = element.getBoundingClientRect();
    if (!now.width || !now.height || before.x !== now.x || before.y !== now.y) return null;
    const [x, y] = [Math.floor(now.x + now.width / 2), Math.floor(now.y + now.height / 2)];
    let hit = document.elementFromPoint(x, y);
    for (let inner; (inner = hit?.shadowRoot?.elementFromPoint(x, y)) && inner !== hit; ) hit = inner;
    return element.contains(hit) ? [x, y] : null;
})()"""
"""Where a click meets the element and nothing that lies over it, once it stands still."""


class ScriptError(Exception):
    """What a script threw, or what kept it from running, such as a page that is being left."""


class Engine(ABC):
    """A page of its own: it shares neither cookies, storage nor cache with those of other tests."""

    def evaluate(self, expression: str) -> Any:
        """Give the value of an expression as JSON has it, once promises are kept; an element is True."""
        return json.loads(self._run(_AS_JSON % expression))

    def until(self, expression: str, what: str, seconds: float = 10) -> Any:
        """Wait until an expression gives something true, and give it."""
        deadline, failure = time.monotonic() + seconds, ""
        while True:
            try:
                if value := self.evaluate(expression):
                    return value
                failure = ""
            except ScriptError as error:  # while the page is left for another, there is none to ask
                failure = f"\nThe script: {error}"
            if time.monotonic() > deadline:
                said = "".join(f"\nThe console: {complaint}" for complaint in self.complaints)
                raise AssertionError(f"waited {seconds} s for {what}{failure}{said}\nThe page:\n{self._text()}")
            time.sleep(_POLL_SECONDS)

    def click(self, element: str) -> None:
        """Click on what an expression gives, as a hand does: it may be in a shadow root, and is scrolled to."""
        self._click_at(*self.until(_CENTRE % element, f"a place to click on {element}"))

    def type(self, text: str) -> None:
        """Type into what has the focus."""
        for character in text:
            self.press(character)

    @abstractmethod
    def open(self, url: str) -> None:
        """Go there, and wait until the page has loaded."""

    @abstractmethod
    def press(self, key: str) -> None:
        """Press a character, a key by its name in JavaScript, or "Shift+Tab" and the like."""

    @property
    @abstractmethod
    def complaints(self) -> list[str]:
        """Errors and warnings of the console, and errors that no script caught, so far."""

    @abstractmethod
    def _run(self, promise: str) -> str:
        """Give the string that a promise comes to; what the page's policy forbids its own scripts is no hindrance."""

    @abstractmethod
    def _click_at(self, x: int, y: int) -> None:
        """Press and release the left button there, in CSS pixels from the window's corner."""

    def _text(self) -> str:
        """What the page and its captchas show, for who reads of a failure."""
        parts = """[document.body, ...[...document.querySelectorAll("*")].map((one) => one.shadowRoot?.firstChild)]"""
        texts = f"{parts}.map((one) => one?.innerText ?? '').filter(Boolean)"
        try:
            return "\n".join([self.evaluate("location.href"), *self.evaluate(texts)])
        except ScriptError as error:
            return str(error)


class WebDriverEngine(Engine):
    """A page that takes the actions of the WebDriver standards, of which both have the same ones."""

    def press(self, key: str) -> None:
        keys = [_KEYS.get(name, name) for name in (key.split("+") if len(key) > 1 else [key])]
        strokes = [{"type": "keyDown", "value": value} for value in keys]
        strokes += [{"type": "keyUp", "value": value} for value in reversed(keys)]
        self._perform({"type": "key", "id": "keyboard", "actions": strokes})

    def _click_at(self, x: int, y: int) -> None:
        strokes = [
            {"type": "pointerMove", "x": x, "y": y},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerUp", "button": 0},
        ]
        self._perform({"type": "pointer", "id": "mouse", "actions": strokes})

    @abstractmethod
    def _perform(self, actions: dict[str, Any]) -> None:
        """Do what one input device does."""


_KEYS = {
    "Backspace": "\ue003",
    "Tab": "\ue004",
    "Enter": "\ue007",
    "Shift": "\ue008",
    "Control": "\ue009",
    "Alt": "\ue00a",
    "Escape": "\ue00c",
    "ArrowLeft": "\ue012",
    "ArrowUp": "\ue013",
    "ArrowRight": "\ue014",
    "ArrowDown": "\ue015",
}
"""Characters that WebDriver takes for keys."""


class ChromiumEngine(Engine):
    """A page in Chromium, which now and then never answers what it is asked while the page is left for another."""

    def __init__(self, chromium: Chromium, context: BrowserContext) -> None:
        self._complaints: list[str] = []
        self._runs = 0
        self._do = chromium.do
        self._page = self._do(context.new_page())
        # Playwright's own evaluate() takes a string by eval(), which the demo page's policy forbids.
        self._protocol = self._do(context.new_cdp_session(self._page))
        self._page.on(
            "console", lambda said: self._complaints.append(said.text) if said.type in ("error", "warning") else None
        )
        self._page.on("pageerror", lambda error: self._complaints.append(str(error)))

    def open(self, url: str) -> None:
        self._do(self._page.goto(url), 2 * LONGEST_SECONDS)

    def type(self, text: str) -> None:
        self._act(self._page.keyboard.type(text))  # characters too that no key of Playwright's keyboard has

    def press(self, key: str) -> None:
        self._act(self._page.keyboard.press(key))

    @property
    def complaints(self) -> list[str]:
        self._text()  # what is told before the answer to this comes before it
        return self._complaints

    def _run(self, promise: str) -> str:
        self._runs += 1
        run, deadline = f"globalThis.runForTests{self._runs}", time.monotonic() + LONGEST_SECONDS
        self._ask(
            f"""({run} = {{}}, {promise}.then((value) => ({run}.value = value),
            (error) => ({run}.error = `${{error?.stack ?? error}}`)), 0)"""
        )
        while time.monotonic() < deadline:
            answer = self._ask(f"{run} ?? null")
            if answer is None:
                raise ScriptError("the page was left")
            if "error" in answer:
                raise ScriptError(answer["error"])
            if "value" in answer:
                return str(answer["value"])
            time.sleep(_POLL_SECONDS / 5)
        raise ScriptError(f"no answer within {LONGEST_SECONDS} s")

    def _ask(self, expression: str) -> Any:
        asked = {"expression": expression, "returnByValue": True}
        try:
            answer = self._do(self._protocol.send("Runtime.evaluate", asked), _ANSWER_SECONDS)
        except PlaywrightError as error:
            raise ScriptError(error.message) from error
        except TimeoutError as error:
            raise ScriptError(f"no answer within {_ANSWER_SECONDS} s") from error
        if thrown := answer.get("exceptionDetails"):
            raise ScriptError(thrown.get("exception", {}).get("description", thrown["text"]))
        return answer["result"].get("value")

    def _act(self, action: Awaitable[None]) -> None:
        with suppress(TimeoutError):  # it may have been done, and what comes of it is looked at anyway
            self._do(action, _ANSWER_SECONDS)

    def _click_at(self, x: int, y: int) -> None:
        self._act(self._page.mouse.click(x, y))


@contextmanager
def chromium_page(chromium: Chromium) -> Iterator[Engine]:
    """Open a page in a running Chromium."""
    context = chromium.do(chromium.browser.new_context(locale="en-GB"))
    try:
        yield ChromiumEngine(chromium, context)
    finally:
        with suppress(TimeoutError):
            chromium.do(context.close())

"""Debian's Chromium, driven by Playwright: `apt-get install chromium`."""

import asyncio
import shutil
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import NamedTuple, TypeVar

from playwright import async_api
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

CHROMIUM = shutil.which("chromium")
LONGEST_SECONDS = 30
# Root, as in most containers, gets no sandbox; and pages that a test gives count as public, from which Chromium asks
# the user before it lets them reach this machine.
_ARGUMENTS = ["--no-sandbox", "--disable-features=LocalNetworkAccessChecks"]
_Result = TypeVar("_Result")


@contextmanager
def running_chromium() -> Iterator[Browser]:
    """Run a headless Chromium."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=_ARGUMENTS)
        yield chromium
        chromium.close()


class Chromium(NamedTuple):
    """A headless Chromium whose every answer is waited for in a thread of its own, and for so long only."""

    browser: async_api.Browser
    loop: asyncio.AbstractEventLoop

    def do(self, action: Awaitable[_Result], seconds: float = LONGEST_SECONDS) -> _Result:
        """Have Playwright do this. Raises TimeoutError if it does not end in time."""
        return asyncio.run_coroutine_threadsafe(_in_time(action, seconds), self.loop).result(2 * seconds)


async def _in_time(action: Awaitable[_Result], seconds: float) -> _Result:
    return await asyncio.wait_for(action, seconds)


@contextmanager
def running_impatient_chromium() -> Iterator[Chromium]:
    """Run a headless Chromium that can keep no test waiting for ever."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, name="chromium", daemon=True)
    thread.start()
    started = asyncio.run_coroutine_threadsafe(async_api.async_playwright().start(), loop)
    playwright = started.result(LONGEST_SECONDS)
    launched = playwright.chromium.launch(executable_path=CHROMIUM, args=_ARGUMENTS)
    chromium = Chromium(asyncio.run_coroutine_threadsafe(launched, loop).result(LONGEST_SECONDS), loop)
    yield chromium
    chromium.do(chromium.browser.close())
    chromium.do(playwright.stop())
    loop.call_soon_threadsafe(loop.stop)
    thread.join(LONGEST_SECONDS)
    loop.close()


class Visit:
    """A page with the widget, and what a visitor notices of it."""

    def __init__(self, context: BrowserContext) -> None:
        self.page: Page = context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on(
            "console", lambda said: self.complaints.append(said.text) if said.type in ("error", "warning") else None
        )
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def open(self, url: str) -> str:
        """Go there; return the id of the challenge that is shown."""
        with self.page.expect_response(lambda answer: "/challenge" in answer.url) as shown:
            self.page.goto(url)
        return self._shown(shown.value.json()["id"])

    def serve(self, server: str, html: str) -> None:
        """Have the captcha server's own origin give a page at /page."""
        head = "<!doctype html><html lang=en><title>A page</title><link rel=icon href=favicon.svg>"
        self.page.route(
            f"{server}/page", lambda route: route.fulfill(body=head + html, content_type="text/html; charset=utf-8")
        )

    def show(self, server: str, html: str) -> str:
        """Open such a page; return the id of its first challenge."""
        self.serve(server, html)
        return self.open(f"{server}/page")

    def renewed_by(self, action: object) -> str:
        """Do something that should show another challenge; return its id."""
        with self.page.expect_response(lambda answer: "/challenge" in answer.url) as shown:
            action()  # type: ignore[operator] # a callable without arguments
        return self._shown(shown.value.json()["id"])

    def _shown(self, file_id: str) -> str:
        self.page.locator(f'img[src$="{file_id}"]').wait_for()  # it is visible once it has come
        return str(file_id)

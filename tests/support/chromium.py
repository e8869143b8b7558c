"""Debian's Chromium, driven by Playwright: `apt-get install chromium`."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

CHROMIUM = shutil.which("chromium")


@contextmanager
def running_chromium() -> Iterator[Browser]:
    """Run a headless Chromium."""
    with sync_playwright() as playwright:
        # Root, as in most containers, gets no sandbox; and pages that a test gives count as public, from which Chromium
        # asks the user before it lets them reach this machine.
        arguments = ["--no-sandbox", "--disable-features=LocalNetworkAccessChecks"]
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield chromium
        chromium.close()


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

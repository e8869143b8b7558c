"""The page of the API's documentation."""

from playwright.sync_api import Browser, expect

from tests.conftest import Server
from tests.support.programs import needs


@needs("chromium")
def test_docs_need_no_other_server(idle_server: Server, browser: Browser) -> None:
    context = browser.new_context()
    page, asked = context.new_page(), list[str]()
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{idle_server.url}/docs")
    expect(page.get_by_role("heading", name="Gantcha")).to_be_visible()
    expect(page.get_by_text("/siteverify").first).to_be_visible()
    context.close()
    assert all(url.startswith((idle_server.url, "data:")) for url in asked)

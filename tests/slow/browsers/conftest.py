"""Three engines for all tests of this folder, each started once, with the first test that needs it."""

import os
from collections.abc import Iterator

import pytest

from tests.conftest import Site
from tests.support.chromium import Chromium, running_impatient_chromium
from tests.support.engines import Engine, chromium_page
from tests.support.firefox import Firefox, running_firefox
from tests.support.programs import needs
from tests.support.proxy import Proxy, running_proxy
from tests.support.webkit import WebKit, running_webkit


@pytest.fixture(scope="package")
def chromium() -> Iterator[Chromium]:
    with running_impatient_chromium() as chromium:
        yield chromium


@pytest.fixture(scope="package")
def firefox() -> Iterator[Firefox]:
    with running_firefox() as firefox:
        yield firefox


@pytest.fixture(scope="package")
def webkit() -> Iterator[WebKit]:
    with running_webkit() as webkit:
        yield webkit


_FOR_WEBKIT = [needs("WebKitWebDriver"), *([] if os.environ.get("DISPLAY") else [needs("Xvfb")])]


@pytest.fixture(
    params=[
        pytest.param("chromium", marks=needs("chromium")),
        pytest.param("firefox", marks=needs("firefox-esr")),
        pytest.param("webkit", marks=_FOR_WEBKIT),
    ]
)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """A new page, in each engine by turns."""
    if request.param == "chromium":
        opened = chromium_page(request.getfixturevalue("chromium"))
    else:
        opened = request.getfixturevalue(request.param).page()
    with opened as page:
        yield page


@pytest.fixture
def proxy(site: Site) -> Iterator[Proxy]:
    """The site, through a proxy that can fail."""
    with running_proxy(site.server.url) as proxy:
        yield proxy


_FOCUSED = """(() => {
    let one = document.activeElement;
    while (one.shadowRoot?.activeElement) one = one.shadowRoot.activeElement;
    return one.id || one.title || one.innerText;
})()"""


class Widget:
    """A captcha on a page, as a visitor meets it."""

    def __init__(self, engine: Engine, host: str = ".gantcha") -> None:
        self.engine, self._host = engine, host

    def part(self, selector: str) -> str:
        """Give the expression for an element of it."""
        return f"document.querySelector({self._host!r})?.shadowRoot?.querySelector({selector!r})"

    def shown(self, before: str = "") -> str:
        """Wait for a picture, another one than before; give its id."""
        source = f"({self.part('.ready img')}?.src ?? '').split('/').pop()"
        return str(self.engine.until(f"(id => id !== {before!r} && id)({source})", "a picture"))

    def says(self, sentence: str) -> None:
        """Wait until the line that is read out has a sentence, for all to see."""
        said = f"(line => line?.checkVisibility() && line.innerText.includes({sentence!r}))({self.part('#status')})"
        self.engine.until(said, sentence)

    def has_focus(self, name: str) -> None:
        """Wait until the keyboard is in one of its elements."""
        self.engine.until(f"{_FOCUSED} === {name!r}", f"the focus in {name}")

    def solve(self, code: str) -> None:
        """Answer as a visitor does who clicks, types and presses Enter."""
        self.engine.click(self.part("#answer"))
        self.engine.type(code)
        self.engine.press("Enter")
        self.says("Confirmed")


@pytest.fixture
def widget(engine: Engine) -> Widget:
    return Widget(engine)

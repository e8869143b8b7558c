"""One browser for all tests of this folder."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.support.chromium import running_chromium

expect.set_options(timeout=20_000)  # a browser at work shares the processor with other tests


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """A headless Chromium; it ends with this folder, since Playwright's event loop would be in the way of others."""
    with running_chromium() as chromium:
        yield chromium

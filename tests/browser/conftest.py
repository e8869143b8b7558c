"""One browser for all tests of this folder."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.support.chromium import running_chromium


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """A headless Chromium; it ends with this folder, since Playwright's event loop would be in the way of others."""
    with running_chromium() as chromium:
        yield chromium

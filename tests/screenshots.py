"""Pictures of the demo page for docs/: `python -m tests.screenshots docs` (needs Debian's chromium)."""

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser import CHROMIUM, Visit
from tests.conftest import migrate, run, running_site

_LOOKS = {"light": ("light", 720), "dark": ("dark", 720), "320": ("light", 320)}


def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        url = f"sqlite:///{temporary}/pool.db"
        settings: dict[str, object] = {"DATABASE_URL": url, "FILES_DIR": Path(temporary) / "files"}
        migrate(url)
        run("batch.fill", "--target", 20, **settings).check_returncode()
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        with running_site(settings | {"TARGET": 0, "LOW_WATER": 0}) as site:
            for name, (scheme, width) in _LOOKS.items():
                size = {"width": width, "height": 640}
                visit = Visit(browser.new_context(viewport=size, color_scheme=scheme))
                visit.open(f"{site.server.url}/demo")
                visit.page.screenshot(path=folder / f"demo-{name}.png", full_page=True)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

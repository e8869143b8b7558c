"""Pictures of captchas and of the widget for docs/: `python -m tests.screenshots docs` (needs Debian's chromium)."""

import sys
import tempfile
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, FloatRect, expect, sync_playwright

from gantcha.alphabet import draw_codes
from gantcha.captcha import draw_captchas
from gantcha.drawing.look import Kind, Theme, choose_look
from gantcha.glyphs.sampler import load_sampler
from pool.settings import load_settings
from tests.conftest import Site, migrate, run, running_site
from tests.support.chromium import CHROMIUM, Visit
from tests.support.two_days import count_two_days

_LOOKS = {"light": ("light", 720), "dark": ("dark", 720), "320": ("light", 320)}
_STATES = {
    "to be typed": "",
    "wrong": "",
    "confirmed": "",
    "no picture": 'data-sitekey="none"',
    "dark": 'data-theme="dark"',
    "right to left": 'data-language="ar"',
    "compact": 'data-size="compact"',
    "compact, confirmed": 'data-size="compact" data-theme="dark"',
}
_STYLE = """body { margin: 0; padding: 20px; font: 14px system-ui, sans-serif; color: #59636e; background: #fff; }
main { display: grid; grid-template-columns: repeat(4, 302px); gap: 20px 24px; }
h2 { font: inherit; margin: 0 0 6px; }"""


_THEMES = {
    "violet": "--gantcha-accent: #7b2d8b; --gantcha-radius: 0; --gantcha-font: Georgia, serif",
    "leaf": "--gantcha-accent: #22663a; --gantcha-card: #eef6ee; --gantcha-paper: #fbfdf8; --gantcha-radius: 18px",
    "night": "--gantcha-accent: #ffb454; --gantcha-card: #10141c; --gantcha-paper: #0b0e14; --gantcha-edge: #2a3342",
}


_SHOWN: list[tuple[Kind, Theme]] = [("plain", "light"), ("plain", "light"), ("crossed-out", "light"), ("plain", "dark")]
_ACROSS, _APART = 3, 24  # captchas in a row, and pixels between them
_TOP: FloatRect = {"x": 0, "y": 0, "width": 720, "height": 900}  # of the page for the operator, which is long


def main(folder: Path) -> None:
    _save_captchas(folder / "captchas.png")
    _save_boxes(folder / "boxes.png")
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        url = f"sqlite:///{temporary}/pool.db"
        settings: dict[str, object] = {"DATABASE_URL": url, "FILES_DIR": Path(temporary) / "files"}
        migrate(url)
        run("batch.fill", "--target", 40, **settings).check_returncode()
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        (Path(temporary) / "keys.toml").write_text('[sites.shop]\nsitekey = "shop"\nsecret = "a-secret-of-the-shop"\n')
        with running_site(settings | {"TARGET": 0, "LOW_WATER": 0, "KEYS_FILE": f"{temporary}/keys.toml"}) as site:
            for name, (scheme, width) in _LOOKS.items():
                visit = _visit(browser, width, scheme)
                visit.open(f"{site.server.url}/demo")
                _save(visit.page.screenshot(full_page=True), folder / f"demo-{name}.png")
            visit = _visit(browser, 1320, "light")
            _show_states(visit, site)
            _save(visit.page.screenshot(full_page=True), folder / "states.png")
            visit = _visit(browser, 994, "light")
            _show_themes(visit, site)
            _save(visit.page.locator("main").screenshot(), folder / "themes.png")
            visit = _visit(browser, 342, "light")
            visit.page.goto(f"{site.server.url}/plain")
            _save(visit.page.locator("main").screenshot(), folder / "plain.png")
            visit = _visit(browser, 720, "light")
            count_two_days(site.pool.engine, most=4000)
            visit.page.goto(f"{site.server.url}/operator")
            _save(visit.page.screenshot(full_page=True, clip=_TOP), folder / "operator.png")
        browser.close()


def _save_captchas(path: Path) -> None:
    """Show what the widget gets: captchas of both kinds, light and dark, at double density."""
    settings = load_settings()
    sampler, rng = load_sampler(settings.checkpoints_dir), np.random.default_rng(1)
    rows = []
    for kind, theme in _SHOWN:
        look = choose_look(kind, "standard", theme, decoys=settings.alphabet, pixel_ratio=2)
        drawn = draw_captchas(draw_codes(_ACROSS, settings.alphabet, 6), sampler, look, rng)
        rows.append(np.concatenate([np.pad(one.picture, _APART // 2, constant_values=255) for one in drawn], 1))
    page = np.full((sum(map(len, rows)), max(row.shape[1] for row in rows)), 255, np.uint8)
    for top, row in zip(np.cumsum([0, *map(len, rows)]), rows, strict=False):
        page[top : top + len(row), : row.shape[1]] = row
    Image.fromarray(page).quantize(16).save(path, optimize=True)


def _save_boxes(path: Path) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        run("batch.fill", "--count", 24, "--dataset", f"{temporary}/captchas", "--seed", 1).check_returncode()
        run("batch.preview", f"{temporary}/captchas", "--out", path).check_returncode()


def _save(png: bytes, path: Path) -> None:
    """Write a screenshot with 256 colours: a third of the bytes."""
    Image.open(BytesIO(png)).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def _visit(browser: Browser, width: int, scheme: str) -> Visit:
    size = {"width": width, "height": 640}
    return Visit(browser.new_context(viewport=size, color_scheme=scheme, device_scale_factor=2, locale="en-GB"))  # type: ignore[arg-type] # one of its words


def _show_states(visit: Visit, site: Site) -> None:
    """Show a captcha in each state."""
    page, names = visit.page, list(_STATES)
    page.route("**/challenge?sitekey=none", lambda route: route.fulfill(status=503))
    cells = "".join(
        f'<section><h2>{name}</h2><div class="gantcha" {attributes}></div></section>'
        for name, attributes in _STATES.items()
    )
    visit.serve(site.server.url, f'<style>{_STYLE}</style><script src="widget.js" defer></script><main>{cells}</main>')
    page.goto(f"{site.server.url}/page")
    cards = page.locator(".card")
    expect(page.locator(".card.ready, .card.failed")).to_have_count(len(_STATES))
    for name in ("wrong", "confirmed", "compact, confirmed"):
        card = cards.nth(names.index(name))
        file_id = (card.locator("img").get_attribute("src") or "").rpartition("/")[2]
        card.locator("input").fill("wrong" if name == "wrong" else site.code(file_id))
        card.locator("input").press("Enter")
        expect(card.get_by_role("status")).not_to_be_empty()
        card.locator(".spinner").wait_for(state="hidden")
        page.evaluate("document.activeElement.shadowRoot?.activeElement?.blur()")
    page.wait_for_load_state("networkidle")


def _show_themes(visit: Visit, site: Site) -> None:
    """Show a captcha in the colours of some pages."""
    cells = "".join(
        f'<section><h2>{name}</h2><div class="gantcha" style="{style}" data-theme="{look}"></div></section>'
        for (name, style), look in zip(_THEMES.items(), ("light", "light", "dark"), strict=True)
    )
    style = _STYLE.replace("repeat(4", "repeat(3")
    visit.serve(site.server.url, f'<style>{style}</style><script src="widget.js" defer></script><main>{cells}</main>')
    visit.page.goto(f"{site.server.url}/page")
    expect(visit.page.locator(".card.ready")).to_have_count(len(_THEMES))
    visit.page.wait_for_load_state("networkidle")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

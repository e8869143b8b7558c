"""The blocks of README and docs run, as somebody types them in from the top of a page to its end."""

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import grimp
import pytest
import requests
from apscheduler.triggers.cron import CronTrigger
from playwright.sync_api import Browser, expect

from pool.keys_file import read_keys_file
from pool.settings import Settings
from tests.conftest import ROOT
from tests.support.chromium import running_chromium
from tests.support.documents import PAGES, RUN_BY, Reader, blocks, lines
from tests.support.programs import missing

READMES = [ROOT / "README.md", ROOT / "README.ru.md"]
SECRET = "a-secret-of-sixteen-or-more"
_ELSEWHERE = ("bash", "php", "js", "jsx", "vue", "svelte")
"""Languages of which test_bare_debian.py runs the first, on a machine of its own, and
tests/browser/test_other_products_clients.py the second; only Vite builds the others."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    with running_chromium() as chromium:
        yield chromium


@pytest.fixture
def backend() -> str:
    """What machines share is a PostgreSQL."""
    return "postgresql"


@pytest.fixture
def reader(request: pytest.FixtureRequest, page: Path, tmp_path: Path) -> Iterator[Reader]:
    """Who reads the page, with a small pool and what the page takes for granted."""
    names = {}
    variables = {
        "CAPTCHA_SITE_SECRET": SECRET,
        "CAPTCHA_CORS_ORIGINS": "*",
        "CAPTCHA_LOW_WATER": "20",
        "CAPTCHA_TARGET": "40",
    }
    if page.name in ("training.md", "own-alphabet.md"):
        names |= dict.fromkeys(("trained", "trial"), "checkpoints")
    if page.name == "machines.md":
        names = {
            "postgresql+psycopg://gantcha:password@db.internal/gantcha": request.getfixturevalue("database_url"),
            "https://s3.internal": request.getfixturevalue("s3_server"),
            "CAPTCHA_LOW_WATER=50000": "CAPTCHA_LOW_WATER=60",
            "CAPTCHA_TARGET=100000": "CAPTCHA_TARGET=60",
        }
    with Reader(tmp_path, names, variables) as reader:
        if page.name in ("site.md", "recipes.md", "deployment.md"):
            reader.type("alembic upgrade head")
        if page.name in ("site.md", "recipes.md"):
            reader.type("python -m batch.fill --target 40\npython -m server")
            reader.variables["TOKEN"] = _solve(reader)
        yield reader


def _solve(reader: Reader) -> str:
    """Solve a challenge as only who reads the database can; give the token."""
    challenge = requests.get(f"{reader.url}/challenge", timeout=10).json()["id"]
    with closing(sqlite3.connect(reader.folder / "var" / "pool.db")) as connection:
        ((code,),) = connection.execute("SELECT code FROM captcha WHERE id = ?", [challenge])
    answer = requests.post(f"{reader.url}/verify", json={"id": challenge, "answer": code}, timeout=10)
    return str(answer.json()["token"])


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.name != "recovery.md"],  # whose disasters tests/slow/test_recovery.py brings about
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_every_block_runs(page: Path, reader: Reader, request: pytest.FixtureRequest) -> None:
    """In the order of the page, as somebody would who types in one after another; and git shows nothing of it."""
    left_out = ""
    for block in blocks(page):
        match block.language:
            case "sh" if not re.search(r"^(docker|kubectl) ", block.content, re.MULTILINE):
                # tests/process/test_deployment.py and test_kubernetes.py run the files of those
                reader.type("\n".join(line for line in lines(block.content) if not any(map(line.count, RUN_BY))))
            case "python":
                reader.run_python(block.content)
            case "json":
                shown = json.loads(block.content)
                answer = reader.logged_request() if "event" in shown else json.loads(reader.printed)
                assert set(shown) == set(answer), block
            case "html" if missing("chromium"):
                left_out = missing("chromium")
            case "html":
                _show(reader.translate(block.content), reader.url, request.getfixturevalue("browser"))
            case "toml":
                (reader.folder / "keys.toml").write_text(block.content)
                keys = read_keys_file(reader.folder / "keys.toml")
                assert keys.api_keys or keys.sites
            case "crontab":
                for line in lines(block.content):
                    *fields, command = line.split(maxsplit=5)
                    CronTrigger.from_crontab(" ".join(fields))
                    reader.type(command)
            case "mermaid":
                _compare_with_imports(block.content)
            case language:
                assert language in ("", "sh", *_ELSEWHERE), f"nobody runs {block}"
    assert reader.written() == ""
    if left_out:
        pytest.skip(left_out)


def _show(page: str, url: str, browser: Browser) -> None:
    """Load a page that has the widget, until it shows a captcha."""
    has_frame = "<noscript>" in page
    context = browser.new_context(java_script_enabled=not has_frame)
    tab = context.new_page()
    tab.route(f"{url}/page", lambda route: route.fulfill(body=f"<!doctype html>{page}", content_type="text/html"))
    tab.goto(f"{url}/page")
    look = Settings().look_of(Settings().challenge_stock)
    image = (tab.frame_locator("iframe") if has_frame else tab).locator("img")
    expect(image).to_have_js_property("naturalWidth", look.width(6) * look.pixel_ratio)
    context.close()


def _compare_with_imports(picture: str) -> None:
    """An arrow between two modules is an import, and no room imports another without an arrow between them."""
    graph = grimp.build_graph("gantcha", "pool", "batch", "server")
    arrows = set()
    for line in picture.splitlines():
        ends = [re.findall(r"^[\w.]+|(?<=& )[\w.]+", end) for end in re.split(r"\s*-->(?:\|.*?\|)?\s*", line.strip())]
        arrows |= {(one, other) for left, right in pairwise(ends) for one in left for other in right}
    drawn = {(one, other) for one, other in arrows if "." in one and "." in other}
    assert len(drawn) >= 8
    for one, other in drawn:
        assert graph.find_shortest_chains(one, other, as_packages=True), f"{one} does not import {other}"
    rooms = {(one.partition(".")[0], other.partition(".")[0]) for one, other in drawn}
    imports = {
        (one.partition(".")[0], other.partition(".")[0])
        for one in graph.modules
        for other in graph.find_modules_directly_imported_by(one)
    }
    assert imports == rooms

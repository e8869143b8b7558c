"""README and docs do what they say: every block runs, every link leads somewhere, the tables are those of the code."""

import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import grimp
import pytest
import requests
from apscheduler.triggers.cron import CronTrigger
from markdown_it import MarkdownIt
from playwright.sync_api import Browser, expect

import batch
from pool.keys_file import read_keys_file
from pool.settings import Settings
from tests.chromium import browser
from tests.conftest import ROOT, Server, invoke
from tests.documents import PAGES, Reader, blocks, lines
from tests.programs import missing

__all__ = ["browser"]
READMES = [ROOT / "README.md", ROOT / "README.ru.md"]
SECRET = "a-secret-of-sixteen-or-more"
EVERY_PAGE = [*PAGES, READMES[1], ROOT / "CHANGELOG.md", ROOT / "checkpoints" / "README.md"]
COMMANDS = [
    file
    for room in ("pool", "batch", "server", "benchmarks")
    for file in (ROOT / room).rglob("*.py")
    if "typer.run(" in file.read_text()
]
RUN_BY = {
    "python -m batch.train": "test_training.py",
    "python -m batch.evaluate": "test_evaluation.py",
    "python -m benchmarks.strength": "test_strength.py",
    "python -m benchmarks.looks.readability --kind": "test_strength.py",
    "python -m benchmarks.looks.readability --sheet": "test_strength.py",
    "python -m benchmarks.looks.frontier": "test_strength.py",
    "python -m batch.reference_set": "test_reference_set.py",
    "--engine ray": "test_ray.py",
    "python examples/train_recogniser.py": "test_examples.py",
    "--dataset easy": "test_examples.py",
}
"""Commands that take long, and the tests that run what `documented` gives of them."""
_ELSEWHERE = ("php", "js", "jsx", "vue", "svelte")
"""Languages of which tests/test_other_products_clients.py runs the first; only Vite builds the others."""


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
        names["trained"] = "checkpoints"
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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_runs(page: Path, reader: Reader, request: pytest.FixtureRequest) -> None:
    """In the order of the page, as somebody would who types in one after another; and git shows nothing of it."""
    left_out = ""
    for block in blocks(page):
        match block.language:
            case "sh" if "docker " not in block.content:  # of whose images tests/test_deployment.py runs the files
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


def test_git_ignores_what_the_commands_read_and_write() -> None:
    """Those too that the pages only show, and those of `--help`."""
    shown = [block.content for page in PAGES for block in blocks(page) if block.language == "sh"]
    shown += [
        line for file in COMMANDS for line in file.read_text().splitlines() if line.startswith("        python -m")
    ]
    named = {
        name
        for text in shown
        for name in re.findall(r"(?:--(?:out|sheet|dataset|data|codes|checkpoints)|done >) ([\w.]+)(?![\w./])", text)
    }
    assert {".env", "captchas", "sheet.png", "trained"} <= named
    tracked = {name.partition("/")[0] for name in _git("ls-files").splitlines()}
    assert named - tracked == set(_git("check-ignore", *(named - tracked)).splitlines())


def _git(*words: str) -> str:
    return subprocess.check_output(["git", *words], cwd=ROOT, text=True)


def _show(page: str, url: str, browser: Browser) -> None:
    """Load a page that has the widget, until it shows a captcha."""
    has_frame = "<noscript>" in page
    context = browser.new_context(java_script_enabled=not has_frame)
    tab = context.new_page()
    tab.route(f"{url}/page", lambda route: route.fulfill(body=f"<!doctype html>{page}", content_type="text/html"))
    tab.goto(f"{url}/page")
    image = (tab.frame_locator("iframe") if has_frame else tab).locator("img")
    expect(image).to_have_js_property("naturalWidth", Settings().look.width(6))
    context.close()


def _compare_with_imports(picture: str) -> None:
    """An arrow between two modules is an import, and no room imports another without an arrow between them."""
    graph = grimp.build_graph("pool", "batch", "server")
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


@pytest.mark.parametrize(("command", "test"), RUN_BY.items())
def test_what_takes_long_is_run_by_another_test(command: str, test: str) -> None:
    assert any(command in block.content for page in PAGES for block in blocks(page))
    assert re.search(rf'(documented|typed)\(.*"{re.escape(command)}', (ROOT / "tests" / test).read_text())


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.name)
def test_the_table_of_settings_is_that_of_the_code(readme: Path) -> None:
    rows = dict(re.findall(r"^\| `CAPTCHA_(\w+)` \| (.*?) \|", readme.read_text(), re.MULTILINE))
    settings = Settings()
    assert set(rows) == {name.upper() for name in Settings.model_fields}
    for name, shown in rows.items():
        default = getattr(settings, name.lower())
        if shown.startswith("`"):
            assert shown.strip("`") == (
                str(default).lower()
                if isinstance(default, bool)
                else str(default).removeprefix(f"{ROOT}/").removesuffix(".0")
            )
        else:
            assert default in (None, ())


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.name)
def test_the_table_of_routes_is_that_of_the_server(readme: Path, idle_server: Server) -> None:
    paths = idle_server.get("/openapi.json").json()["paths"]
    documented = {
        (method.upper(), re.sub(r"{\w+}", "{id}", path)) for path, methods in paths.items() for method in methods
    }
    shown = set(
        re.findall(
            r"`(GET|POST) (/[^`]*)`",
            "\n".join(line for line in readme.read_text().splitlines() if line.startswith("| `")),
        )
    )
    assert shown - {("GET", "/demo"), ("GET", "/plain")} == {
        (m, p) for m, p in documented if "/v0/" not in p and "/api/" not in p
    }


def test_both_readmes_have_the_same_blocks() -> None:
    english, russian = ([(b.language, lines(b.content)) for b in blocks(readme)] for readme in READMES)
    assert russian == english


@pytest.mark.parametrize(
    "page",
    EVERY_PAGE,
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_every_link_leads_somewhere(page: Path) -> None:
    inline = (
        token
        for block in MarkdownIt("commonmark").enable("table").parse(page.read_text())
        for token in block.children or ()
    )
    targets = [
        str(token.attrs.get("href") or token.attrs.get("src"))
        for token in inline
        if token.type in ("link_open", "image")
    ]
    lost = [
        target for target in targets if "://" not in target and not (page.parent / target.partition("#")[0]).exists()
    ]
    assert lost == []


def test_the_python_of_the_readme_runs_after_make_run() -> None:
    """Without the packages of developers."""
    shown = "\n".join(block.content for block in blocks(READMES[0]) if block.language == "python")
    imports = set(re.findall(r"^(?:from|import) (\w+)", shown, re.MULTILINE))
    assert "batch" in imports
    assert imports <= {*sys.stdlib_module_names, "batch"}


@pytest.mark.parametrize("page", EVERY_PAGE, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_heading_finds_it(page: Path) -> None:
    for place, anchor in re.findall(r"\]\(([\w./-]*)#([^)]+)\)", page.read_text()):
        target = page.parent / place if place else page
        headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
        assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("file", COMMANDS, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_command_shows_examples_and_is_documented(file: Path) -> None:
    module = ".".join(file.relative_to(ROOT).with_suffix("").parts)
    shown = invoke(module, "--help").stdout
    command = f"python -m {module.removesuffix('.__main__')}"
    assert command in shown.partition("Example")[2]
    assert any(command in page.read_text() for page in PAGES)


def test_the_list_of_modules_is_whole() -> None:
    listed = set(re.findall(r"`([a-z_]+)[`.]", str(batch.__doc__)))
    assert listed == {path.stem for path in (ROOT / "batch").iterdir()} - {"__init__", "__pycache__"}


def test_the_readme_is_short() -> None:
    assert len(READMES[0].read_text().splitlines()) < 210

"""README and docs fit the code: every link leads somewhere, every command is named, the tables are the code's."""

import ast
import inspect
import re
import subprocess
import sys
import textwrap
from importlib import import_module
from pathlib import Path
from typing import get_type_hints

import pytest
from markdown_it import MarkdownIt
from typer.testing import CliRunner

import batch
import gantcha.commands
from pool.models import metadata
from pool.settings import Settings
from tests.conftest import ROOT, invoke
from tests.support.documents import PAGES, RUN_BY, blocks, lines

READMES = [ROOT / "README.md", ROOT / "README.ru.md"]
EVERY_PAGE = [*PAGES, READMES[1], ROOT / "CHANGELOG.md", ROOT / "checkpoints" / "README.md"]
COMMANDS = [
    file
    for room in ("pool", "batch", "server", "benchmarks")
    for file in (ROOT / room).rglob("*.py")
    if "\n    run(main)\n" in file.read_text()
]


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


def test_the_page_on_privacy_names_every_column() -> None:
    text = (ROOT / "docs/privacy.md").read_text().partition("## The database")[2].partition("###")[0]
    named = set()
    for row in text.splitlines():
        if row.startswith("| `"):
            tables, columns = (set(re.findall(r"`(\w+)`", cell)) for cell in row.split("|")[1:3])
            assert columns == {column.name for table in tables for column in metadata.tables[table].columns}
            named |= tables
    assert named == set(metadata.tables)


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
    targets += re.findall(r'<img src="([^"]+)"', page.read_text())
    lost = [
        target for target in targets if "://" not in target and not (page.parent / target.partition("#")[0]).exists()
    ]
    assert lost == []


def test_the_python_of_the_readme_runs_after_make_run() -> None:
    """Without the packages of developers."""
    shown = "\n".join(block.content for block in blocks(READMES[0]) if block.language == "python")
    imports = set(re.findall(r"^(?:from|import) (\w+)", shown, re.MULTILINE))
    assert "batch" in imports
    assert imports <= {*sys.stdlib_module_names, "batch", "gantcha"}


@pytest.mark.parametrize("page", EVERY_PAGE, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_heading_finds_it(page: Path) -> None:
    for place, anchor in re.findall(r"\]\(([\w./-]*)#([^)]+)\)", page.read_text()):
        target = page.parent / place if place else page
        headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
        assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _module(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts)


@pytest.mark.parametrize("file", COMMANDS, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_command_shows_examples_and_is_documented(file: Path) -> None:
    """By either of its names."""
    module = _module(file)
    names = [f"python -m {module.removesuffix('.__main__')}"]
    names += [f"gantcha {name}" for name, (of, _) in gantcha.commands.COMMANDS.items() if of == module]
    examples = invoke(module, "--help").stdout.partition("Example")[2]
    assert any(name in examples for name in names)
    assert any(name in page.read_text() for page in PAGES for name in names)


@pytest.mark.parametrize("file", COMMANDS, ids=lambda file: str(file.relative_to(ROOT)))
def test_the_help_of_a_command_says_what_we_wrote(file: Path) -> None:
    """Examples line by line, to be pasted, and each option's text, such as [a-z], to the letter."""
    main, shown = import_module(_module(file)).main, invoke(_module(file), "--help").stdout
    examples = (inspect.getdoc(main) or "").partition("\b\n")[2]
    assert examples and textwrap.indent(examples, "  ") in shown
    for name, hint in get_type_hints(main, include_extras=True).items():
        for option in getattr(hint, "__metadata__", ()):
            assert "".join((option.help or "").split()) in "".join(shown.split()), name
    assert invoke(_module(file), "-h").stdout == shown


@pytest.mark.parametrize("name", gantcha.commands.COMMANDS)
def test_a_command_is_called_as_it_was(name: str) -> None:
    help_shown = CliRunner().invoke(gantcha.commands.app, [name, "-h"], prog_name="gantcha").stdout
    assert help_shown.startswith(f"Usage: gantcha {name} ")
    assert f" gantcha {name}" in help_shown.partition("Example")[2]
    assert "python -m" not in help_shown


def test_the_list_of_commands_is_shown() -> None:
    shown = CliRunner().invoke(gantcha.commands.app, ["-h"]).stdout
    for name, (_, purpose) in gantcha.commands.COMMANDS.items():
        assert re.search(rf"^ +{name} +{re.escape(purpose)}$", shown, re.MULTILINE)


def test_the_package_has_all_commands_but_those_that_measure_us() -> None:
    ours = {_module(file) for file in COMMANDS if file.relative_to(ROOT).parts[0] != "benchmarks"}
    assert {module for module, _ in gantcha.commands.COMMANDS.values()} == ours


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name)
def test_examples_import_what_there_is(example: Path) -> None:
    """Those of packages too that no test installs, such as PyTorch."""
    for node in ast.walk(ast.parse(example.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "gantcha":
            parts = (node.module or "").split(".")
            defined = dir(gantcha) + gantcha.__all__
            if len(parts) > 1:
                defined = re.findall(
                    r"^(?:def|class) (\w+)", ROOT.joinpath(*parts).with_suffix(".py").read_text(), re.M
                )
            assert {name.name for name in node.names} <= set(defined)


def test_the_list_of_modules_is_whole() -> None:
    listed = set(re.findall(r"`([a-z_]+)[`.]", str(batch.__doc__)))
    assert listed == {path.stem for path in (ROOT / "batch").iterdir()} - {"__init__", "__pycache__"}


def test_the_readme_is_short() -> None:
    assert len(READMES[0].read_text().splitlines()) < 230

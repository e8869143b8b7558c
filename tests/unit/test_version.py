"""Whatever names the version of this package names the same one."""

import json
import re

from gantcha import __version__
from tests.conftest import ROOT


def test_the_newest_heading_of_the_changelog_is_this_version() -> None:
    headings = re.findall(r"^## \[(.*?)\](.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == ("Unreleased", "")
    assert headings[1][0] == __version__
    assert all(re.fullmatch(r" - \d{4}-\d\d-\d\d", date) for _, date in headings[1:])


def test_the_package_for_npm_has_this_version() -> None:
    assert json.loads((ROOT / "server/pages/widget/package.json").read_text())["version"] == __version__


def test_the_images_are_those_of_this_version() -> None:
    named = re.findall(r"gantcha-\w+:([\d.]+)", (ROOT / "docs/containers.md").read_text())
    assert set(named) == {__version__}


def test_the_script_that_does_not_change_is_that_of_this_version() -> None:
    named = re.findall(r"widget\.v([\d.]+)\.js", (ROOT / "docs/site.md").read_text())
    assert len(named) >= 3
    assert set(named) == {__version__}

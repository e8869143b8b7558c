"""`make release`, in a clone: what it hands over, and what it refuses."""

import re
import subprocess
import tarfile
from pathlib import Path

import pytest

from gantcha import __version__
from tests.support.documents import Reader
from tests.support.programs import needs

pytestmark = needs("npm")
_OUT_OF_REACH = "(from versions: none)"
"""What pip says if its index can't be reached, or has nothing of a package."""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone without tags; after the release they name other commits."""
    folder = Reader(tmp_path, {}, {}).folder
    for tag in subprocess.check_output(["git", "tag"], cwd=folder, text=True).split():
        _git(folder, "tag", "--delete", tag)
    return folder


def _git(clone: Path, *words: str) -> str:
    known = "-c", "user.name=Reader", "-c", "user.email=reader@example.com"
    return subprocess.check_output(["git", *known, *words], cwd=clone, text=True)


def _release(clone: Path) -> subprocess.CompletedProcess[str]:
    """Run it with the environment that there is, whatever the dates of the requirements, for who hides his files."""
    command = ["make", "--old-file=.venv/.installed-dev", "release"]
    return subprocess.run(command, cwd=clone, capture_output=True, text=True, timeout=500, umask=0o077)


def test_a_release_is_what_was_committed(clone: Path) -> None:
    (clone / "server" / "pages" / "widget" / "words.js").write_text("ignored by git, and no part of it")
    made = _release(clone)
    if _OUT_OF_REACH in made.stdout + made.stderr:
        pytest.skip("pip reaches no index here")
    assert made.returncode == 0, made.stdout + made.stderr
    dist = clone / "dist"
    wheel, package, sources = (
        f"gantcha-{__version__}-py3-none-any.whl",
        f"gantcha-captcha-{__version__}.tgz",
        f"gantcha-{__version__}.tar.gz",
    )
    assert {file.name for file in dist.iterdir()} == {wheel, package, sources, "SHA256SUMS"}
    checked = subprocess.check_output(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=dist, text=True)
    assert sorted(checked.splitlines()) == sorted(f"{name}: OK" for name in (wheel, package, sources))
    assert f"git tag v{__version__} {_git(clone, 'rev-parse', '--short', 'HEAD')}" in made.stdout
    assert _git(clone, "status", "--porcelain") == ""
    with tarfile.open(dist / sources) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
    committed = set(_git(clone, "ls-files").splitlines())
    assert names - committed == {"PKG-INFO"}
    assert {name.partition("/")[0] for name in committed - names} == {".ci"}
    with tarfile.open(dist / package) as packed:
        assert {"package/LICENSE", "package/words.js"} <= set(packed.getnames())
        assert {member.mode for member in packed} == {0o644}


def test_what_is_not_committed_is_no_release(clone: Path) -> None:
    (clone / "notes.txt").write_text("not committed")
    refused = _release(clone)
    assert refused.returncode != 0
    assert "error: commit this or undo it first" in refused.stderr and "?? notes.txt" in refused.stderr
    assert not (clone / "dist").exists()


def test_a_version_without_a_heading_is_no_release(clone: Path) -> None:
    module = clone / "gantcha" / "__init__.py"
    module.write_text(re.sub(r'__version__ = ".*"', '__version__ = "99.0.0"', module.read_text()))
    _git(clone, "commit", "--quiet", "--all", "--message", "-")
    refused = _release(clone)
    assert refused.returncode != 0
    assert f"has version 99.0.0, the newest heading of CHANGELOG.md has {__version__}" in refused.stderr
    assert not (clone / "dist").exists()


def test_a_version_that_is_out_is_not_built_from_another_commit(clone: Path) -> None:
    _git(clone, "tag", f"v{__version__}", "HEAD~1")
    refused = _release(clone)
    assert refused.returncode != 0
    assert f"error: the tag v{__version__} names another commit" in refused.stderr
    assert not (clone / "dist").exists()

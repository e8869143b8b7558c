"""Builds the files of a release into `dist/`, from what is committed: `make release`.

Each file is built twice, tried in an empty environment, and has its line in `dist/SHA256SUMS`.
"""

import hashlib
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import urlopen
from zipfile import ZipFile

from packaging.metadata import Metadata

from gantcha import __version__

_ROOT = Path(__file__).parent
_WHEEL = f"gantcha-{__version__}-py3-none-any.whl"
_SOURCES = f"gantcha-{__version__}.tar.gz"
_PACKAGE = f"gantcha-captcha-{__version__}.tgz"
_TAG = f"v{__version__}"
_DRAW = "import gantcha; assert len(gantcha.draw('ab12').boxes) == 4"
_PATIENCE = 60  # seconds until a server answers


def main() -> None:
    """Build, try and hand over."""
    _refuse_what_is_no_release()
    os.environ["SOURCE_DATE_EPOCH"] = _git("log", "-1", "--format=%ct")
    os.umask(0o022)  # npm packs the modes that files have
    with TemporaryDirectory() as name:
        folder = Path(name)
        first, second = _built(folder / "first"), _built(folder / "second")
        for file in first.iterdir():
            if file.read_bytes() != (second / file.name).read_bytes():
                sys.exit(f"error: two builds of {file.name} differ")
        _try_wheel(first / _WHEEL, _made(folder / "service"))
        _try_sources(first, _made(folder / "sources"))
        _try_package(first / _PACKAGE, _made(folder / "page"))
        _hand_over(first)


def _refuse_what_is_no_release() -> None:
    if changed := _git("status", "--porcelain"):
        sys.exit(f"error: commit this or undo it first, a release has only what is committed:\n{changed}")
    newest = re.search(r"^## \[(\d.*)\] - \d{4}-\d\d-\d\d$", (_ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    if not newest or newest[1] != __version__:
        named = newest[1] if newest else "none"
        sys.exit(
            f"error: gantcha/__init__.py has version {__version__}, the newest heading of CHANGELOG.md has {named}"
        )
    if _git("tag", "--list", _TAG) and _git("rev-parse", f"{_TAG}^{{commit}}") != _git("rev-parse", "HEAD"):
        sys.exit(f"error: the tag {_TAG} names another commit: raise the version, or check out the tag")
    if not shutil.which("npm"):
        sys.exit("error: npm is not installed; it packs the widget")


def _built(folder: Path) -> Path:
    """Build all from a clone: the folder that this runs in may have ignored files."""
    clone, files = folder / "clone", folder / "files"
    print("building ...", flush=True)
    _run("git", "clone", "--quiet", _ROOT, clone, at=_ROOT)
    _run(sys.executable, "-m", "hatchling", "build", "--directory", files, at=clone)
    widget = clone / "server" / "pages" / "widget"
    shutil.copy(clone / "LICENSE", widget)
    _run("npm", "pack", "--pack-destination", files, at=widget)
    if {file.name for file in files.iterdir()} != {_WHEEL, _SOURCES, _PACKAGE}:
        sys.exit(f"error: not all of these have version {__version__}: {', '.join(os.listdir(files))}")
    return files


def _try_wheel(wheel: Path, folder: Path) -> None:
    """Draw with the packages of the library only, then serve with those of the service."""
    print(f"trying {wheel.name} ...", flush=True)
    with ZipFile(wheel) as packed:
        Metadata.from_email(packed.read(f"gantcha-{__version__}.dist-info/METADATA"), validate=True)
    _run(sys.executable, "-m", "venv", folder / "venv", at=folder)
    python, gantcha = folder / "venv" / "bin" / "python", folder / "venv" / "bin" / "gantcha"
    install = python, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"
    _run(*install, wheel, at=folder)
    _run(python, "-c", _DRAW, at=folder)
    _run(*install, f"{wheel}[service]", at=folder)
    _run(gantcha, "migrate", at=folder)
    _run(gantcha, "fill", "--target", "20", at=folder)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with subprocess.Popen([gantcha, "serve", "--port", str(port)], cwd=folder, env=_environment()) as server:
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_for(f"{url}/healthz", server)
            captcha = json.loads(_get(f"{url}/generate"))
            if not _get(captcha["fileURL"]).startswith(b"\x89PNG") or __version__.encode() not in _get(
                f"{url}/widget.js"
            ):
                sys.exit(f"error: the server of {wheel.name} gives no picture, or no widget of its version")
        finally:
            server.terminate()


def _try_sources(files: Path, folder: Path) -> None:
    """Build the wheel from the archive of sources: it is the same one."""
    print(f"trying {_SOURCES} ...", flush=True)
    with tarfile.open(files / _SOURCES) as packed:
        packed.extractall(folder, filter="data")
    unpacked = folder / _SOURCES.removesuffix(".tar.gz")
    _run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder, at=unpacked)
    if (folder / _WHEEL).read_bytes() != (files / _WHEEL).read_bytes():
        sys.exit(f"error: {_SOURCES} builds another wheel than this clone")


def _try_package(package: Path, folder: Path) -> None:
    """Load all modules of the package for npm; without a page they define no element."""
    print(f"trying {package.name} ...", flush=True)
    _run("npm", "install", "--offline", "--no-audit", "--no-fund", package, at=folder)
    _run("node", "--input-type=module", "--eval", "await import('gantcha-captcha')", at=folder)


def _hand_over(files: Path) -> None:
    dist = _ROOT / "dist"
    if dist.exists():
        shutil.rmtree(dist)  # what an earlier version left
    shutil.copytree(files, dist)
    names = sorted(os.listdir(dist))
    digests = [hashlib.sha256((dist / name).read_bytes()).hexdigest() for name in names]
    (dist / "SHA256SUMS").write_text(
        "".join(f"{digest}  {name}\n" for digest, name in zip(digests, names, strict=True))
    )
    for name in names:
        print(f"dist/{name}  {(dist / name).stat().st_size / 1e6:.2f} MB")
    print("dist/SHA256SUMS  for `sha256sum -c SHA256SUMS` in that folder")
    print(f"Next: git tag {_TAG} {_git('rev-parse', '--short', 'HEAD')}")
    print(f"      git push origin {_TAG}, then put these four files where people get them.")


def _run(*command: str | Path, at: Path) -> None:
    """Run a command; show what it printed only if it fails."""
    finished = subprocess.run(
        command, cwd=at, env=_environment(), check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if finished.returncode:
        sys.exit(f"{finished.stdout}error: this failed: {shlex.join(map(str, command))}")


def _environment() -> dict[str, str]:
    """Return the variables without those that would lead to other modules or a pool that is in use."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CAPTCHA_", "PYTHONPATH"))}
    return kept | {"CAPTCHA_TARGET": "0", "CAPTCHA_LOG_LEVEL": "error", "CAPTCHA_ACCESS_LOG": "false"}


def _git(*words: str) -> str:
    return subprocess.check_output(["git", *words], cwd=_ROOT, text=True).strip()


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _get(url: str) -> bytes:
    with urlopen(url, timeout=10) as answer:
        return bytes(answer.read())


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            _get(url)
        except OSError:  # URLError, or a server that has not begun to answer
            if server.poll() is not None or time.monotonic() > until:
                raise
            time.sleep(0.1)
        else:
            return


if __name__ == "__main__":
    main()

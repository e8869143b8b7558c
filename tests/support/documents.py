"""The blocks of code in README and docs, and a reader who types them in, from the top of a page to its end."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from tests.conftest import ROOT, answers, free_port, wait_until
from tests.support.programs import PACKAGES, missing

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "examples" / "README.md", *(ROOT / "docs").glob("*.md")]
RUN_BY = {
    "python -m batch.train": "slow/test_training.py",
    "python -m batch.evaluate": "slow/test_evaluation.py",
    "python -m benchmarks.strength": "slow/test_strength.py",
    "python -m benchmarks.looks.readability --kind": "slow/test_strength.py",
    "python -m benchmarks.looks.readability --sheet": "unit/test_strength.py",
    "python -m benchmarks.looks.frontier": "slow/test_strength.py",
    "python -m batch.reference_set": "slow/test_reference_set.py",
    "--engine ray": "slow/test_ray.py",
    "python -m examples.train_recogniser": "slow/test_examples.py",
    "--dataset easy": "slow/test_examples.py",
}
"""Commands that take long, and the tests that run what `documented` gives of them."""
_SERVES = re.compile(r"make run|-m server\b|uvicorn |flask .*run|runserver|php -S")
# Who reads has hours, another network, or EMNIST; a test has neither.
_INSTEAD = [
    (r"\bmake (test|bench|lint|release)\b", r"make --dry-run \1"),
    (r"(-m benchmarks\.speed) --only capacity", r"\1 --help"),
    (r"\.venv/bin/pytest\b", ".venv/bin/pytest --collect-only --quiet"),
    (r"--(count|target) \d+", r"--\1 40"),
    (r"pip install -r (\S+).*", r"test -f \1"),
    (r"pip install \.$", "pip install --quiet --dry-run --no-deps --no-build-isolation ."),
    (r"make run\b", "make run FIRST_FILL=40"),
    (r"/srv/gantcha\b", "."),
    (r"\bgit pull\b", "git fetch"),
]


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    content: str

    def __str__(self) -> str:
        """Where to look."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """Return the fenced blocks of a page in their order."""
    for token in MarkdownIt().parse(page.read_text()):
        if token.type == "fence":
            yield Block(page, (token.map or [0])[0] + 1, token.info, token.content)


def under(page: str, heading: str) -> str:
    """Return the content of the first block under a heading."""
    text = (ROOT / page).read_text()
    above = text[: text.index(f"# {heading}\n")].count("\n")
    return next(block.content for block in blocks(ROOT / page) if block.line > above)


def lines(content: str) -> list[str]:
    """Return the lines of a shell block without comments, those that go on after a backslash as one."""
    joined = content.replace("\\\n", " ").splitlines()
    return [line for line in (re.sub(r"(^|\s)#\s.*", "", line).strip() for line in joined) if line]


def documented(page: str, *words: str) -> list[str]:
    """Return the words after `python -m` of the command on a page that has these words, for a test to run."""
    found = [
        line for block in blocks(ROOT / page) for line in lines(block.content) if all(word in line for word in words)
    ]
    (line,) = found
    return shlex.split(line)[2:]


def _sources() -> list[str]:
    """List the files of the project, those not added yet too; what else lies in the clone is not ours."""

    def listed(*which: str) -> list[str]:
        command = ["git", "ls-files", "-z", "--exclude-standard", *which]
        return subprocess.check_output(command, cwd=ROOT, text=True).split("\0")[:-1]

    tracked = listed("--cached")
    folders = sorted({name.partition("/")[0] for name in tracked if "/" in name})
    return [name for name in (*tracked, *listed("--others", "--", *folders)) if (ROOT / name).is_file()]


def clone_with_changes(folder: Path) -> None:
    """Clone this clone, with what was not committed yet."""
    subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
    for name in _sources():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    subprocess.run(["git", "-C", folder, "add", "--all"], check=True)
    who = ["-c", "user.name=Reader", "-c", "user.email=reader@example.com"]
    subprocess.run(["git", "-C", folder, *who, "commit", "--quiet", "--allow-empty", "--message", "-"], check=True)


class Reader:
    """A newcomer with a copy of the project and a terminal, whose variables last from line to line."""

    def __init__(self, folder: Path, names: dict[str, str], variables: dict[str, str]) -> None:
        """`names` are what the pages name and is elsewhere for the tests."""
        self.folder, self.printed = folder / "gantcha", ""
        clone_with_changes(self.folder)
        (self.folder / ".venv").symlink_to(sys.prefix)
        (folder / ".curlrc").write_text("fail\nsilent\nshow-error\n")
        self._ports = {"8000": str(free_port()), "8001": str(free_port())}
        self.url = f"http://127.0.0.1:{self._ports['8000']}"
        self._names = names | {"https://captcha.example.com": self.url}
        path = f"{self.folder / '.venv' / 'bin'}:{os.environ['PATH']}"
        self.variables = os.environ | {"CURL_HOME": str(folder), "PATH": path} | variables
        self._servers: dict[str, subprocess.Popen[bytes]] = {}
        self.log = folder / "log"

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        for port in list(self._servers):
            self._stop(port)

    def type(self, content: str) -> None:
        """Type in a shell block; a line that serves goes on in a terminal of its own."""
        self.printed, typed = "", []
        for line in lines(content):
            program = line.split()[0]
            if program in PACKAGES and missing(program):
                self._run(typed)
                pytest.skip(missing(program))
            if _SERVES.search(line):
                self._run(typed)
                self._serve(self.translate(line))
                typed = []
            else:
                typed.append(self.translate(line))
        self._run(typed)

    def run_python(self, content: str) -> None:
        """Run a Python block."""
        command = [sys.executable, "-c", self.translate(content)]
        subprocess.run(command, cwd=self.folder, env=self.variables, check=True, capture_output=True, timeout=60)

    def translate(self, line: str) -> str:
        """Put what is here in place of what the pages name."""
        for name, place in self._names.items():
            line = line.replace(name, place)
        for pattern, instead in _INSTEAD:
            line = re.sub(pattern, instead, line)
        line = re.sub(r"--port (80|8080)\b", "--port 8000", line)
        if re.search(r"-m server$|-m server --host \S+$", line):
            line += " --port 8000"
        line = re.sub(r"\bmake run\b", "make run PORT=8000", line)
        for port, ours in self._ports.items():
            line = re.sub(rf"\b{port}\b", ours, line)
        return line

    def written(self) -> str:
        """Return what git shows of the files that the commands wrote."""
        return self._git("status", "--porcelain")

    def _git(self, *words: str) -> str:
        return subprocess.check_output(["git", *words], cwd=self.folder, text=True)

    def logged_request(self) -> dict[str, object]:
        """Return a line that a server logged of a request."""
        said = (json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{"))
        return next(line for line in said if line["event"] == "request")

    def _run(self, typed: list[str]) -> None:
        if not typed:
            return
        kept = self.folder.parent / "variables"
        script = "\n".join(["set -euo pipefail", *typed, f"env -0 > {kept}"])
        finished = subprocess.run(
            ["bash", "-c", script], cwd=self.folder, env=self.variables, capture_output=True, text=True, timeout=300
        )
        assert finished.returncode == 0, f"{script}\n{finished.stdout}\n{finished.stderr}"
        self.printed = finished.stdout
        self.variables = dict(entry.split("=", 1) for entry in kept.read_text().split("\0") if entry)

    def _serve(self, line: str) -> None:
        port = next((ours for ours in self._ports.values() if re.search(rf"\b{ours}\b", line)), None)
        self._stop(str(port))
        with open(self.log, "ab") as log:
            process = subprocess.Popen(
                ["bash", "-c", line],
                cwd=self.folder,
                env=self.variables,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._servers[str(port)] = process
        if port:
            ready = f"http://127.0.0.1:{port}/"
            wait_until(lambda: process.poll() is not None or answers(ready), line)
        else:  # it refills, and answers nobody
            time.sleep(2)
        assert process.poll() is None, f"{line}\n{self.log.read_text()}"

    def _stop(self, port: str) -> None:
        if port in self._servers:
            process = self._servers.pop(port)
            os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:  # php, of which not all versions take it
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

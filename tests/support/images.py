"""Images without an engine: the Dockerfile's instructions, followed in a folder."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.support.processes import ROOT, environment

BIN = Path(sys.executable).parent


class Image:
    """What a target of the Dockerfile comes to, laid out in a folder."""

    def __init__(self, target: str, folder: Path) -> None:
        """Follow the instructions of the target and of those that it builds on."""
        instructions = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
        stages = {
            name: (base, body)
            for base, name, body in re.findall(r"^FROM (\S+) AS (\w+)$(.*?)(?=^FROM|\Z)", instructions, re.M | re.S)
        }
        base, body = stages[target]
        while base in stages:
            base, earlier = stages[base]
            body = earlier + body
        self.folder, self.variables = folder / "app", {}
        self.folder.mkdir()
        for line in body.splitlines():
            word, _, rest = line.partition(" ")
            if word == "COPY":
                *sources, place = rest.split()
                for source in sources:
                    copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy2
                    copy(ROOT / source, self.folder / place)  # type: ignore[operator] # either takes both
            elif word == "ENV":
                self.variables |= dict(part.split("=", 1) for part in shlex.split(rest))
            elif word == "CMD":
                self.command = json.loads(rest)
        (self.health,) = (json.loads(found) for found in re.findall(r"HEALTHCHECK.* CMD (.*)", body))
        volume = folder / "volume"
        self.variables = {
            name: value.replace("/var/lib/gantcha", str(volume)) for name, value in self.variables.items()
        }

    def start(self, command: list[str], within: Sequence[str] = (), **options: object) -> subprocess.Popen[str]:
        """Start a command of the image; `within` is the command that starts it."""
        words = [*within, str(BIN / command[0]), *command[1:]]
        variables = environment({}) | self.variables
        return subprocess.Popen(words, cwd=self.folder, env=variables, text=True, **options)  # type: ignore[call-overload,no-any-return] # passed on

    def run(self, command: list[str], within: Sequence[str] = ()) -> int:
        """Run a command to its end, and return its exit status."""
        return self.start(command, within).wait(timeout=60)

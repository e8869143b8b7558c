"""A fresh Debian that systemd has booted, in a container that shares this machine's network."""

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.conftest import is_taken, wait_until
from tests.support.programs import missing

SUITE, MIRROR = "trixie", "http://deb.debian.org/debian"
_SETTINGS_OF_PIP = "/etc/pip.conf", "/etc/xdg/pip", "/usr/local/share/ca-certificates"


class Machine:
    """A booted container, in which root types."""

    def __init__(self, root: Path, process: int) -> None:
        """`process` is the number of its systemd, as seen from outside."""
        self.root, self._process, self.printed = root, process, ""

    def type(self, script: str) -> None:
        """Type a script into one shell, with nothing but what a login sets."""
        enter = ["nsenter", "--target", str(self._process), "--mount", "--uts", "--ipc", "--pid"]
        variables = [f"{name}={value}" for name, value in os.environ.items() if name.startswith("PIP_")]
        path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        clean = ["env", "--ignore-environment", path, "HOME=/root", "DEBIAN_FRONTEND=noninteractive", *variables]
        shell = [*enter, *clean, "bash", "-exuo", "pipefail", "-c", script]
        finished = subprocess.run(shell, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=1200)
        self.printed = finished.stdout
        assert finished.returncode == 0, f"{finished.stdout[-3000:]}\n{finished.stderr[-6000:]}"


@contextmanager
def fresh_debian(folder: Path, readable: Path, ports: Iterable[int]) -> Iterator[Machine]:
    """Boot Debian with its base system only, `readable` under /mnt, and `ports` free. Skip where that can't be."""
    for program in ("mmdebstrap", "systemd-nspawn", "nsenter"):
        if missing(program):
            pytest.skip(missing(program))
    if os.geteuid():
        pytest.skip("only root can boot a container")
    if taken := [port for port in ports if is_taken(port)]:
        pytest.skip(f"another program listens on port {taken[0]}")
    root = folder / "debian"
    made = subprocess.run(
        ["mmdebstrap", "--variant=minbase", "--include=dbus,systemd,systemd-sysv,ca-certificates", SUITE, root, MIRROR],
        capture_output=True,
        text=True,
    )
    if made.returncode:
        pytest.skip(f"no Debian can be had here: {made.stderr.strip().splitlines()[-1]}")
    places = [place for place in (*_SETTINGS_OF_PIP, *_package_folders()) if Path(place).exists()]
    binds = [f"--bind-ro={readable}:/mnt", *(f"--bind-ro={place}" for place in places)]
    command = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--boot", f"--directory={root}", *binds]
    log = folder / "boot"
    with (
        open(log, "wb") as output,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output) as container,
    ):
        try:

            def booted() -> bool:
                return container.poll() is not None or "Multi-User" in log.read_text()

            wait_until(booted, "Debian to boot")
            if container.poll() is not None:
                pytest.skip(f"no container can be booted here: {log.read_text().strip()[-200:]}")
            (init,) = psutil.Process(container.pid).children()
            machine = Machine(root, init.pid)
            machine.type("update-ca-certificates")
            yield machine
        finally:
            container.terminate()
            try:
                container.wait(60)
            except subprocess.TimeoutExpired:
                container.kill()


def _package_folders() -> list[str]:
    """Return the folders in which pip looks for packages on this machine."""
    listed = subprocess.check_output([sys.executable, "-m", "pip", "config", "list"], text=True)
    named = re.findall(r"(?<![\w:/])(?:file://)?(/[\w./-]+)", listed)
    # With what lies beside an index, such as the files that it names.
    return sorted({str(Path(*Path(place).parts[:3])) for place in named if Path(place).is_dir()})

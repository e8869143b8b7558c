"""A fresh Debian that systemd has booted, in a container that shares this machine's network."""

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.conftest import wait_until

SUITE, MIRROR = "trixie", "http://deb.debian.org/debian"
# How this machine reaches the indexes of packages, if it needs more than a name.
_PACKAGE_SETTINGS = ["/etc/pip.conf", "/etc/xdg/pip", "/etc/ssl/certs", "/usr/local/share/ca-certificates", "/opt"]


class Machine:
    """A booted container, in which root types."""

    def __init__(self, root: Path, process: int) -> None:
        self.root, self._process = root, process

    def run(self, script: str, log: Path, seconds: float = 900) -> int:
        """Type a script into one shell, whose lines and output go to the log; return its exit status."""
        enter = ["nsenter", "--target", str(self._process), "--mount", "--uts", "--ipc", "--pid"]
        variables = [f"{name}={value}" for name, value in os.environ.items() if name.startswith("PIP_")]
        path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        clean = ["env", "-i", path, "HOME=/root", "LANG=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", *variables]
        with open(log, "ab") as output:
            shell = ["bash", "-euxo", "pipefail", "-c", script]
            return subprocess.run(
                [*enter, *clean, *shell], stdin=subprocess.DEVNULL, stdout=output, stderr=output, timeout=seconds
            ).returncode


@contextmanager
def fresh_debian(folder: Path, readable: Path) -> Iterator[Machine]:
    """Boot Debian with its base system only; the folder `readable` is there under /mnt. Skip where that can't be."""
    for program in ("mmdebstrap", "systemd-nspawn", "nsenter"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    root = folder / "debian"
    made = subprocess.run(
        ["mmdebstrap", "--variant=minbase", "--include=dbus,systemd,systemd-sysv,ca-certificates", SUITE, root, MIRROR],
        capture_output=True,
        text=True,
    )
    if made.returncode:
        pytest.skip(f"no Debian can be had here: {made.stderr.strip().splitlines()[-1]}")
    binds = [f"--bind-ro={readable}:/mnt", *(f"--bind-ro={place}" for place in _PACKAGE_SETTINGS if Path(place).exists())]
    command = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--boot", f"--directory={root}", *binds]
    with open(folder / "boot", "wb") as log, subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log) as container:
        try:
            def booted() -> bool:
                return container.poll() is not None or b"Multi-User" in (folder / "boot").read_bytes()

            wait_until(booted, "Debian to boot")
            if container.poll() is not None:
                pytest.skip(f"no container can be booted here: {(folder / 'boot').read_text()[-200:]}")
            (init,) = psutil.Process(container.pid).children()
            yield Machine(root, init.pid)
        finally:
            container.terminate()
            container.wait(60)

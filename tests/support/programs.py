"""Programs that some tests need and a bare machine lacks: those tests skip, and the run ends with how to get them."""

import shutil
from pathlib import Path

import pytest

PACKAGES = {
    "WebKitWebDriver": "webkit2gtk-driver",
    "Xvfb": "xvfb",
    "/usr/sbin/pgbouncer": "pgbouncer",
    "/usr/share/php/ReCaptcha/autoload.php": "php-google-recaptcha",
    "caddy": "caddy",
    "chromium": "chromium",
    "curl": "curl",
    "espeak-ng": "espeak-ng",
    "firefox-esr": "firefox-esr",
    "haproxy": "haproxy",
    "ip": "iproute2",
    "mmdebstrap": "mmdebstrap",
    "mount": "mount",
    "nginx": "nginx",
    "npm": "npm",
    "nsenter": "util-linux",
    "openssl": "openssl",
    "php": "php-cli",
    "promtool": "prometheus",
    "setpriv": "util-linux",
    "sqlite3": "sqlite3",
    "systemd-analyze": "systemd",
    "systemd-nspawn": "systemd-container",
    "timeout": "coreutils",
    "tesseract": "tesseract-ocr",
    "unshare": "util-linux",
    "useradd": "passwd",
    "w3m": "w3m",
}
"""Debian's package of each program or file."""
ELSEWHERE = {"kubectl": "https://kubernetes.io/docs/tasks/tools/"}
"""Where to get what Debian lacks, or has in a version that is too old."""


def missing(program: str) -> str:
    """Say why a test skips without a program or a file; empty if it is installed."""
    if shutil.which(program) or (program.startswith("/") and Path(program).exists()):
        return ""
    cure = ELSEWHERE.get(program) or f"apt-get install {PACKAGES[program]}"
    return f"{program} is not installed ({cure})"


def needs(program: str) -> pytest.MarkDecorator:
    """Skip a test where a program is not installed."""
    return pytest.mark.skipif(bool(missing(program)), reason=missing(program) or program)


def summary(reasons: list[str]) -> str:
    """Say in one line what was skipped, given the reason of each skip, and how to get it run."""
    absent = {package for package in PACKAGES.values() for reason in reasons if f"apt-get install {package})" in reason}
    others = sorted({reason for reason in reasons if "(apt-get install " not in reason})
    cure = [f"`apt-get install {' '.join(sorted(absent))}` runs those that need a program"] if absent else []
    return f"Skipped tests: {len(reasons)}; {'; '.join([*cure, *others])}"

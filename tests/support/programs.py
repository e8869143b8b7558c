"""Programs that some tests need and a bare machine lacks: those tests skip, and the run ends with how to get them."""

import shutil
from pathlib import Path

import pytest

PACKAGES = {
    "WebKitWebDriver": "webkit2gtk-driver",
    "Xvfb": "xvfb",
    "/usr/sbin/pgbouncer": "pgbouncer",
    "/usr/share/php/ReCaptcha/autoload.php": "php-google-recaptcha",
    "chromium": "chromium",
    "curl": "curl",
    "espeak-ng": "espeak-ng",
    "firefox-esr": "firefox-esr",
    "ip": "iproute2",
    "mount": "mount",
    "nginx": "nginx",
    "npm": "npm",
    "openssl": "openssl",
    "php": "php-cli",
    "promtool": "prometheus",
    "sqlite3": "sqlite3",
    "systemd-analyze": "systemd",
    "timeout": "coreutils",
    "tesseract": "tesseract-ocr",
    "unshare": "util-linux",
    "useradd": "passwd",
    "w3m": "w3m",
}
"""Debian's package of each program or file."""


def missing(program: str) -> str:
    """Say why a test skips without a program or a file; empty if it is installed."""
    if shutil.which(program) or (program.startswith("/") and Path(program).exists()):
        return ""
    return f"{program} is not installed (apt-get install {PACKAGES[program]})"


def needs(program: str) -> pytest.MarkDecorator:
    """Skip a test where a program is not installed."""
    return pytest.mark.skipif(bool(missing(program)), reason=missing(program) or program)


def summary(reasons: list[str]) -> str:
    """Say in one line what was skipped, given the reason of each skip, and how to get it run."""
    absent = {package for package in PACKAGES.values() for reason in reasons if f"apt-get install {package})" in reason}
    others = sorted({reason for reason in reasons if "(apt-get install " not in reason})
    cure = [f"`apt-get install {' '.join(sorted(absent))}` runs those that need a program"] if absent else []
    return f"Skipped tests: {len(reasons)}; {'; '.join([*cure, *others])}"

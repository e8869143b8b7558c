"""The package `gantcha`, installed from a wheel."""

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

from tests.conftest import ROOT, environment


def test_a_wheel_draws_and_serves_anywhere(tmp_path: Path) -> None:
    """Built and unpacked without a network, and run where no checkout is near."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    built = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path, ROOT]
    subprocess.run(built, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("gantcha-*.whl")
    pages = {path.relative_to(ROOT).as_posix() for path in (ROOT / "server" / "pages").rglob("*.*")}
    assert pages <= set(ZipFile(wheel).namelist())
    subprocess.run([*pip, "install", "--no-deps", "--target", tmp_path / "installed", wheel], check=True)
    variables = environment({}) | {"PYTHONPATH": str(tmp_path / "installed")}

    def gantcha_command(*words: str) -> subprocess.CompletedProcess[str]:
        command = [tmp_path / "installed" / "bin" / "gantcha", *words]
        return subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=120)

    for words, said in (
        (("migrate",), ""),
        (("fill", "--count", "5"), "5 captchas added"),
        (("serve", "--check"), ""),
        (("--help",), "draw captchas into the pool"),
    ):
        finished = gantcha_command(*words)
        assert finished.returncode == 0, finished.stderr
        assert said in finished.stdout
    assert "no command" in gantcha_command("feel").stderr
    checked = f"import gantcha, server.api.demo; assert gantcha.__file__.startswith({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", checked], cwd=tmp_path, env=variables, check=True)

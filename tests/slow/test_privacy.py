"""Nothing leaves the machine: drawing asks no other machine, and leaves no file but those that were asked for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, environment
from tests.support.programs import missing

_LIBRARY = """
import gantcha
from itertools import islice
assert sum(1 for _ in islice(gantcha.samples(seed=1), 1500)) == 1500
"""
_PROGRAMS = {
    "library": ["-c", _LIBRARY],
    "fill": ["-m", "batch.fill", "--count", "3000", "--quiet"],
    "dataset": ["-m", "batch.fill", "--count", "1500", "--dataset", "{folder}/set", "--quiet"],
}
# All addresses are this machine's, so that what is sent anywhere is counted.
_SCRIPT = """
ip link set lo up && ip route add local default dev lo && "$@" && sleep 12 && cat /proc/net/snmp
"""


def _sent(*command: object, **settings: object) -> dict[str, int]:
    """Run a program in a network of its own; return the connections it opened and the datagrams it sent."""
    variables = environment(settings)
    variables.pop("CI", None)  # some programs are silent there
    words = ["unshare", "--net", "bash", "-c", _SCRIPT, "bash", *map(str, command)]
    finished = subprocess.run(words, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=300)
    assert finished.returncode == 0, finished.stderr
    rows = [line.split() for line in finished.stdout.splitlines() if line.startswith(("Tcp:", "Udp:"))]
    counts = {
        f"{names[0]}{name}": int(count)
        for names, values in zip(rows[::2], rows[1::2], strict=True)
        for name, count in zip(names[1:], values[1:], strict=True)
    }
    return {name: counts[name] for name in ("Tcp:ActiveOpens", "Udp:OutDatagrams")}


@pytest.fixture(autouse=True)
def _own_network() -> None:
    for program in ("unshare", "ip"):
        if reason := missing(program):
            pytest.skip(reason)
    tried = subprocess.run(["unshare", "--net", "true"], capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"only root can make a network: {tried.stderr.strip()}")


@pytest.mark.parametrize("program", _PROGRAMS)
def test_drawing_asks_nobody_and_leaves_nothing(
    program: str, sqlite_settings: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    words = [word.format(folder=tmp_path) for word in _PROGRAMS[program]]
    assert _sent(sys.executable, *words, **sqlite_settings) == {"Tcp:ActiveOpens": 0, "Udp:OutDatagrams": 0}
    assert not list(home.rglob("*"))


def test_what_is_sent_would_be_seen() -> None:
    asking = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'?', ('192.0.2.1', 53))"
    assert _sent(sys.executable, "-c", asking)["Udp:OutDatagrams"] == 1
    connecting = "import socket; socket.socket().connect_ex(('192.0.2.1', 443))"
    assert _sent(sys.executable, "-c", connecting)["Tcp:ActiveOpens"] == 1


def test_every_program_of_ours_turns_the_telemetry_of_others_off() -> None:
    for first in ("gantcha.alphabet", "batch.workers", "benchmarks.strength.ocr"):
        code = f"import {first}, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
        variables = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
        command = [sys.executable, "-c", code]
        assert subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True).stdout == "1\n"

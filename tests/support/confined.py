"""`python -m tests.support.confined UNIT COMMAND`: run a command with the system calls and capabilities of a unit.

systemd itself runs only where it started the machine. Like systemd, this has the kernel refuse, by libseccomp.
"""

import ctypes
import os
import re
import socket
import subprocess
import sys
from errno import EAFNOSUPPORT, EPERM
from pathlib import Path

_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000
_EQUAL = 4
_DAC_OVERRIDE, _LAST_CAPABILITY, _FAMILIES = 1, 40, 46
_CAPBSET_DROP, _NO_NEW_PRIVS = 24, 38


class _Comparison(ctypes.Structure):
    _fields_ = (("argument", ctypes.c_uint), ("how", ctypes.c_int), ("value", ctypes.c_uint64), ("_", ctypes.c_uint64))


def confine(unit: str) -> None:
    """Take from this process what a unit takes."""
    libseccomp, libc = ctypes.CDLL("libseccomp.so.2"), ctypes.CDLL(None)
    libseccomp.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(libseccomp.seccomp_init(_REFUSE | EPERM))

    def rule(action: int, name: str, *comparisons: _Comparison) -> None:
        number = libseccomp.seccomp_syscall_resolve_name(name.encode())
        array = (_Comparison * len(comparisons))(*comparisons)
        assert libseccomp.seccomp_rule_add_array(context, action, number, len(comparisons), array) == 0, name

    for name in _allowed_calls(unit) - {"socket"}:
        if libseccomp.seccomp_syscall_resolve_name(name.encode()) >= 0:  # this machine has it
            rule(_ALLOW, name)
    families = {socket.AddressFamily[name] for name in _values(unit, "RestrictAddressFamilies")}
    for family in range(_FAMILIES):
        action = _ALLOW if family in families else _REFUSE | EAFNOSUPPORT
        rule(action, "socket", _Comparison(0, _EQUAL, family))
    assert _values(unit, "CapabilityBoundingSet") == []
    if os.geteuid() == 0:
        # Root may still enter the folder of the PostgreSQL of the tests, which is that of another user.
        for capability in {*range(_LAST_CAPABILITY + 1)} - {_DAC_OVERRIDE}:
            assert libc.prctl(_CAPBSET_DROP, capability, 0, 0, 0) == 0
    assert libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert libseccomp.seccomp_load(context) == 0


def _values(unit: str, name: str) -> list[str]:
    (line,) = re.findall(rf"^{name}=(.*)$", unit, re.MULTILINE)
    return line.split()


def _allowed_calls(unit: str) -> set[str]:
    listed = subprocess.check_output(["systemd-analyze", "syscall-filter", "--no-pager"], text=True)
    sets = dict(re.findall(r"^(@\S+)\n((?:[ #].*\n)*)", listed, re.MULTILINE))

    def members(name: str) -> set[str]:
        if name not in sets:
            return {name}
        inside = (line.strip() for line in sets[name].splitlines())
        return {call for line in inside if line and line[0] != "#" for call in members(line)}

    allowed = members("@default")
    for line in re.findall(r"^SystemCallFilter=(.*)$", unit, re.MULTILINE):
        calls = {call for name in line.removeprefix("~").split() for call in members(name)}
        allowed = allowed - calls if line.startswith("~") else allowed | calls
    return allowed


if __name__ == "__main__":
    confine(Path(sys.argv[1]).read_text())
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - as the tests say

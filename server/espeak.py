"""espeak-ng, the program that speaks: what it can say, and its processes. It needs no NumPy, which few servers load."""

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from typing import Literal

from gantcha.characters import CHARACTERS

Language = Literal[
    "bg", "cs", "da", "de", "el", "en", "es", "fi", "fr", "hu", "id",
    "it", "nb", "nl", "pl", "pt", "ro", "ru", "sv", "tr", "uk"
]  # fmt: skip
"""Languages in which espeak-ng names digits and Latin letters well; the widget has the same list."""
INTRODUCTIONS: dict[Language, str] = {
    "bg": "кодът е", "cs": "kód je", "da": "koden er", "de": "der Code ist", "el": "ο κωδικός είναι",  # noqa: RUF001 - Cyrillic and Greek
    "en": "the code is", "es": "el código es", "fi": "koodi on", "fr": "le code est", "hu": "a kód a következő",
    "id": "kodenya adalah", "it": "il codice è", "nb": "koden er", "nl": "de code is", "pl": "kod to",
    "pt": "o código é", "ro": "codul este", "ru": "код такой", "sv": "koden är", "tr": "kod şudur", "uk": "код такий",
}  # fmt: skip
"""What the voice of a code says first."""
PROGRAM = "espeak-ng"
_PATIENCE_SECONDS = 10
_running: set["subprocess.Popen[bytes]"] = set()


def can_say(alphabet: str) -> bool:
    """Return whether espeak-ng is installed, and names these characters in every language: 0-9 and a-z."""
    return set(alphabet) <= set(CHARACTERS) and shutil.which(PROGRAM) is not None


def run(options: Sequence[str], text: bytes) -> bytes:
    """Run espeak-ng, which `stop` can end; return its output.

    Raises:
        OSError, subprocess.SubprocessError: it fails, or takes too long.
    """
    # A server that is killed can't end the program; `timeout`, of every Linux, then does.
    watch = ["timeout", "-s", "KILL", str(_PATIENCE_SECONDS)] if shutil.which("timeout") else []
    pipe = subprocess.PIPE
    command = [*watch, PROGRAM, *options]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, process_group=0) as process:
        _running.add(process)
        try:
            spoken, _ = process.communicate(text, timeout=_PATIENCE_SECONDS)
        finally:
            _end(process)
            _running.discard(process)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, PROGRAM)
    return spoken


def stop() -> None:
    """End what is being spoken, at the end of the server: a program that hangs would outlive it."""
    for process in list(_running):
        _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)

"""Errors that a user may see; each text is one line that names the cause and the cure."""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class GantchaError(Exception):
    """Base of all errors a user may see; its text is one line."""


class StorageError(GantchaError):
    """A file or folder can't be read or written."""


@contextmanager
def storage_errors(path: Path, verb: str = "write") -> Iterator[None]:
    """Raise an OSError as a StorageError that names the path and, for a full disk, the cure."""
    try:
        yield
    except OSError as error:
        cure = ": free some space and run it again" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        raise StorageError(f"can't {verb} {path}: {error.strerror}{cure}") from error


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn a `GantchaError` into one line on stderr and exit code 1."""
    try:
        yield
    except GantchaError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from error
